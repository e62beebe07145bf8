//! `permissions_get`: whose a tentacle is, and who may do what with it, read from the cluster now.

use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tentacular_contract::{
    Authz, Caller, Enclave, Needs, On, Tentacle, TentacleName, caller::Owner, evaluate, mode::Class,
};
use tentacular_process::link::{Permitted, ToolError, ToolSpec};

use super::{release, standing::Standing};
use crate::{
    enclave::view::{self, CallerRole},
    registrar::Registrar,
};

/// What `permissions_get` declares.
pub(crate) fn spec() -> ToolSpec {
    ToolSpec::new(
        "permissions_get",
        "Show a tentacle's permissions",
        "Shows who owns a tentacle, its mode and its enclave's, and what the caller may do with it. A member or \
         anybody else needs the same letter in both modes; the enclave's owner may do everything.",
        Authz::new(On::Tentacle, Needs::Read).enclave_at(&["/enclave", "/namespace"]).tentacle_at(&["/name"]),
    )
    .read_only()
}

/// Arguments of `permissions_get`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Arguments {
    /// Name of the enclave. May be left out by somebody who has exactly one.
    #[serde(default, rename = "enclave")]
    _enclave: Option<String>,
    /// Another name of `enclave`.
    #[serde(default, rename = "namespace")]
    _namespace: Option<String>,
    /// Name of the tentacle.
    #[serde(rename = "name")]
    _name: String,
}

/// Who may do what with a tentacle.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Permissions {
    /// Name of the tentacle.
    name: String,
    /// Name of its enclave.
    enclave: String,
    /// Email address of the tentacle's owner, empty where there is none. A tentacle without owner is for the enclave's
    /// owner and the bearer token alone.
    owner: String,
    /// OIDC subject of the tentacle's owner, empty where it is not known.
    owner_sub: String,
    /// What its owner, members of the enclave and others may do with it, nine characters.
    mode: String,
    /// The preset that is this mode, where there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    preset: Option<&'static str>,
    /// Email address of the enclave's owner, empty where there is none.
    enclave_owner: String,
    /// What members and others may do in the enclave, nine characters.
    enclave_mode: String,
    /// The preset that is this mode, where there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    enclave_preset: Option<&'static str>,
    /// `provisioning`, `active` or `frozen`. A frozen enclave refuses apply, run and restart to everybody.
    enclave_status: &'static str,
    /// What the caller is to the enclave.
    caller_role: CallerRole,
    /// Whose letters in `mode` count for the caller: owner, member or other. The enclave's owner counts as owner.
    /// Absent for the bearer token.
    #[serde(skip_serializing_if = "Option::is_none")]
    caller_class: Option<String>,
    /// What the caller may do with the tentacle.
    caller_may: May,
}

/// What somebody may do with a tentacle.
#[derive(Debug, Serialize, JsonSchema)]
#[expect(clippy::struct_excessive_bools, reason = "four rights, each there or not")]
struct May {
    /// See it: list, status, describe, health, logs, this tool.
    read: bool,
    /// Apply and remove it.
    write: bool,
    /// Run and restart it.
    execute: bool,
    /// Change its mode and its owner.
    own: bool,
}

/// Shows the permissions of the permit's tentacle.
pub(crate) async fn get(
    registrar: Arc<Registrar>,
    permitted: Permitted,
    _arguments: Arguments,
) -> Result<Permissions, ToolError> {
    let standing = Standing::look(&registrar, &permitted).await?;
    let deployment = standing.require_deployment(&permitted)?;
    let tentacle = Tentacle::from_annotations(&release::annotations(deployment));
    let (name, enclave, caller) = (permitted.tentacle()?, &standing.enclave, permitted.caller());
    Ok(Permissions {
        name: name.to_string(),
        enclave: enclave.name.to_string(),
        owner: email(tentacle.owner.as_ref()),
        owner_sub: sub(tentacle.owner.as_ref()),
        mode: tentacle.mode.to_string(),
        preset: tentacle.mode.preset(),
        enclave_owner: view::owner(enclave),
        enclave_mode: enclave.mode.to_string(),
        enclave_preset: enclave.mode.preset(),
        enclave_status: enclave.status.as_str(),
        caller_role: CallerRole::of(caller, enclave),
        caller_class: class(caller, enclave, &tentacle).map(|class| class.to_string()),
        caller_may: may(caller, permitted.permit().authorization(), enclave, (name, &tentacle)),
    })
}

/// The owner's email address, empty where there is none.
pub(super) fn email(owner: Option<&Owner>) -> String {
    owner.and_then(|owner| owner.email.as_ref()).map(ToString::to_string).unwrap_or_default()
}

/// The owner's subject, empty where it is not known.
pub(super) fn sub(owner: Option<&Owner>) -> String {
    owner.and_then(|owner| owner.sub.clone()).unwrap_or_default()
}

fn class(caller: &Caller, enclave: &Enclave, tentacle: &Tentacle) -> Option<Class> {
    caller.identity().map(|identity| tentacle.class_of(identity, enclave.class_of(identity)))
}

fn may(caller: &Caller, authorization: bool, enclave: &Enclave, tentacle: (&TentacleName, &Tentacle)) -> May {
    let may = |needs| evaluate::may(caller, authorization, needs, enclave, Some(tentacle));
    May { read: may(Needs::Read), write: may(Needs::Write), execute: may(Needs::Execute), own: may(Needs::Own) }
}
