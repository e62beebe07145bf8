//! `enclave_list`: the enclaves that the caller may read.

use std::{sync::Arc, time::Duration};

use futures::{StreamExt, stream};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tentacular_contract::{
    Authz, Caller, Email, Enclave, EnclaveName, Identity, Needs, On, Status, evaluate::may, keys,
    limits::SIDECAR_PATIENCE,
};
use tentacular_process::link::{Permitted, ToolError, ToolSpec};
use tokio::time::{Instant, timeout_at};

use super::view::{self, CallerRole, annotation};
use crate::registrar::Registrar;

/// Enclaves on one page, unless the caller asks for another number.
const PAGE: usize = 100;
/// The most that a caller may ask for: each enclave shown costs one request to the API server.
const LARGEST_PAGE: usize = 500;
/// Enclaves whose tentacles are counted at the same time.
const AT_ONCE: usize = 16;

/// How long counting is tried again while the API server is out of reach, for the whole list: below the deadline of a
/// tool that names none.
const PATIENCE: Duration = Duration::from_secs(20);

/// What `enclave_list` declares.
pub(crate) fn spec() -> ToolSpec {
    ToolSpec::new(
        "enclave_list",
        "List enclaves",
        "Lists the enclaves that the caller may read, in the order of their names.",
        Authz::new(On::Caller, Needs::Read),
    )
    .read_only()
}

/// Arguments of `enclave_list`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Arguments {
    /// With the bearer token: only what the person with this email address may read. Ignored for everybody else, who
    /// see what they themselves may read.
    #[serde(default)]
    caller_email: Option<String>,
    /// Only enclaves with this status: provisioning, active or frozen. Default all.
    #[serde(default)]
    #[schemars(extend("enum" = ["provisioning", "active", "frozen"]))]
    status: Option<String>,
    /// How many enclaves to show, 1 to 500. Default 100.
    #[serde(default)]
    #[schemars(range(min = 1, max = 500))]
    limit: Option<usize>,
    /// Where to go on: `next_cursor` of the answer before.
    #[serde(default)]
    cursor: Option<String>,
}

/// A page of enclaves.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Page {
    /// The enclaves, in the order of their names.
    enclaves: Vec<Entry>,
    /// How many there are on all pages together.
    total: usize,
    /// Whether there are more: ask again with `next_cursor` as `cursor`.
    truncated: bool,
    /// Where the next page begins.
    #[serde(skip_serializing_if = "Option::is_none")]
    next_cursor: Option<String>,
    /// What could not be read, and why.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    warnings: Vec<String>,
}

/// An enclave in a list.
#[derive(Debug, Serialize, JsonSchema)]
struct Entry {
    /// Name of the enclave.
    name: String,
    /// The same: what other tools take as `enclave`.
    enclave: String,
    /// Email address of the owner, empty where there is none.
    owner: String,
    /// `provisioning`, `active` or `frozen`.
    status: &'static str,
    /// Where the team talks.
    #[serde(skip_serializing_if = "Option::is_none")]
    platform: Option<String>,
    /// Name of the team's channel there.
    #[serde(skip_serializing_if = "Option::is_none")]
    channel_name: Option<String>,
    /// RFC 3339 time at which it was made.
    #[serde(skip_serializing_if = "Option::is_none")]
    created_at: Option<String>,
    /// Email addresses of the members, without the owner.
    members: Vec<String>,
    /// What members and others may do in it, nine characters.
    mode: String,
    /// The preset that is this mode, where there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    preset: Option<&'static str>,
    /// Mode of tentacles created in it later, nine characters.
    default_mode: String,
    /// What the caller is to the enclave.
    caller_role: CallerRole,
    /// How many tentacles there are in it; absent when they could not be counted.
    #[serde(skip_serializing_if = "Option::is_none")]
    tentacle_count: Option<usize>,
}

/// Lists the enclaves that the caller may read.
pub(crate) async fn list(
    registrar: Arc<Registrar>,
    permitted: Permitted,
    arguments: Arguments,
) -> Result<Page, ToolError> {
    let enclaves = registrar.enclaves.trusted(SIDECAR_PATIENCE).await.map_err(ToolError::new)?;
    let (viewer, authorization) = viewer(&permitted, arguments.caller_email.as_deref())?;
    let status = arguments.status.as_deref().map(status).transpose()?;
    let after = arguments.cursor.as_deref().map(after).transpose()?;
    let limit = limit(arguments.limit)?;
    let visible: Vec<_> = enclaves
        .into_iter()
        .filter(|enclave| !enclave.terminating && status.is_none_or(|status| enclave.status == status))
        .filter(|enclave| may(&viewer, authorization, Needs::Read, enclave, None))
        .collect();
    let total = visible.len();
    let mut page: Vec<_> =
        visible.into_iter().filter(|enclave| after.as_ref().is_none_or(|after| enclave.name > *after)).collect();
    let more = page.len() > limit;
    page.truncate(limit);
    let next_cursor = page.last().filter(|_| more).map(|last| last.name.to_string());
    let until = Instant::now() + PATIENCE;
    let entries = page.into_iter().map(|enclave| entry(&registrar, &viewer, enclave, until));
    let (enclaves, uncounted): (_, Vec<_>) = stream::iter(entries).buffered(AT_ONCE).unzip().await;
    let warnings = uncounted.into_iter().flatten().collect();
    Ok(Page { enclaves, total, truncated: next_cursor.is_some(), next_cursor, warnings })
}

/// The enclave in the list, and what is missing there.
async fn entry(
    registrar: &Registrar,
    viewer: &Caller,
    enclave: Arc<Enclave>,
    until: Instant,
) -> (Entry, Option<String>) {
    let cluster = registrar.cluster.patient(PATIENCE);
    let counted = match timeout_at(until, view::tentacles(&cluster, enclave.name.as_str())).await {
        Ok(counted) => counted.map_err(|error| error.to_string()),
        Err(_) => Err(format!("no answer within {} s", PATIENCE.as_secs())),
    };
    let uncounted = counted.as_ref().err();
    let uncounted = uncounted.map(|error| format!("the tentacles of {} cannot be counted: {error}", enclave.name));
    let metadata = registrar.enclaves.metadata(&enclave.name).unwrap_or_default();
    let entry = Entry {
        name: enclave.name.to_string(),
        enclave: enclave.name.to_string(),
        owner: view::owner(&enclave),
        status: enclave.status.as_str(),
        platform: annotation(&metadata, keys::ENCLAVE_PLATFORM),
        channel_name: annotation(&metadata, keys::ENCLAVE_CHANNEL_NAME),
        created_at: annotation(&metadata, keys::ENCLAVE_CREATED_AT),
        members: view::members(&enclave),
        mode: enclave.mode.to_string(),
        preset: enclave.mode.preset(),
        default_mode: enclave.default_mode.to_string(),
        caller_role: CallerRole::of(viewer, &enclave),
        tentacle_count: counted.ok(),
    };
    (entry, uncounted)
}

/// Through whose eyes the list is seen, and whether authorization is on for them.
fn viewer(permitted: &Permitted, email: Option<&str>) -> Result<(Caller, bool), ToolError> {
    let email = email.map(str::trim).filter(|email| !email.is_empty());
    match (permitted.caller(), email) {
        (Caller::Bearer, Some(email)) => {
            let email: Email =
                email.parse().map_err(|error| ToolError::new(format_args!("caller_email: {error}")))?;
            Ok((Caller::Oidc(Identity { email: Some(email), ..Identity::default() }), true))
        }
        (caller, _) => Ok((caller.clone(), permitted.permit().authorization())),
    }
}

fn status(text: &str) -> Result<Status, ToolError> {
    let known = [Status::Provisioning, Status::Active, Status::Frozen];
    known.into_iter().find(|status| status.as_str() == text).ok_or_else(|| {
        ToolError::new(format_args!("invalid status {text:?}; valid values: provisioning, active, frozen"))
    })
}

fn limit(limit: Option<usize>) -> Result<usize, ToolError> {
    match limit {
        None => Ok(PAGE),
        Some(limit) if (1..=LARGEST_PAGE).contains(&limit) => Ok(limit),
        Some(limit) => Err(ToolError::new(format_args!("limit {limit} is out of range: give 1 to {LARGEST_PAGE}"))),
    }
}

fn after(cursor: &str) -> Result<EnclaveName, ToolError> {
    cursor.parse().map_err(|_| ToolError::new("cursor: give next_cursor of the answer before, as it stands"))
}
