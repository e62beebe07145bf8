//! `enclave_provision`: makes an enclave as a whole, or removes what it made. The namespace is marked as being
//! provisioned until all is there, so that a repeat of the call knows where it may go on.

use std::{sync::Arc, time::Duration};

use chrono::{SecondsFormat, Utc};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use schemars::JsonSchema;
use serde::Serialize;
use tentacular_contract::{Authz, EnclaveName, Needs, On, Status, keys, reach::ENCLAVE_POLICIES};
use tentacular_process::link::{Permitted, ToolError, ToolSpec};
use tokio::time::{Instant, timeout};

use super::{
    begin::Begun,
    furnish::{Making, Unfinished},
    objects,
    request::{Arguments, Request},
    undo::{Left, undo},
    view::{self, annotation},
};
use crate::registrar::Registrar;

/// How long making it is tried again while others write the same, or the API server is out of reach. What is left of the
/// deadline is for the last request, and for removing what was made.
const MADE_WITHIN: Duration = Duration::from_mins(1);
/// How long the answer waits until this process's own lists show the enclave.
const SEEN_WITHIN: Duration = Duration::from_secs(2);

/// What `enclave_provision` declares.
pub(crate) fn spec() -> ToolSpec {
    ToolSpec::new(
        "enclave_provision",
        "Make an enclave",
        "Makes an enclave: a namespace that belongs to one team, with network policies, quota and limits. The caller \
         becomes its owner; with the bearer token owner_email names the owner. Either all of it is made or nothing; \
         a repeat of a call that was cut off goes on where it stopped.",
        Authz::new(On::Caller, Needs::None).within_seconds(120),
    )
}

/// The enclave that was made.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Provisioned {
    /// Name of the enclave.
    name: String,
    /// The same: what other tools take as `enclave`.
    enclave: String,
    /// `active`: it can be used.
    status: &'static str,
    /// How much it may use: small, medium or large.
    quota_preset: String,
    /// Email address of its owner.
    owner: String,
    /// Email addresses of its members.
    members: Vec<String>,
    /// What members and others may do in it, nine characters.
    mode: String,
    /// The preset that is this mode, where there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    preset: Option<&'static str>,
    /// Mode of tentacles created in it later, nine characters.
    default_mode: String,
    /// RFC 3339 time at which it was made.
    created_at: String,
    /// What was made, as kind/name; annotation/enclave-metadata stands for the namespace's annotations.
    resources_created: Vec<String>,
}

/// Makes the enclave that the arguments describe.
pub(crate) async fn provision(
    registrar: Arc<Registrar>,
    permitted: Permitted,
    arguments: Arguments,
) -> Result<Provisioned, ToolError> {
    let request =
        Request::read(&arguments, permitted.caller(), &registrar.platform, registrar.name_pattern.as_ref())?;
    let limited = permitted.caller().identity().is_some();
    let now = &Utc::now().to_rfc3339_opts(SecondsFormat::Secs, true);
    let until = Instant::now() + MADE_WITHIN;
    let begun = registrar.begin(&request, limited, now, MADE_WITHIN).await?;
    let making = Making { request: &request, begun: &begun, limited, now, until };
    let finished = match registrar.furnish(making).await {
        Ok(finished) => finished,
        Err(why) => give_up(&registrar, &request.name, &begun, &why).await?,
    };
    // Without this, a list asked for right after could lack the enclave.
    let _ = timeout(SEEN_WITHIN, registrar.sees_active(&request.name)).await;
    registrar.answer(&request.name, &finished)
}

/// Removes what this call made, and says so; or finds that the enclave is finished all the same.
async fn give_up(
    registrar: &Registrar,
    name: &EnclaveName,
    begun: &Begun,
    why: &Unfinished,
) -> Result<ObjectMeta, ToolError> {
    let text = match why {
        Unfinished::Superseded => format!("enclave {name}: {why}"),
        _ if !begun.ours => format!("enclave {name} is not finished: {why}; repeat the call to go on"),
        _ => match undo(registrar, name, &begun.uid).await {
            Ok(Left::Finished(finished)) => return Ok(*finished),
            Ok(Left::Nothing) => format!("enclave {name} was not made: {why}; nothing of it is left"),
            Ok(Left::Going) => format!(
                "enclave {name} was not made: {why}; its namespace is being removed, repeat the call after that"
            ),
            Err(left) => {
                tracing::error!(enclave = %name, error = %why, %left, "a half-made enclave could not be removed");
                format!(
                    "enclave {name} is not finished: {why}; its namespace could not be removed either: {left}; repeat \
                     the call to go on where this one stopped"
                )
            }
        },
    };
    Err(ToolError::new(text))
}

impl Registrar {
    async fn sees_active(&self, name: &EnclaveName) {
        let mut changes = self.enclaves.changes();
        while self.enclaves.get(name).is_none_or(|enclave| enclave.status != Status::Active) {
            changes.changed().await;
        }
    }

    /// The enclave that a namespace with this metadata is.
    fn answer(&self, name: &EnclaveName, metadata: &ObjectMeta) -> Result<Provisioned, ToolError> {
        let removed = || ToolError::new(format_args!("enclave {name} was made, and somebody took its label away"));
        let enclave = self.facts(metadata).ok_or_else(removed)?;
        let bindings = objects::BINDINGS.map(|(role, _)| format!("rolebinding/{role}"));
        let policies = ENCLAVE_POLICIES.map(|name| format!("networkpolicy/{name}"));
        let others = [
            format!("resourcequota/{}", objects::QUOTA),
            format!("limitrange/{}", objects::LIMITS),
            format!("serviceaccount/{}", objects::WORKFLOW_ACCOUNT),
        ];
        let namespace = [format!("namespace/{name}"), "annotation/enclave-metadata".to_owned()];
        let text = |key| annotation(metadata, key).unwrap_or_default();
        Ok(Provisioned {
            name: name.to_string(),
            enclave: name.to_string(),
            status: enclave.status.as_str(),
            quota_preset: text(keys::ENCLAVE_QUOTA_PRESET),
            owner: view::owner(&enclave),
            members: view::members(&enclave),
            mode: enclave.mode.to_string(),
            preset: enclave.mode.preset(),
            default_mode: enclave.default_mode.to_string(),
            created_at: text(keys::ENCLAVE_CREATED_AT),
            resources_created: namespace.into_iter().chain(bindings).chain(policies).chain(others).collect(),
        })
    }
}
