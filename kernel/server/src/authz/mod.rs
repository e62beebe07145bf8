//! Authorization: from the place that a call names to a permit or a refusal.

mod facts;
mod watch_age;

use tentacular_contract::{
    Caller, EnclaveName, On, Permit, Policy, Question, TentacleName, evaluate, evaluate::left_out, names::InvalidName,
};
use tentacular_process::link::envelope::Envelope;

pub(crate) use self::facts::Facts;
use self::facts::Unknown;
use crate::{
    audit::Record,
    refusal::{Refusal, Told},
    sidecars::Tool,
};

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
        let (stands, facts) = self.facts.of(enclave.as_ref(), tentacle.as_ref()).await?;
        let question = Question {
            caller,
            policy: self.policy,
            tool: name,
            authz: &tool.authz,
            enclave: enclave.as_ref().map(|name| (name, stands.place())),
            tentacle: tentacle.as_ref().map(|name| (name, facts.as_ref())),
        };
        let permit = evaluate(&question).map_err(|denied| Refusal::sentence(denied.rule(), denied.to_string()))?;
        record.allowed(&permit);
        Ok(permit)
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

    use super::*;

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
