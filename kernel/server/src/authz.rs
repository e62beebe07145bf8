//! Authorization: from the place that a call names to a permit or a refusal.

mod facts;
mod watch_age;

use tentacular_contract::{
    Caller, EnclaveName, Mode, Needs, On, Permit, Policy, Question, Tentacle, TentacleName,
    caller::Owner,
    evaluate,
    evaluate::{left_out, may},
    mode::{Bit, Class},
    names::InvalidName,
};
use tentacular_process::link::envelope::Envelope;

pub(crate) use self::facts::Facts;
use self::facts::{Stands, Unknown};
use crate::{
    audit::Record,
    refusal::{Refusal, Told},
    sidecars::Tool,
};

/// Everything for everybody.
const OPEN: Mode = Mode::ENCLAVE_DEFAULT
    .toggled(Class::Other, Bit::Read)
    .toggled(Class::Other, Bit::Write)
    .toggled(Class::Other, Bit::Execute);

/// Decides on calls.
#[derive(Debug)]
pub(crate) struct Authorizer {
    facts: Facts,
    policy: Policy,
}

impl Authorizer {
    pub(crate) const fn new(facts: Facts, policy: Policy) -> Self {
        Self { facts, policy }
    }

    /// Decides on one call of `tool`, which the body spells `name`. The record learns the place.
    pub(crate) async fn permit(
        &self,
        caller: &Caller,
        tool: &Tool,
        name: &str,
        envelope: &Envelope<'_>,
        record: &mut Record,
    ) -> Result<Permit, Refusal> {
        let enclave = name_at::<EnclaveName>(envelope, &tool.authz.enclave)?;
        let tentacle = name_at::<TentacleName>(envelope, &tool.authz.tentacle)?;
        if tool.authz.on == On::Tentacle && tentacle.is_none() {
            let message = format!("argument {} is required", names(&tool.authz.tentacle));
            return Err(Refusal::sentence("invalid-arguments", message));
        }
        record.place(enclave.as_ref(), tentacle.as_ref());
        let enclave = self.place(caller, tool, enclave, tentacle.is_some()).await?;
        record.place(enclave.as_ref(), tentacle.as_ref());
        let stands = match &enclave {
            Some(name) => self.facts.at(name).await?,
            None => Stands::NoEnclave,
        };
        let without = Question {
            caller,
            policy: self.policy,
            tool: name,
            authz: &tool.authz,
            enclave: enclave.as_ref().map(|name| (name, stands.place())),
            tentacle: tentacle.as_ref().map(|name| (name, None)),
        };
        let facts = self.tentacle(&without, &stands).await?;
        let question = Question { tentacle: tentacle.as_ref().map(|name| (name, facts.as_ref())), ..without };
        let permit = evaluate(&question).map_err(|denied| Refusal::sentence(denied.rule(), denied.to_string()))?;
        record.allowed(&permit);
        Ok(permit)
    }

    /// The facts of the tentacle that a question names. Who may not read its enclave learns nothing of it, not even by
    /// how long the answer takes or what stands in its way: where no tentacle gives them the right, none is looked for.
    async fn tentacle(&self, question: &Question<'_>, stands: &Stands) -> Result<Option<Tentacle>, Unknown> {
        let (Stands::Enclave(enclave), Some((name, _))) = (stands, question.tentacle) else { return Ok(None) };
        let sees = may(question.caller, self.policy.authorization, Needs::Read, enclave, None);
        if !sees && !can_turn(question, name) {
            return Ok(None);
        }
        self.facts.tentacle(&enclave.name, name, !sees).await
    }

    /// The enclave of a call: the one that is named; else, where the tool cannot do without, the caller's only one.
    async fn place(
        &self,
        caller: &Caller,
        tool: &Tool,
        named: Option<EnclaveName>,
        tentacle: bool,
    ) -> Result<Option<EnclaveName>, Refusal> {
        let needed = matches!(tool.authz.on, On::Tentacle | On::Enclave) || tentacle;
        if named.is_some() || !needed {
            return Ok(named);
        }
        let enclaves = self.facts.enclaves().await?;
        let only = left_out(caller, enclaves.iter().map(AsRef::as_ref));
        only.map(Some).map_err(|why| Refusal::sentence("left-out", why.to_string()))
    }
}

/// Whether the decision depends on the tentacle of that name: whether one that is the caller's own, and open to everybody,
/// gives them the right. If that one does not, none does.
fn can_turn(question: &Question<'_>, name: &TentacleName) -> bool {
    let owner = question.caller.identity().map(|me| Owner { sub: me.sub.clone(), email: me.email.clone() });
    let best = Tentacle { owner, mode: OPEN };
    let best = Question { tentacle: Some((name, Some(&best))), ..*question };
    question.authz.needs != Needs::None && evaluate(&best).is_ok()
}

impl From<Unknown> for Refusal {
    fn from(unknown: Unknown) -> Self {
        Self::sentence("unknown-facts", unknown.to_string())
    }
}

/// The name that `pointers` point to in the arguments.
fn name_at<N>(envelope: &Envelope<'_>, pointers: &[String]) -> Result<Option<N>, Refusal>
where
    N: std::str::FromStr<Err = InvalidName>,
{
    let text = envelope.text_at(pointers).map_err(Refusal::argument)?;
    text.map(|text| text.parse()).transpose().map_err(|error: InvalidName| Refusal {
        rule: "invalid-arguments",
        // What was given instead is not for the record.
        reason: format!("argument {} is no valid name", names(pointers)),
        told: Told::Sentence(error.to_string()),
    })
}

fn names(pointers: &[String]) -> String {
    pointers.iter().map(|pointer| pointer.trim_start_matches('/')).collect::<Vec<_>>().join(" or ")
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use tentacular_contract::{Authz, Enclave, Identity, Place, Status};

    use super::*;

    fn modes() -> impl Iterator<Item = Mode> {
        ["---", "--x", "-w-", "-wx", "r--", "r-x", "rw-", "rwx"]
            .into_iter()
            .map(|bits| format!("rwx{bits}{bits}").parse().expect("a mode"))
    }

    fn declared() -> impl Iterator<Item = Authz> {
        let plain =
            [Needs::Read, Needs::Write, Needs::Execute, Needs::Own].map(|needs| Authz::new(On::Tentacle, needs));
        let creating = Authz::new(On::Tentacle, Needs::Write).creates();
        let all = plain.into_iter().chain([creating]);
        all.flat_map(|authz| [authz.clone(), authz.not_frozen()])
    }

    fn owner(email: &str) -> Option<Owner> {
        Owner::from_annotations(None, Some(email))
    }

    /// One caller's right by all modes and owners of a tentacle, and whether it can turn by [`can_turn`].
    fn refused_whatever_the_tentacle(identity: &Identity, enclave: &Enclave, authz: &Authz) -> (bool, bool) {
        let (caller, name) = (Caller::Oidc(identity.clone()), "report".parse().expect("a name"));
        let question = Question {
            caller: &caller,
            policy: Policy::default(),
            tool: "t",
            authz,
            enclave: Some((&enclave.name, Place::Enclave(enclave))),
            tentacle: Some((&name, None)),
        };
        let refused = modes().all(|mode| {
            [None, owner("ann@x.io"), owner("bob@x.io")].into_iter().all(|owner| {
                let tentacle = Tentacle { owner, mode };
                evaluate(&Question { tentacle: Some((&name, Some(&tentacle))), ..question }).is_err()
            })
        });
        (refused && evaluate(&question).is_err(), can_turn(&question, &name))
    }

    #[test]
    fn a_tentacle_is_looked_for_where_one_can_turn_the_decision_and_nowhere_else() {
        let bob = Identity { email: Some("bob@x.io".parse().expect("an email")), ..Identity::default() };
        for (identity, members) in [(&bob, "bob@x.io"), (&bob, "cy@x.io"), (&Identity::default(), "cy@x.io")] {
            for (mode, status) in modes().flat_map(|mode| [(mode, Status::Active), (mode, Status::Frozen)]) {
                let enclave = Enclave {
                    name: "team-a".parse().expect("a name"),
                    owner: owner("ann@x.io"),
                    members: [members.parse().expect("an email")].into(),
                    mode,
                    default_mode: Mode::TENTACLE_DEFAULT,
                    status,
                    terminating: false,
                };
                for authz in declared() {
                    let (refused, can_turn) = refused_whatever_the_tentacle(identity, &enclave, &authz);
                    assert_eq!(refused, !can_turn, "{members} {mode} {status:?} {authz:?}");
                }
            }
        }
    }

    #[test]
    fn what_was_given_as_a_name_is_told_to_its_sender_alone() {
        let pointers = ["/enclave".to_owned(), "/namespace".to_owned()];
        let refused = |arguments: serde_json::Value| {
            let body = json!({"jsonrpc": "2.0", "id": 1, "method": "tools/call",
                "params": {"name": "t", "arguments": arguments}});
            let body = body.to_string();
            let envelope = Envelope::parse(body.as_bytes()).expect("a message");
            name_at::<EnclaveName>(&envelope, &pointers).expect_err("refused")
        };
        let wrong = refused(json!({"namespace": "My Secret"}));
        assert_eq!(
            (wrong.rule, wrong.reason.as_str()),
            ("invalid-arguments", "argument enclave or namespace is no valid name")
        );
        assert!(matches!(wrong.told, Told::Sentence(sentence) if sentence.contains("\"My Secret\"")));
        let number = refused(json!({"enclave": 7}));
        assert_eq!((number.rule, number.reason.as_str()), ("invalid-arguments", "argument enclave must be a string"));
        let differ = refused(json!({"enclave": "team-a", "namespace": "team-b"}));
        assert!(!differ.reason.contains("team"), "{}", differ.reason);
    }
}
