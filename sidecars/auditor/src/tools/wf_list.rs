//! `wf_list`: the tentacles that the caller may read. It answers from the watches and costs no API call.

use std::sync::Arc;

use k8s_openapi::jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tentacular_contract::{Authz, Caller, Enclave, Needs, On, evaluate::may};
use tentacular_process::link::{Permitted, ToolError, ToolSpec};

use crate::{
    clock::{Clock, age},
    observed::Observed,
    page::{self, Cursor, Page},
    tentacle::Kept,
    text::Untrusted,
};

/// The arguments of `wf_list`.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Arguments {
    /// Only tentacles of this enclave; of all enclaves that the caller may read when left out.
    #[serde(default)]
    #[expect(dead_code, reason = "the kernel reads it and names the enclave in the permit")]
    enclave: Option<String>,
    /// The same as `enclave`.
    #[serde(default)]
    #[expect(dead_code, reason = "the kernel reads it and names the enclave in the permit")]
    namespace: Option<String>,
    /// Only tentacles of this owner: an email address, whatever its case, or an OIDC subject.
    #[serde(default)]
    owner: Option<String>,
    /// Only tentacles with this tag.
    #[serde(default)]
    tag: Option<String>,
    /// Most tentacles to name, from 1 to 1000; 200 when left out.
    #[serde(default)]
    #[schemars(range(min = 1, max = 1000))]
    limit: Option<usize>,
    /// `next_cursor` of the page before; the first page when left out.
    #[serde(default)]
    cursor: Option<String>,
}

/// The result of `wf_list`.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Tentacles {
    /// The tentacles, in the order of enclave and name.
    workflows: Vec<Listed>,
    /// Whether there are more: ask again with `next_cursor` as `cursor`.
    truncated: bool,
    /// Where the next page begins.
    #[serde(skip_serializing_if = "Option::is_none")]
    next_cursor: Option<String>,
    /// What could not be listed.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    warnings: Vec<String>,
    /// What the texts in it are.
    untrusted: Untrusted,
}

/// A tentacle in a list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub(crate) struct Listed {
    /// Name of the tentacle.
    name: String,
    /// Enclave of the tentacle.
    enclave: String,
    /// Version of the workflow, empty when it has none.
    version: String,
    /// What it is for.
    #[serde(skip_serializing_if = "Option::is_none")]
    description: Option<String>,
    /// The owner's email address, else the OIDC subject; left out when nobody owns it.
    #[serde(skip_serializing_if = "Option::is_none")]
    owner: Option<String>,
    /// Permission mode, nine characters.
    mode: String,
    /// Name of the mode, where it has one.
    #[serde(skip_serializing_if = "Option::is_none")]
    preset: Option<String>,
    /// Tags.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    tags: Vec<String>,
    /// Environment, such as `production`.
    #[serde(skip_serializing_if = "Option::is_none")]
    environment: Option<String>,
    /// Who applied it last.
    #[serde(skip_serializing_if = "Option::is_none")]
    deployed_by: Option<String>,
    /// Through which client it was applied last.
    #[serde(skip_serializing_if = "Option::is_none")]
    deployed_via: Option<String>,
    /// Time since its creation, such as `72h3m0s`.
    age: String,
    /// Whether at least one of its replicas is ready.
    ready: bool,
}

/// What the kernel and clients are told of `wf_list`.
pub(crate) fn spec() -> ToolSpec {
    let authz = Authz::new(On::Caller, Needs::Read).enclave_at(&["/enclave", "/namespace"]);
    let description = "Lists the tentacles that you may read, in one enclave or in all of them.";
    ToolSpec::new("wf_list", "List tentacles", description, authz).read_only()
}

/// The tool.
#[derive(Debug)]
pub(crate) struct WfList<C> {
    pub(crate) observed: Observed,
    pub(crate) clock: C,
}

impl<C: Clock> WfList<C> {
    /// Answers one call.
    pub(crate) async fn call(
        self: Arc<Self>,
        permitted: Permitted,
        arguments: Arguments,
    ) -> Result<Tentacles, ToolError> {
        let wanted = Wanted::of(&permitted, arguments)?;
        let mut page = Page::new(wanted.cursor.clone(), wanted.limit);
        let mut warnings = Vec::new();
        let now = self.clock.now();
        if let Some(name) = permitted.permit().enclave() {
            let enclave = self.observed.enclave(name).await?;
            let tentacles = self.observed.tentacles(&enclave).await?;
            wanted.list(&enclave, &tentacles, now, &mut page);
        } else {
            for enclave in self.observed.enclaves().await? {
                if page.is_full() {
                    break;
                }
                if !may(&wanted.caller, wanted.authorization, Needs::Read, &enclave, None) {
                    continue;
                }
                match self.observed.watched(&enclave.name) {
                    Some(tentacles) => wanted.list(&enclave, &tentacles, now, &mut page),
                    None => warnings.push(format!(
                        "enclave {} is left out: its tentacles cannot be watched at the moment; name it to read them",
                        enclave.name
                    )),
                }
            }
        }
        let (workflows, next_cursor) = page.end();
        let truncated = next_cursor.is_some();
        Ok(Tentacles { workflows, truncated, next_cursor, warnings, untrusted: Untrusted::Content })
    }
}

/// What a caller wants to see, and may.
#[derive(Debug)]
struct Wanted {
    caller: Caller,
    authorization: bool,
    owner: Option<String>,
    tag: Option<String>,
    limit: usize,
    cursor: Option<Cursor>,
}

impl Wanted {
    fn of(permitted: &Permitted, arguments: Arguments) -> Result<Self, ToolError> {
        Ok(Self {
            caller: permitted.caller().clone(),
            authorization: permitted.permit().authorization(),
            owner: arguments.owner,
            tag: arguments.tag,
            limit: page::limit(arguments.limit)?,
            cursor: arguments.cursor.as_deref().map(str::parse).transpose()?,
        })
    }

    /// Adds the tentacles of an enclave to the page.
    fn list(&self, enclave: &Enclave, tentacles: &[Arc<Kept>], now: Timestamp, page: &mut Page<Cursor, Listed>) {
        for tentacle in tentacles {
            let place = Some((&tentacle.name, &tentacle.facts));
            if may(&self.caller, self.authorization, Needs::Read, enclave, place) && self.selects(tentacle) {
                page.offer(Cursor::at(&enclave.name, &tentacle.name), || listed(enclave, tentacle, now));
            }
        }
    }

    fn selects(&self, tentacle: &Kept) -> bool {
        let owner = self.owner.as_deref().is_none_or(|wanted| {
            let wanted = wanted.trim();
            tentacle.facts.owner.as_ref().is_some_and(|owner| {
                owner.sub.as_deref() == Some(wanted)
                    || owner.email.as_ref().is_some_and(|email| email.as_str().eq_ignore_ascii_case(wanted))
            })
        });
        owner && self.tag.as_deref().is_none_or(|wanted| tentacle.tags.iter().any(|tag| tag == wanted.trim()))
    }
}

fn listed(enclave: &Enclave, tentacle: &Kept, now: Timestamp) -> Listed {
    let mode = tentacle.facts.mode;
    Listed {
        name: tentacle.name.to_string(),
        enclave: enclave.name.to_string(),
        version: tentacle.version.clone().unwrap_or_default(),
        description: tentacle.description.clone(),
        owner: tentacle.owner.clone(),
        mode: mode.to_string(),
        preset: mode.preset().map(str::to_owned),
        tags: tentacle.tags.clone(),
        environment: tentacle.environment.clone(),
        deployed_by: tentacle.deployed_by.clone(),
        deployed_via: tentacle.deployed_via.clone(),
        age: age(now, tentacle.created.unwrap_or(now)),
        ready: tentacle.replicas.ready > 0,
    }
}

#[cfg(test)]
mod tests;
