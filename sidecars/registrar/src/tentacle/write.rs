//! Bringing the cluster to what the manifests say: what stands there is read, all of it is rehearsed with the API
//! server's dry run, and only what the rehearsal changed is written.

use std::time::Duration;

use futures::{StreamExt, TryStreamExt, stream};
use tentacular_cluster::{Cluster, Conflicts, Delete, Error, Kind, Object, retry_on_conflict};
use tentacular_contract::{EnclaveName, TentacleName};
use tentacular_process::link::{Permitted, ToolError};

use super::{
    effect::effect,
    manifest::Manifest,
    outcome::{Change, Effect},
    ownership::Stamp,
    prune::Superfluous,
    release::{self, Live, is_terminating, release_of},
    validate::Violations,
};

/// Requests to the API server at the same time.
const AT_ONCE: usize = 8;
/// How long an object is written again that somebody else changes at the same time.
const CONTENDED: Duration = Duration::from_secs(30);

/// One object: as it should be and as it is.
struct Planned {
    manifest: Manifest,
    live: Option<Object>,
    effect: Effect,
}

/// All that an apply is going to do.
pub(crate) struct Plan<'a> {
    pub(crate) cluster: &'a Cluster,
    pub(crate) enclave: &'a EnclaveName,
    pub(crate) tentacle: &'a TentacleName,
    planned: Vec<Planned>,
    superfluous: Superfluous,
}

impl<'a> Plan<'a> {
    /// Looks up what stands where the manifests go. `release` is what the tentacle has now.
    pub(crate) async fn read(
        cluster: &'a Cluster,
        (enclave, tentacle): (&'a EnclaveName, &'a TentacleName),
        manifests: Vec<Manifest>,
        release: Vec<Live>,
    ) -> Result<Self, Error> {
        let standing = |manifest: &Manifest| {
            let is_it = |live: &&Live| live.kind == manifest.kind && live.name() == manifest.name;
            release.iter().find(is_it).map(|live| live.object.clone())
        };
        let found = manifests.into_iter().map(|manifest| {
            let known = standing(&manifest);
            async move {
                let live = match known {
                    Some(live) => Some(live),
                    None => cluster.objects(manifest.kind, enclave.as_str()).get(&manifest.name).await?,
                };
                Ok::<_, Error>(Planned { manifest, live, effect: Effect::Unchanged })
            }
        });
        let planned: Vec<_> = stream::iter(found.collect::<Vec<_>>()).buffered(AT_ONCE).try_collect().await?;
        let manifests: Vec<_> = planned.iter().map(|planned| &planned.manifest).collect();
        let superfluous = super::prune::superfluous(release, &manifests);
        Ok(Self { cluster, enclave, tentacle, planned, superfluous })
    }

    /// What stands where the manifests go and is not this tentacle's to change.
    pub(crate) fn obstacles(&self) -> Vec<String> {
        let obstacles = self.planned.iter().filter_map(|planned| {
            let live = planned.live.as_ref()?;
            let problem = match release_of(live) {
                Some(release) if release == self.tentacle.as_str() => {
                    let problem = "is still being deleted; try again when it is gone".to_owned();
                    return is_terminating(live).then(|| format!("{} {problem}", planned.manifest));
                }
                Some(other) => format!("belongs to tentacle {other}"),
                None => "is there already and belongs to no tentacle".to_owned(),
            };
            Some(format!("{} {problem}; choose another name, as a tentacle changes only its own", planned.manifest))
        });
        obstacles.collect()
    }

    /// Has the API server check every object without storing it, and notes what each would change.
    pub(crate) async fn rehearse(&mut self, stamp: &Stamp<'_>) -> Result<(), ToolError> {
        let (cluster, enclave, tentacle) = (self.cluster, self.enclave, self.tentacle);
        let asked = self.planned.iter().map(|planned| async move {
            let live = planned.live.as_ref();
            let stamped = stamped(&planned.manifest, live, tentacle, |before| match before {
                Some(before) => stamp.kept(&release::annotations(before)),
                None => stamp.created(),
            });
            let mut object = stamped.to_object(live)?;
            // A change of the status since would be a conflict and means nothing here.
            object.metadata.resource_version = None;
            let objects = cluster.objects(planned.manifest.kind, enclave.as_str()).dry_run(true);
            Ok::<_, ToolError>(objects.apply(&object, conflicts(live)).await)
        });
        let answers: Vec<_> = stream::iter(asked.collect::<Vec<_>>()).buffered(AT_ONCE).try_collect().await?;
        let mut refused = Vec::new();
        for (planned, answer) in self.planned.iter_mut().zip(answers) {
            match answer {
                Ok(rehearsed) => planned.effect = effect(planned.live.as_ref(), &rehearsed),
                Err(error @ Error::Unavailable { .. }) => return Err(error.into()),
                Err(error) => refused.push(error.to_string()),
            }
        }
        if !refused.is_empty() {
            return Err(Violations(refused).into());
        }
        self.mark_deployment();
        Ok(())
    }

    /// An apply that changes anything is recorded on the Deployment, which is a change of that.
    fn mark_deployment(&mut self) {
        let quiet = self.planned.iter().all(|planned| planned.effect == Effect::Unchanged);
        if quiet && self.superfluous.removed.is_empty() {
            return;
        }
        for planned in &mut self.planned {
            if planned.manifest.is_deployment_of(self.tentacle) && planned.effect == Effect::Unchanged {
                planned.effect = Effect::Updated;
            }
        }
    }

    /// Writes what the rehearsal found to be different, and removes what is superfluous.
    pub(crate) async fn write(&mut self, stamp: &Stamp<'_>, permitted: &Permitted) -> Result<(), ToolError> {
        let total = self.planned.len() + self.superfluous.removed.len();
        let mut done = Vec::new();
        for index in 0..self.planned.len() {
            if self.planned[index].effect == Effect::Unchanged {
                continue;
            }
            let effect =
                self.write_one(&self.planned[index], stamp).await.map_err(|error| half_way(&error, &done))?;
            self.planned[index].effect = effect;
            done.push(self.planned[index].manifest.to_string());
            report(permitted, done.len(), total, done.last()).await;
        }
        for live in &self.superfluous.removed {
            let delete = Delete { uid: live.uid().map(str::to_owned), ..Delete::default() };
            match self.cluster.objects(live.kind, self.enclave.as_str()).delete(live.name(), &delete).await {
                // Somebody else removed or replaced it.
                Ok(_) | Err(Error::Conflict { .. }) => {}
                Err(error) => return Err(half_way(&error.into(), &done)),
            }
            done.push(live.title());
            report(permitted, done.len(), total, done.last()).await;
        }
        Ok(())
    }

    async fn write_one(&self, planned: &Planned, stamp: &Stamp<'_>) -> Result<Effect, ToolError> {
        let objects = self.cluster.objects(planned.manifest.kind, self.enclave.as_str());
        retry_on_conflict(CONTENDED, || async {
            let live = objects.get(&planned.manifest.name).await?;
            if !self.is_same(planned, live.as_ref()) {
                return Ok(Err(ToolError::new(format_args!(
                    "{} was made, removed or replaced by somebody else at the same time",
                    planned.manifest
                ))));
            }
            let stamped = stamped(&planned.manifest, live.as_ref(), self.tentacle, |before| match before {
                Some(before) => stamp.updated(&release::annotations(before)),
                None => stamp.created(),
            });
            let object = match stamped.to_object(live.as_ref()) {
                Ok(object) => object,
                Err(error) => return Ok(Err(error.into())),
            };
            let written = objects.apply(&object, conflicts(live.as_ref())).await?;
            let before = live.map(|live| live.metadata.resource_version);
            Ok(Ok(match before {
                None => Effect::Created,
                Some(before) if before == written.metadata.resource_version => Effect::Unchanged,
                Some(_) => Effect::Updated,
            }))
        })
        .await?
    }

    /// Whether `live` is what was planned for: the same object, still of this release, or still nothing.
    fn is_same(&self, planned: &Planned, live: Option<&Object>) -> bool {
        match (&planned.live, live) {
            (None, None) => true,
            (Some(before), Some(now)) => {
                before.metadata.uid == now.metadata.uid && release_of(now) == Some(self.tentacle.as_str())
            }
            _ => false,
        }
    }

    /// What happened, or would happen, to each object.
    pub(crate) fn changes(&self) -> Vec<Change> {
        let change = |kind: Kind, name: &str, action| Change { kind: kind.as_str(), name: name.to_owned(), action };
        let planned =
            self.planned.iter().map(|planned| change(planned.manifest.kind, &planned.manifest.name, planned.effect));
        let removed = self.superfluous.removed.iter().map(|live| change(live.kind, live.name(), Effect::Deleted));
        planned.chain(removed).collect()
    }

    /// What stays although no manifest has it.
    pub(crate) fn warnings(&self) -> &[String] {
        &self.superfluous.warnings
    }
}

/// The manifest, with the server's annotations where it is the Deployment that the tentacle is.
fn stamped(
    manifest: &Manifest,
    live: Option<&Object>,
    tentacle: &TentacleName,
    annotations: impl Fn(Option<&Object>) -> tentacular_contract::facts::Pairs,
) -> Manifest {
    let mut stamped = manifest.clone();
    if manifest.is_deployment_of(tentacle) {
        stamped.annotate(annotations(live));
    }
    stamped
}

/// The fields of an object of this release are the server's; those of a new one belong to nobody, or it is not new.
const fn conflicts(live: Option<&Object>) -> Conflicts {
    if live.is_some() { Conflicts::TakeOver } else { Conflicts::Refuse }
}

fn half_way(error: &ToolError, done: &[String]) -> ToolError {
    if done.is_empty() {
        return ToolError::new(format_args!("nothing was applied: {error}; try again"));
    }
    ToolError::new(format_args!(
        "stopped half way: {error}; written before that: {}; apply the same again to go on",
        done.join(", ")
    ))
}

async fn report(permitted: &Permitted, done: usize, total: usize, what: Option<&String>) {
    let count = |number: usize| u32::try_from(number).map_or(f64::MAX, f64::from);
    permitted.progress(count(done), Some(count(total)), what.cloned().unwrap_or_default()).await;
}
