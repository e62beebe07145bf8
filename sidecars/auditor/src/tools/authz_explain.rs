//! `authz_explain`: which rule allows or refuses somebody what, and what would turn it. The kernel's own evaluator
//! answers, so that the explanation is the decision.

mod rights;
mod turns;

use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tentacular_contract::{
    Authz, Caller, Enclave, EnclaveName, Identity, Needs, On, Platform, Status, Tentacle, TentacleName,
    evaluate::{left_out, may},
};
use tentacular_process::link::{Permitted, ToolError, ToolSpec};

use self::rights::{Explained, Facts};
use crate::{observed::Observed, tentacle::Kept, text};

/// The arguments of `authz_explain`.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Arguments {
    /// Name of the enclave. May be left out by a caller who owns or is a member of one enclave only.
    #[serde(default)]
    #[expect(dead_code, reason = "the kernel reads it and names the enclave in the permit")]
    enclave: Option<String>,
    /// The same as `enclave`.
    #[serde(default)]
    #[expect(dead_code, reason = "the kernel reads it and names the enclave in the permit")]
    namespace: Option<String>,
    /// Name of a tentacle in it; when left out, the rights on the enclave itself are explained.
    #[serde(default)]
    #[expect(dead_code, reason = "the kernel reads it and names the tentacle in the permit")]
    name: Option<String>,
    /// Email address of the person whose rights are explained; the caller's own when left out. Only the enclave's owner
    /// and the bearer token may name somebody.
    #[serde(default)]
    person_email: Option<String>,
    /// OIDC subject of that person, where it is known.
    #[serde(default)]
    person_sub: Option<String>,
}

/// The result of `authz_explain`.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Explanation {
    /// Name of the enclave.
    enclave: String,
    /// Name of the tentacle, where one was named.
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<String>,
    /// Whose rights these are: an email address, an OIDC subject, or `bearer-token`.
    person: String,
    /// What the person is to the enclave: `owner`, `member` or `other`. Left out for the bearer token, and where there is
    /// no enclave.
    #[serde(skip_serializing_if = "Option::is_none")]
    class: Option<String>,
    /// Each right, and why it is there or not.
    rights: Vec<Explained>,
    /// What else is to be known.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    notes: Vec<String>,
}

/// What the kernel and clients are told of `authz_explain`.
pub(crate) fn spec() -> ToolSpec {
    let authz = Authz::new(On::Caller, Needs::None).enclave_at(&["/enclave", "/namespace"]).tentacle_at(&["/name"]);
    let description = "Explains which rule allows or refuses you read, write, execute and own on an enclave or a \
                       tentacle, and which change of mode, membership or ownership would turn that, with the calls that \
                       make it. The enclave's owner and the bearer token may ask for somebody else.";
    ToolSpec::new("authz_explain", "Explain permissions", description, authz).read_only()
}

/// The tool.
#[derive(Debug)]
pub(crate) struct AuthzExplain {
    pub(crate) observed: Observed,
    pub(crate) platform: Platform,
}

impl AuthzExplain {
    /// Answers one call.
    pub(crate) async fn call(
        self: Arc<Self>,
        permitted: Permitted,
        arguments: Arguments,
    ) -> Result<Explanation, ToolError> {
        let (caller, permit) = (permitted.caller(), permitted.permit());
        let name = self.enclave_name(caller, permit.enclave()).await?;
        let is_protected = self.platform.is_protected(name.as_str());
        let enclave = if is_protected { None } else { self.observed.find(&name).await? };
        let person = person(caller, permit.authorization(), enclave.as_deref(), &arguments)?;
        let tentacle = match (permit.tentacle(), &enclave) {
            (Some(tentacle), Some(enclave)) => {
                let sees = may(caller, permit.authorization(), Needs::Read, enclave, None);
                Some((tentacle.clone(), self.tentacle(&name, tentacle, sees).await?))
            }
            (Some(tentacle), None) => Some((tentacle.clone(), None)),
            (None, _) => None,
        };
        let facts = Facts {
            name: name.clone(),
            is_protected,
            enclave: enclave.as_deref().cloned(),
            tentacle,
            authorization: permit.authorization(),
        };
        let class = facts.enclave.as_ref().zip(person.identity());
        Ok(Explanation {
            enclave: name.to_string(),
            name: permit.tentacle().map(ToString::to_string),
            person: text::line(person.label()),
            class: class.map(|(enclave, identity)| enclave.class_of(identity).to_string()),
            rights: rights::explain(&facts, &person),
            notes: notes(&facts, &person),
        })
    }

    async fn enclave_name(&self, caller: &Caller, named: Option<&EnclaveName>) -> Result<EnclaveName, ToolError> {
        match named {
            Some(name) => Ok(name.clone()),
            None => Ok(left_out(caller, self.observed.enclaves().await?.iter().map(Arc::as_ref))?),
        }
    }

    /// The tentacle of that name. For a caller who does not see into the enclave the API server is asked in any case, so that
    /// they cannot tell one that is there from one that is not by what an answer takes, or by an outage.
    async fn tentacle(
        &self,
        enclave: &EnclaveName,
        name: &TentacleName,
        sees: bool,
    ) -> Result<Option<Tentacle>, ToolError> {
        if sees {
            return Ok(self.observed.tentacle(enclave, name).await?.map(|tentacle| tentacle.facts.clone()));
        }
        let found = self.observed.deployment_now(enclave, name).await?;
        Ok(found.as_ref().and_then(Kept::of).map(|tentacle| tentacle.facts))
    }
}

/// Whose rights are asked for, if the caller may ask for them.
fn person(
    caller: &Caller,
    authorization: bool,
    enclave: Option<&Enclave>,
    arguments: &Arguments,
) -> Result<Caller, ToolError> {
    let (email, sub) = (&arguments.person_email, &arguments.person_sub);
    if email.is_none() && sub.is_none() {
        return Ok(caller.clone());
    }
    let owns = enclave.is_some_and(|enclave| may(caller, authorization, Needs::Own, enclave, None));
    if caller.identity().is_some() && !owns {
        return Err(ToolError::new(
            "permission denied: another person's rights are explained to the enclave's owner and the bearer token only",
        ));
    }
    let email = email.as_deref().map(str::parse).transpose()?;
    Ok(Caller::Oidc(Identity { sub: sub.clone(), email, ..Identity::default() }))
}

fn notes(facts: &Facts, person: &Caller) -> Vec<String> {
    let mut notes = Vec::new();
    let Some(enclave) = &facts.enclave else { return notes };
    if enclave.status == Status::Frozen {
        let note =
            "the enclave is frozen: apply, run and restart are refused to everybody, whatever their rights are";
        notes.push(note.to_owned());
    }
    if !facts.authorization {
        notes.push("authorization is switched off: everybody who is authenticated may do everything".to_owned());
    }
    if facts.tentacle.is_some() && !facts.is_seen_by(person) {
        let note = "without read on the enclave nothing is told of what the tentacle itself allows";
        notes.push(note.to_owned());
    }
    notes
}
