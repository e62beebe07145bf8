//! One call as it is asked of the kernel, and its answer compared with what the model says.

use serde_json::{Value, json};
use tentacular_test_harness::mcp::{Answer, Raw};

use super::{
    mirror::Tool,
    model::{Caller, Enclave, Expected, Named, Place, Question, Settings, belongs_to, expected},
    world::{Enclaves, NO_ENCLAVES, PROTECTED, Person},
};
use crate::wire::{ERAS, Message};

/// Whom it is asked by, and what for.
#[derive(Clone, Copy)]
pub(super) struct Ask<'a> {
    pub(super) tool: &'a Tool,
    pub(super) person: &'a Person,
    /// The enclave that is named.
    pub(super) enclave: Option<&'a str>,
    /// The tentacle that is named.
    pub(super) tentacle: Option<&'a str>,
}

/// What came of it.
pub(super) struct Asked {
    /// The sentence of a refusal.
    pub(super) refusal: Option<String>,
    /// How the answer differs from the model's.
    pub(super) differs: Option<String>,
}

impl Ask<'_> {
    fn arguments(&self, variant: usize) -> Value {
        let mut arguments = json!({});
        for (member, value) in [("enclave", self.enclave), ("tentacle", self.tentacle)] {
            let pointers = self.tool.declared[member].as_array();
            let (Some(pointers), Some(value)) = (pointers, value) else { continue };
            let pointer = pointers[variant % pointers.len()].as_str().unwrap_or_default();
            let mut place = &mut arguments;
            for token in pointer.split('/').skip(1) {
                place = &mut place[token.replace("~1", "/").replace("~0", "~")];
            }
            *place = json!(value);
        }
        arguments
    }

    /// Asks, in one of the eras and with one of the names that the enclave may be given by.
    pub(super) async fn ask(
        &self,
        raw: &Raw,
        settings: Settings,
        enclaves: &Enclaves,
        variant: usize,
    ) -> anyhow::Result<Asked> {
        let era = ERAS[variant % 2];
        let answer = Message::call(era, &self.tool.name, &self.arguments(variant / 2)).post(raw).await?;
        let refusal = Some(answer.tool_error()).filter(|refusal| !refusal.is_empty());
        let (wanted, enclave) = self.expected(settings, enclaves);
        let differs = self.compare(&answer, refusal.as_deref(), &wanted, enclave, settings);
        let differs = differs.map(|how| {
            format!(
                "{} {} {:?} {:?} ({era:?}): {how}; got {}",
                self.person.name,
                self.tool.name,
                self.enclave,
                self.tentacle,
                refusal.as_deref().unwrap_or(&answer.text)
            )
        });
        Ok(Asked { refusal, differs })
    }

    /// What the model says, and the enclave that it says it of.
    fn expected<'a>(&'a self, settings: Settings, enclaves: &'a Enclaves) -> (Expected, Option<&'a str>) {
        let declared = &self.tool.declared;
        let on = declared["on"].as_str().unwrap_or_default();
        let needed = ["tentacle", "enclave"].contains(&on) || self.tentacle.is_some();
        let enclave = match self.enclave {
            None if needed => match left_out(&self.person.caller, enclaves) {
                Ok(name) => Some(name),
                Err(words) => return (Expected::Denied(words), None),
            },
            named => named,
        };
        let place = |name: &str| match enclaves.get(name) {
            Some((enclave, _)) => Place::Enclave(enclave),
            None if PROTECTED.contains(&name) => Place::Protected,
            None => Place::NoEnclave,
        };
        let tentacle = self.tentacle.map(|name| {
            let there = enclave.and_then(|enclave| enclaves.get(enclave)).and_then(|(_, all)| all.get(name));
            there.map_or(Named::Absent, Named::There)
        });
        let question =
            Question { settings, caller: &self.person.caller, declared, enclave: enclave.map(place), tentacle };
        (expected(&question), enclave)
    }

    fn compare(
        &self,
        answer: &Answer,
        refusal: Option<&str>,
        wanted: &Expected,
        enclave: Option<&str>,
        settings: Settings,
    ) -> Option<String> {
        match (wanted, refusal) {
            (Expected::Denied(words), Some(refusal)) if refusal.contains(words) => None,
            (Expected::Denied(words), _) => Some(format!("should be refused with the words {words:?}")),
            (Expected::Allowed { .. }, Some(_)) => Some(format!("should be {wanted:?}")),
            (Expected::Allowed { right, exists }, None) => {
                let seen = &answer.json()["result"]["structuredContent"];
                let permit = json!({ "v": 1, "tool": self.tool.name, "enclave": enclave, "tentacle": self.tentacle,
                    "exists": exists, "right": right, "rule": seen["permit"]["rule"],
                    "authz": settings.authorization });
                let caller = match &self.person.caller {
                    Caller::Bearer => json!({ "kind": "bearer" }),
                    Caller::Person { sub, email } => json!({ "kind": "oidc", "sub": sub, "email": email }),
                };
                let same = |wanted: &Value, got: &Value, members: &[&str]| {
                    members.iter().all(|member| wanted[*member] == got[*member])
                };
                let all = ["v", "tool", "enclave", "tentacle", "exists", "right", "authz"];
                if !same(&permit, &seen["permit"], &all) {
                    return Some(format!("the permit should be {permit}"));
                }
                (!same(&caller, &seen["caller"], &["kind", "sub", "email"]))
                    .then(|| format!("should be called by {caller}"))
            }
        }
    }
}

/// The enclave that is meant when none is named, or the words of the refusal.
fn left_out<'a>(caller: &Caller, enclaves: &'a Enclaves) -> Result<&'a str, String> {
    if *caller == Caller::Bearer {
        return Err("enclave is required: with the bearer token it must be named".to_owned());
    }
    let belongs = |(_, (enclave, _)): &(&String, &(Enclave, _))| belongs_to(caller, enclave);
    let mine: Vec<_> = enclaves.iter().filter(belongs).map(|(name, _)| name.as_str()).collect();
    match mine[..] {
        [] => Err("enclave is required: you neither own".to_owned()),
        [one] => Ok(one),
        _ => Err(format!("enclave is required: choose one of {}", mine.join(", "))),
    }
}

/// Every place that a call may name: the enclaves, and where none is.
pub(super) fn places(enclaves: &Enclaves) -> impl Iterator<Item = &str> {
    enclaves.keys().map(String::as_str).chain(NO_ENCLAVES).chain(PROTECTED)
}
