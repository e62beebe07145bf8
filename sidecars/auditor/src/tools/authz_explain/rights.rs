//! The four rights of a person, decided by the evaluator and told in words.

use schemars::JsonSchema;
use serde::Serialize;
use tentacular_contract::{
    Authz, Caller, Denied, Enclave, EnclaveName, Needs, On, Permit, Place, Policy, Question, Rule, Tentacle,
    TentacleName, evaluate,
    evaluate::may,
    mode::{Bit, Class},
};

use super::turns::{Turn, turns};

/// What there is.
#[derive(Debug, Clone)]
pub(super) struct Facts {
    pub(super) name: EnclaveName,
    pub(super) is_protected: bool,
    /// `None` when there is no enclave of that name.
    pub(super) enclave: Option<Enclave>,
    /// The tentacle that was named, if it exists.
    pub(super) tentacle: Option<(TentacleName, Option<Tentacle>)>,
    pub(super) authorization: bool,
}

/// A right, and why it is there or not.
#[derive(Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub(crate) struct Explained {
    /// `read`, `write`, `execute` or `own`.
    right: &'static str,
    /// Whether the person has it.
    pub(super) allowed: bool,
    /// The rule that decided, as the decision log names it.
    pub(super) rule: &'static str,
    /// The same in words.
    because: String,
    /// Ways to turn it: each alone is enough.
    turned_by: Vec<Turn>,
}

impl Facts {
    /// Whether `person` may read the enclave, and so be told what is in it.
    pub(super) fn is_seen_by(&self, person: &Caller) -> bool {
        self.enclave.as_ref().is_some_and(|enclave| may(person, self.authorization, Needs::Read, enclave, None))
    }

    /// The kernel's decision.
    pub(super) fn decide(&self, person: &Caller, needs: Needs) -> Result<Permit, Denied> {
        let place = match &self.enclave {
            _ if self.is_protected => Place::Protected,
            Some(enclave) => Place::Enclave(enclave),
            None => Place::NoEnclave,
        };
        let tentacle = self.tentacle.as_ref().map(|(name, tentacle)| (name, tentacle.as_ref()));
        let on = if tentacle.is_some() { On::Tentacle } else { On::Enclave };
        let authz = Authz::new(on, needs);
        // What is applied for the first time needs the enclave's write alone.
        let authz = if needs == Needs::Write && on == On::Tentacle { authz.creates() } else { authz };
        evaluate(&Question {
            caller: person,
            policy: Policy { authorization: self.authorization, ..Policy::default() },
            tool: "authz_explain",
            authz: &authz,
            enclave: Some((&self.name, place)),
            tentacle,
        })
    }
}

/// The letter that a right needs; owning needs none.
pub(super) const fn bit(needs: Needs) -> Option<Bit> {
    match needs {
        Needs::Read => Some(Bit::Read),
        Needs::Write => Some(Bit::Write),
        Needs::Execute => Some(Bit::Execute),
        Needs::Own | Needs::None => None,
    }
}

/// All rights of `person`.
pub(super) fn explain(facts: &Facts, person: &Caller) -> Vec<Explained> {
    [Needs::Read, Needs::Write, Needs::Execute, Needs::Own].map(|needs| right(facts, person, needs)).into()
}

fn right(facts: &Facts, person: &Caller, needs: Needs) -> Explained {
    let (allowed, rule, because) = match facts.decide(person, needs) {
        Ok(permit) => (true, permit.rule().label(), allowing(facts, person, needs, permit.rule())),
        Err(denied) => (false, denied.rule(), denied.to_string()),
    };
    Explained { right: needs.label(), allowed, rule, because, turned_by: turns(facts, person, needs) }
}

/// Why something is allowed.
fn allowing(facts: &Facts, person: &Caller, needs: Needs, rule: Rule) -> String {
    match rule {
        Rule::Bearer => "the bearer token may do everything".to_owned(),
        Rule::AuthorizationOff => "authorization is switched off".to_owned(),
        Rule::EnclaveOwner => format!("the owner of enclave {} may do everything in it", facts.name),
        Rule::TentacleOwner => "the owner of the tentacle is still a member of its enclave".to_owned(),
        Rule::Authenticated => "everybody who is authenticated may".to_owned(),
        Rule::Mode => by_mode(facts, person, needs),
    }
}

/// The letters that allow it.
fn by_mode(facts: &Facts, person: &Caller, needs: Needs) -> String {
    let (Some(enclave), Some(identity), Some(bit)) = (&facts.enclave, person.identity(), bit(needs)) else {
        return String::new();
    };
    let class = enclave.class_of(identity);
    let has = |class: Class| format!("{class} has {}", bit.letter());
    let in_enclave = format!("{} in the mode of the enclave, {}", has(class), enclave.mode);
    match facts.tentacle.as_ref().and_then(|(_, tentacle)| tentacle.as_ref()) {
        Some(tentacle) => {
            let class = tentacle.class_of(identity, class);
            format!("{in_enclave}, and {} in that of the tentacle, {}", has(class), tentacle.mode)
        }
        None => in_enclave,
    }
}
