//! `wf_remove`: removes everything that carries a tentacle's release label, and waits until it is gone.

use std::{collections::BTreeMap, fmt, sync::Arc, time::Duration};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tentacular_cluster::{Cluster, Error, Kind, Propagation};
use tentacular_contract::{Authz, EnclaveName, Needs, On, TentacleName};
use tentacular_process::link::{Permitted, ToolError, ToolSpec};
use tokio::time::{Instant, sleep};

use super::{
    release::{self, Live, is_terminating},
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
/// Pause between two looks.
const LOOK: Duration = Duration::from_millis(250);
/// After so long a caller who waits is told how far it is, and again as often.
const TELL: Duration = Duration::from_secs(2);

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
        && release::release_of(deployment) != Some(tentacle.as_str())
    {
        return Err(foreign(enclave, tentacle, release::release_of(deployment)));
    }
    let mut removal = Removal {
        cluster: &registrar.cluster,
        place: (enclave, tentacle),
        permitted,
        held,
        until: Instant::now() + wait,
        asked: BTreeMap::new(),
        remaining: Vec::new(),
        cleaned_up: Vec::new(),
        identity: Ok(false),
    };
    let tenant = Tenant { enclave: enclave.clone(), tentacle: tentacle.clone() };
    let used = if registrar.backing.cleans_up() {
        backing::used(backing::secret(&release, tentacle.as_str()))
    } else {
        Used::new()
    };
    for kinds in STAGES {
        // What pods still use stays, and so does the Secret that says what is to be cleaned up.
        if removal.runs() && (kinds == GUARDS || !used.is_empty()) {
            removal.remaining.extend(release.iter().filter(|live| kinds.contains(&live.kind)).cloned());
            continue;
        }
        if kinds.contains(&Kind::Secret) && !used.is_empty() {
            removal.require()?;
            let cleaned = registrar.backing.unregister(&tenant, &used).await;
            removal.cleaned_up = cleaned.map_err(|error| removal.half_way(error))?;
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

fn foreign(enclave: &EnclaveName, tentacle: &TentacleName, release: Option<&str>) -> ToolError {
    let whose = release.map_or_else(|| "no tentacle".to_owned(), |release| format!("tentacle {release}"));
    ToolError::new(format_args!(
        "nothing was removed: Deployment {enclave}/{tentacle} belongs to {whose} (label tentacular.io/release), so it \
         was not applied under this name; remove it as what it is"
    ))
}

/// A removal under way.
struct Removal<'a> {
    cluster: &'a Cluster,
    place: (&'a EnclaveName, &'a TentacleName),
    permitted: &'a Permitted,
    held: &'a Held,
    until: Instant,
    /// Title of each object whose removal was asked for, by uid.
    asked: BTreeMap<String, String>,
    remaining: Vec<Live>,
    /// What was done in the backing services.
    cleaned_up: Vec<String>,
    /// Whether its identity was removed, or why not.
    identity: Result<bool, String>,
}

impl Removal<'_> {
    /// Asks for the removal of what the release has of `kinds`.
    async fn delete(&mut self, release: &[Live], kinds: &[Kind]) -> Result<(), ToolError> {
        let mut going: Vec<_> = release.iter().filter(|live| kinds.contains(&live.kind)).collect();
        going.sort_by_key(|live| kinds.iter().position(|kind| *kind == live.kind));
        for live in going {
            let uid = live.uid().unwrap_or_default().to_owned();
            // What a controller made goes with its maker.
            if !is_terminating(&live.object) && !live.is_controlled() {
                self.require()?;
                if let Err(error) = self.delete_one(live).await {
                    if error.is_unavailable() {
                        self.asked.insert(uid, live.title());
                    }
                    return Err(self.half_way(error));
                }
            }
            self.asked.insert(uid, live.title());
        }
        Ok(())
    }

    async fn delete_one(&self, live: &Live) -> Result<(), Error> {
        let runs = STAGES[0].contains(&live.kind);
        let propagation = if runs { Propagation::Foreground } else { Propagation::Background };
        let (enclave, _) = self.place;
        let objects = self.cluster.objects(live.kind, enclave.as_str());
        release::delete(&objects, &live.object, propagation).await
    }

    /// Nothing is deleted once another call may be at work: it may rely on what this one would still delete.
    fn require(&self) -> Result<(), ToolError> {
        self.held.require().map_err(|lost| self.half_way(lost))
    }

    /// Waits until all that was asked for is gone, or the time is up.
    async fn wait(&mut self) -> Result<(), ToolError> {
        let mut tell = Instant::now() + TELL;
        while !self.asked.is_empty() {
            let (enclave, tentacle) = self.place;
            let release = release::read(self.cluster, enclave, tentacle).await;
            let release = release.map_err(|error| self.half_way(error))?;
            self.require()?;
            let is_asked = |live: &Live| live.uid().is_some_and(|uid| self.asked.contains_key(uid));
            self.remaining = release.into_iter().filter(is_asked).collect();
            if self.remaining.is_empty() || Instant::now() >= self.until {
                break;
            }
            if Instant::now() >= tell {
                self.tell().await;
                tell = Instant::now() + TELL;
            }
            sleep(LOOK).await;
        }
        Ok(())
    }

    /// Whether something that makes pods is still there.
    fn runs(&self) -> bool {
        self.remaining.iter().any(|live| RUNNERS.contains(&live.kind))
    }

    fn left(&self) -> Vec<String> {
        self.remaining.iter().map(Live::title).collect()
    }

    async fn tell(&self) {
        let count = |number: usize| u32::try_from(number).map_or(f64::MAX, f64::from);
        let done = count(self.asked.len() - self.remaining.len().min(self.asked.len()));
        let message = format!("waiting for {}", self.left().join(", "));
        self.permitted.progress(done, None, message).await;
    }

    fn half_way(&self, error: impl fmt::Display) -> ToolError {
        if self.asked.is_empty() {
            return ToolError::new(format_args!("nothing was removed: {error}"));
        }
        let asked: Vec<_> = self.asked.values().map(String::as_str).collect();
        ToolError::new(format_args!(
            "stopped half way: {error}; removal was asked for until then: {}; call wf_remove again to go on",
            asked.join(", ")
        ))
    }

    fn outcome(self) -> Outcome {
        let ((enclave, tentacle), remaining) = (self.place, self.left());
        let nothing =
            || format!("there was nothing of tentacle {enclave}/{tentacle}; wf_list names those that exist");
        let unfinished = || "not all of it is gone yet; call wf_remove again to go on".to_owned();
        let warnings = self.asked.is_empty().then(nothing).into_iter();
        let warnings = warnings.chain((!remaining.is_empty()).then(unfinished));
        let identity = matches!(self.identity, Ok(true)).then(|| "spire identity removed".to_owned());
        let details: Vec<_> = self.cleaned_up.iter().cloned().chain(identity).collect();
        let warnings = warnings.chain(self.identity.err()).collect();
        let is_left = |uid: &str| self.remaining.iter().any(|live| live.uid() == Some(uid));
        let removed: Vec<_> =
            self.asked.iter().filter(|(uid, _)| !is_left(uid)).map(|(_, title)| title.clone()).collect();
        Outcome {
            name: tentacle.to_string(),
            enclave: enclave.to_string(),
            deleted: removed.len(),
            removed,
            remaining,
            exo_cleaned_up: (!self.cleaned_up.is_empty()).then_some(true),
            exo_cleanup_details: (!details.is_empty()).then(|| details.join(", ")),
            warnings,
        }
    }
}
