//! `wf_remove`: removes everything that carries a tentacle's release label, and waits until it is gone.

mod removal;

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tentacular_cluster::Kind;
use tentacular_contract::{Authz, EnclaveName, Needs, On, TentacleName, release::release_of};
use tentacular_process::link::{Permitted, ToolError, ToolSpec};
use tokio::time::Instant;

use self::removal::Removal;
use super::{
    release::{self, Live},
    standing::{self, Standing},
};
use crate::{
    backing::{self, Tenant, Used},
    locks::Held,
    registrar::Registrar,
};

/// Seconds within which the call ends.
const DEADLINE_SECONDS: u64 = 400;
/// Longest wait for the objects to go, in seconds; the rest is for the lock, for deleting and for answering.
const WAIT_SECONDS: u64 = 240;

/// The kinds in the order in which they go. What runs goes first and takes its pods along, a `CronJob` before it can
/// make another Job; network policies guard the pods to the end.
const STAGES: [&[Kind]; 3] =
    [RUNNERS, &[Kind::Ingress, Kind::Service, Kind::ConfigMap, Kind::Secret, Kind::PersistentVolumeClaim], GUARDS];
const RUNNERS: &[Kind] = &[Kind::CronJob, Kind::Deployment, Kind::Job];
/// They stay as long as something of the first stage does.
const GUARDS: &[Kind] = &[Kind::NetworkPolicy];

/// What `wf_remove` declares.
pub(crate) fn spec() -> ToolSpec {
    ToolSpec::new(
        "wf_remove",
        "Remove a tentacle",
        "Removes a tentacle with everything that belongs to it, volumes and their data included, and waits until it is \
         gone. What it has in backing services stays, unless the installation cleans up (exo_status says); its identity goes. Where that takes too long the answer says what remains, and the same call again goes on.",
        Authz::new(On::Tentacle, Needs::Write)
            .enclave_at(&["/enclave", "/namespace"])
            .tentacle_at(&["/name"])
            .within_seconds(DEADLINE_SECONDS),
    )
    .destructive()
    .idempotent()
}

/// Arguments of `wf_remove`.
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
    /// How long to wait until all is gone, 0 to 240 seconds; for clients that give up early. Default 240.
    #[serde(default)]
    #[schemars(range(min = 0, max = 240))]
    wait_seconds: Option<u64>,
}

/// What was removed.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Outcome {
    /// Name of the tentacle.
    name: String,
    /// Name of its enclave.
    enclave: String,
    /// How many objects were removed.
    deleted: usize,
    /// The objects that were removed, as Kind/name.
    removed: Vec<String>,
    /// The objects that are still there, as Kind/name: they are being deleted, or wait for those. The same call again goes
    /// on.
    remaining: Vec<String>,
    /// Whether what it had in the backing services was removed too, with its data. Absent where it stays, or there was nothing.
    #[serde(skip_serializing_if = "Option::is_none")]
    exo_cleaned_up: Option<bool>,
    /// What was done in each, such as `postgres schema dropped`. An identity is removed wherever there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    exo_cleanup_details: Option<String>,
    /// What the caller should know, such as that there was nothing to remove, or that not all is gone yet.
    warnings: Vec<String>,
}

/// Removes the tentacle of the permit.
pub(crate) async fn remove(
    registrar: Arc<Registrar>,
    permitted: Permitted,
    arguments: Arguments,
) -> Result<Outcome, ToolError> {
    let wait = arguments.wait_seconds.unwrap_or(WAIT_SECONDS);
    if wait > WAIT_SECONDS {
        return Err(ToolError::new(format_args!(
            "nothing was removed: wait_seconds {wait} is out of range: give 0 to {WAIT_SECONDS}"
        )));
    }
    let held = standing::lock(&registrar, &permitted).await?;
    let outcome = locked(&registrar, &permitted, &held, Duration::from_secs(wait)).await;
    held.release().await;
    outcome
}

/// Removes the tentacle while its lock is held, so that nobody makes anything of it at the same time.
async fn locked(
    registrar: &Registrar,
    permitted: &Permitted,
    held: &Held,
    wait: Duration,
) -> Result<Outcome, ToolError> {
    let (enclave, tentacle) = (permitted.enclave()?, permitted.tentacle()?);
    let standing = Standing::read(registrar, permitted).await?;
    let release = release::read(&registrar.cluster, enclave, tentacle).await?;
    if let Some(deployment) = &standing.deployment
        && release_of(&deployment.metadata) != Some(tentacle.as_str())
    {
        return Err(foreign(enclave, tentacle, release_of(&deployment.metadata)));
    }
    let used = to_clean_up(registrar, permitted, &release).await?;
    let mut removal = Removal {
        cluster: &registrar.cluster,
        place: (enclave, tentacle),
        permitted,
        held,
        commands: standing.is_commanded_by(permitted),
        until: Instant::now() + wait,
        asked: BTreeMap::new(),
        remaining: Vec::new(),
        cleaned_up: Vec::new(),
        identity: Ok(false),
    };
    let tenant = Tenant { enclave: enclave.clone(), tentacle: tentacle.clone() };
    for kinds in STAGES {
        // What pods still use stays, and so does the Secret that says what is to be cleaned up.
        if removal.runs() && (kinds == GUARDS || !used.is_empty()) {
            removal.remaining.extend(release.iter().filter(|live| kinds.contains(&live.kind)).cloned());
            continue;
        }
        if kinds.contains(&Kind::Secret) && !used.is_empty() {
            removal.require()?;
            let (cleaned_up, failed) = registrar.backing.unregister(&tenant, &used).await;
            if let Some(error) = failed {
                return Err(removal.half_way(error));
            }
            removal.cleaned_up = cleaned_up;
        }
        removal.delete(&release, kinds).await?;
        removal.wait().await?;
    }
    if !removal.runs() {
        removal.require()?;
        removal.identity = registrar.backing.forget(&tenant).await;
    }
    Ok(removal.outcome())
}

/// What the tentacle has in backing services that goes with it. An error where one of them cannot be used now: without the
/// Deployment only the enclave's owner could go on.
async fn to_clean_up(registrar: &Registrar, permitted: &Permitted, release: &[Live]) -> Result<Used, ToolError> {
    if !registrar.backing.cleans_up() {
        return Ok(Used::new());
    }
    let used = backing::used(backing::secret(release, permitted.tentacle()?.as_str()));
    if !used.is_empty() {
        let required = registrar.backing.require(&used).await;
        required.map_err(|error| ToolError::new(format_args!("nothing was removed: {error}")))?;
        // That may have taken a while, and the caller may have lost the right.
        Standing::read(registrar, permitted).await?;
    }
    Ok(used)
}

fn foreign(enclave: &EnclaveName, tentacle: &TentacleName, release: Option<&str>) -> ToolError {
    let whose = release.map_or_else(|| "no tentacle".to_owned(), |release| format!("tentacle {release}"));
    ToolError::new(format_args!(
        "nothing was removed: Deployment {enclave}/{tentacle} belongs to {whose} (label tentacular.io/release), so it \
         was not applied under this name; remove it as what it is"
    ))
}
