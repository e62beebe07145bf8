//! `enclave_info`: what one enclave is, read from its namespace now.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use k8s_openapi::{api::core::v1::Namespace, apimachinery::pkg::apis::meta::v1::ObjectMeta};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tentacular_cluster::Metadata;
use tentacular_contract::{
    Authz, Caller, Enclave, Needs, On, Place,
    backing::{self, Found, Isolation},
    keys,
};
use tentacular_process::link::{Permitted, ToolError, ToolSpec};

use super::{
    contents::{Contents, Usage},
    view::{self, CallerRole, annotation},
};
use crate::registrar::Registrar;

/// How long reads are tried again while the API server is out of reach: below the deadline of a tool that names none.
const PATIENCE: Duration = Duration::from_secs(20);

/// What `enclave_info` declares.
pub(crate) fn spec() -> ToolSpec {
    ToolSpec::new(
        "enclave_info",
        "Show an enclave",
        "Shows an enclave: owner, members, modes, status, channel, number of tentacles, and how much of its quota is used.",
        Authz::new(On::Enclave, Needs::Read).enclave_at(&["/enclave", "/namespace", "/name"]),
    )
    .read_only()
}

/// Arguments of `enclave_info`. The three are names of the same; give one.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Arguments {
    /// Name of the enclave. May be left out by somebody who has exactly one.
    #[serde(default, rename = "enclave")]
    _enclave: Option<String>,
    /// Another name of `enclave`.
    #[serde(default, rename = "namespace")]
    _namespace: Option<String>,
    /// Another name of `enclave`.
    #[serde(default, rename = "name")]
    _name: Option<String>,
}

/// An enclave.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Info {
    /// Name of the enclave.
    name: String,
    /// The same: what other tools take as `enclave`.
    enclave: String,
    /// Email address of the owner, empty where there is none.
    owner: String,
    /// OIDC subject of the owner, empty where it is not known.
    owner_sub: String,
    /// Email addresses of the members, without the owner.
    members: Vec<String>,
    /// Where the team talks.
    #[serde(skip_serializing_if = "Option::is_none")]
    platform: Option<String>,
    /// Id of the team's channel there.
    #[serde(skip_serializing_if = "Option::is_none")]
    channel_id: Option<String>,
    /// Name of the team's channel there.
    #[serde(skip_serializing_if = "Option::is_none")]
    channel_name: Option<String>,
    /// `provisioning`, `active` or `frozen`.
    status: &'static str,
    /// Whether the enclave is being deleted.
    terminating: bool,
    /// What members and others may do in it, nine characters.
    mode: String,
    /// The preset that is this mode, where there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    preset: Option<&'static str>,
    /// Mode of tentacles created in it later, nine characters.
    default_mode: String,
    /// How much it may use: small, medium or large.
    #[serde(skip_serializing_if = "Option::is_none")]
    quota_preset: Option<String>,
    /// How much of each resource it may use and uses, such as `requests.cpu`, `limits.memory`, `requests.storage` and
    /// `pods`; absent when that could not be read.
    #[serde(skip_serializing_if = "Option::is_none")]
    quota: Option<BTreeMap<String, Usage>>,
    /// RFC 3339 time at which it was made.
    #[serde(skip_serializing_if = "Option::is_none")]
    created_at: Option<String>,
    /// RFC 3339 time of the last change made through the server.
    #[serde(skip_serializing_if = "Option::is_none")]
    updated_at: Option<String>,
    /// What the caller is to the enclave.
    caller_role: CallerRole,
    /// How many tentacles there are in it; absent when they could not be counted.
    #[serde(skip_serializing_if = "Option::is_none")]
    tentacle_count: Option<usize>,
    /// The backing services, and whether its tentacles can use them.
    exo_services: Vec<Service>,
    /// What could not be read, and why.
    warnings: Vec<String>,
}

/// A backing service.
#[derive(Debug, Serialize, JsonSchema)]
struct Service {
    /// Name of the service.
    name: &'static str,
    /// Whether tentacles can use it now.
    available: bool,
    /// How far it keeps tentacles apart: full, partial or none; absent when not known.
    #[serde(skip_serializing_if = "Option::is_none")]
    isolation: Option<&'static str>,
    /// Why it cannot be used, or does not keep tentacles apart in full.
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
}

impl Service {
    fn of((service, found): (backing::Service, Option<Found>)) -> Self {
        let name = service.as_str();
        match found {
            Some(Found { available, isolation, reason, .. }) => {
                Self { name, available, isolation: isolation.map(Isolation::as_str), reason }
            }
            None => Self { name, available: false, isolation: None, reason: None },
        }
    }
}

/// Shows the enclave of the permit.
pub(crate) async fn info(
    registrar: Arc<Registrar>,
    permitted: Permitted,
    _arguments: Arguments,
) -> Result<Info, ToolError> {
    let name = permitted.enclave()?;
    let cluster = registrar.cluster.patient(PATIENCE);
    let namespaces = cluster.all::<Metadata<Namespace>>();
    // All at once, so that together they take no longer than one.
    let (namespace, contents) = tokio::join!(namespaces.get(name.as_str()), Contents::read(&cluster, name.as_str()));
    let namespace = namespace?;
    let enclave = namespace.as_ref().and_then(|namespace| registrar.facts(&namespace.metadata));
    permitted.recheck(enclave.as_ref().map_or(Place::NoEnclave, Place::Enclave), None)?;
    let (Some(namespace), Some(enclave)) = (namespace, enclave) else {
        return Err(ToolError::new(format_args!(
            "namespace {name} is not an enclave; enclave_list shows those that you may read"
        )));
    };
    Ok(Info::of(&registrar, permitted.caller(), &namespace.metadata, &enclave, contents))
}

impl Info {
    /// What `caller` is shown of `enclave`, whose namespace has this metadata.
    pub(super) fn of(
        registrar: &Registrar,
        caller: &Caller,
        metadata: &ObjectMeta,
        enclave: &Enclave,
        contents: Contents,
    ) -> Self {
        let Contents { tentacle_count, quota, warnings } = contents;
        let text = |key| annotation(metadata, key);
        Self {
            name: enclave.name.to_string(),
            enclave: enclave.name.to_string(),
            owner: view::owner(enclave),
            owner_sub: enclave.owner.as_ref().and_then(|owner| owner.sub.clone()).unwrap_or_default(),
            members: view::members(enclave),
            platform: text(keys::ENCLAVE_PLATFORM),
            channel_id: text(keys::ENCLAVE_CHANNEL_ID),
            channel_name: text(keys::ENCLAVE_CHANNEL_NAME),
            status: enclave.status.as_str(),
            terminating: enclave.terminating,
            mode: enclave.mode.to_string(),
            preset: enclave.mode.preset(),
            default_mode: enclave.default_mode.to_string(),
            quota_preset: text(keys::ENCLAVE_QUOTA_PRESET),
            quota,
            created_at: text(keys::ENCLAVE_CREATED_AT),
            updated_at: text(keys::ENCLAVE_UPDATED_AT),
            caller_role: CallerRole::of(caller, enclave),
            tentacle_count,
            exo_services: registrar.backing.known().into_iter().map(Service::of).collect(),
            warnings,
        }
    }
}
