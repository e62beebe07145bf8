//! `wf_remove`: removes everything that carries a tentacle's release label, and waits until it is gone.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tentacular_cluster::{Cluster, Delete, Error, Kind, Propagation};
use tentacular_contract::{Authz, EnclaveName, Needs, On, TentacleName};
use tentacular_process::link::{Permitted, ToolError, ToolSpec};
use tokio::time::{Instant, sleep};

use super::{
    release::{self, Live, is_terminating},
    standing::Standing,
};
use crate::registrar::Registrar;

/// Seconds within which the call ends.
const DEADLINE_SECONDS: u64 = 300;
/// Longest wait for the objects to go; the rest is for deleting and answering.
const GONE_WITHIN: Duration = Duration::from_secs(DEADLINE_SECONDS - 40);
/// Pause between two looks.
const LOOK: Duration = Duration::from_millis(250);
/// After so long a caller who waits is told how far it is, and again as often.
const TELL: Duration = Duration::from_secs(2);

/// The kinds in the order in which they go. What runs goes first and takes its pods along, a `CronJob` before it can
/// make another Job; network policies guard the pods to the end.
const STAGES: [&[Kind]; 3] = [
    &[Kind::CronJob, Kind::Deployment, Kind::Job],
    &[Kind::Ingress, Kind::Service, Kind::ConfigMap, Kind::Secret, Kind::PersistentVolumeClaim],
    &[Kind::NetworkPolicy],
];

/// What `wf_remove` declares.
pub(crate) fn spec() -> ToolSpec {
    ToolSpec::new(
        "wf_remove",
        "Remove a tentacle",
        "Removes a tentacle with everything that belongs to it, volumes and their data included, and waits until it is \
         gone.",
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
    /// The objects whose removal was asked for and that are still there, as Kind/name.
    remaining: Vec<String>,
    /// What the caller should know, such as that there was nothing to remove.
    warnings: Vec<String>,
}

/// Removes the tentacle of the permit.
pub(crate) async fn remove(
    registrar: Arc<Registrar>,
    permitted: Permitted,
    _arguments: Arguments,
) -> Result<Outcome, ToolError> {
    let (enclave, tentacle) = (permitted.enclave()?, permitted.tentacle()?);
    let standing = Standing::read(&registrar, &permitted).await?;
    let release = release::read(&registrar.cluster, enclave, tentacle).await?;
    if let Some(deployment) = &standing.deployment
        && release::release_of(deployment) != Some(tentacle.as_str())
    {
        return Err(foreign(enclave, tentacle, release::release_of(deployment)));
    }
    let mut removal = Removal {
        cluster: &registrar.cluster,
        place: (enclave, tentacle),
        permitted: &permitted,
        until: Instant::now() + GONE_WITHIN,
        asked: BTreeMap::new(),
        remaining: Vec::new(),
    };
    for kinds in STAGES {
        removal.delete(&release, kinds).await?;
        removal.wait().await?;
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
    until: Instant,
    /// Title of each object whose removal was asked for, by uid.
    asked: BTreeMap<String, String>,
    remaining: Vec<String>,
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
                self.delete_one(live, &uid).await.map_err(|error| self.half_way(&error))?;
            }
            self.asked.insert(uid, live.title());
        }
        Ok(())
    }

    async fn delete_one(&self, live: &Live, uid: &str) -> Result<(), Error> {
        let runs = STAGES[0].contains(&live.kind);
        let propagation = if runs { Propagation::Foreground } else { Propagation::Background };
        let delete = Delete { uid: Some(uid.to_owned()), propagation, ..Delete::default() };
        let (enclave, _) = self.place;
        match self.cluster.objects(live.kind, enclave.as_str()).delete(live.name(), &delete).await {
            // Somebody else removed it, and perhaps made another one, which is not the one that was to go.
            Ok(_) | Err(Error::Conflict { .. }) => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// Waits until all that was asked for is gone, or the time is up.
    async fn wait(&mut self) -> Result<(), ToolError> {
        let mut tell = Instant::now() + TELL;
        while !self.asked.is_empty() {
            let (enclave, tentacle) = self.place;
            let release = release::read(self.cluster, enclave, tentacle).await;
            let release = release.map_err(|error| self.half_way(&error))?;
            let left = release.iter().filter(|live| live.uid().is_some_and(|uid| self.asked.contains_key(uid)));
            self.remaining = left.map(Live::title).collect();
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

    async fn tell(&self) {
        let count = |number: usize| u32::try_from(number).map_or(f64::MAX, f64::from);
        let done = count(self.asked.len() - self.remaining.len().min(self.asked.len()));
        let message = format!("waiting for {}", self.remaining.join(", "));
        self.permitted.progress(done, None, message).await;
    }

    fn half_way(&self, error: &Error) -> ToolError {
        if self.asked.is_empty() {
            return ToolError::new(format_args!("nothing was removed: {error}"));
        }
        let asked: Vec<_> = self.asked.values().map(String::as_str).collect();
        ToolError::new(format_args!(
            "stopped half way: {error}; removal was asked for before that: {}; call wf_remove again to go on",
            asked.join(", ")
        ))
    }

    fn outcome(self) -> Outcome {
        let (enclave, tentacle) = self.place;
        let nothing = self.asked.is_empty();
        let warning =
            || format!("there was nothing of tentacle {enclave}/{tentacle}; wf_list names those that exist");
        let removed: Vec<_> = self.asked.into_values().filter(|title| !self.remaining.contains(title)).collect();
        Outcome {
            name: tentacle.to_string(),
            enclave: enclave.to_string(),
            deleted: removed.len(),
            removed,
            remaining: self.remaining,
            warnings: nothing.then(warning).into_iter().collect(),
        }
    }
}
