//! Writing a plan: only what the rehearsal found to be different, kind by kind, and then the removal of what is
//! superfluous. Every write is for the object that was read and no other.

use std::{
    sync::atomic::{AtomicBool, Ordering},
    time::{Duration, Instant},
};

use futures::{StreamExt as _, stream};
use tentacular_cluster::{Conflicts, Error, Kind, Object, Objects, Propagation, retry_on_conflict_or_outage};
use tentacular_contract::release::release_of;
use tentacular_process::link::ToolError;
use tokio::time::sleep;

use super::{
    claim::{CONTENDED, claim, settle_claim},
    manifest::Manifest,
    outcome::Effect,
    plan::{AT_ONCE, Plan, Planned},
    progress::{Failure, Progress, Writing},
    release,
};

/// Longest wait for a Job that is replaced to go, with its pods.
const GONE_WITHIN: Duration = Duration::from_mins(1);
/// Pause between two looks.
const LOOK: Duration = Duration::from_millis(100);

impl Plan<'_> {
    /// Writes what the rehearsal found to be different, and removes what is superfluous.
    pub(crate) async fn write(&mut self, writing: &Writing<'_>) -> Result<(), ToolError> {
        let Writing { permitted, held, .. } = *writing;
        let due = self.planned.iter().filter(|planned| planned.effect != Effect::Unchanged).count();
        let mut progress = Progress::of(permitted, due + self.superfluous.removed.len());
        match self.begin(writing).await {
            Ok(begun) => progress.begun = begun,
            Err(failed) => return Err(progress.half_way(&[failed])),
        }
        for kind in Kind::ALL {
            self.write_kind(kind, writing, &mut progress).await?;
        }
        for live in &self.superfluous.removed {
            let title = live.title();
            let removed = match held.require() {
                Ok(()) => self.remove(live.kind, &live.object, Propagation::Background).await.map_err(Failure::from),
                Err(lost) => Err(lost.into()),
            };
            if let Err(failure) = removed {
                return Err(progress.half_way(&[(title, failure)]));
            }
            progress.report(title).await;
        }
        Ok(())
    }

    /// Writes the objects of one kind, some at the same time. One that fails does not take the others along.
    async fn write_kind(
        &mut self,
        kind: Kind,
        writing: &Writing<'_>,
        progress: &mut Progress<'_>,
    ) -> Result<(), ToolError> {
        let is_due = |planned: &Planned| planned.manifest.kind == kind && planned.effect != Effect::Unchanged;
        let due: Vec<_> = (0..self.planned.len()).filter(|index| is_due(&self.planned[*index])).collect();
        let plan = &*self;
        let writes = due.into_iter().map(|index| async move {
            let planned = &plan.planned[index];
            let written = match writing.held.require() {
                Ok(()) => plan.write_one(planned, writing).await,
                Err(lost) => Err(lost.into()),
            };
            (index, written)
        });
        let answers: Vec<_> = stream::iter(writes.collect::<Vec<_>>()).buffered(AT_ONCE).collect().await;
        let mut failed = Vec::new();
        for (index, answer) in answers {
            let planned = &mut self.planned[index];
            let title = planned.manifest.to_string();
            match answer {
                Ok((effect, object)) => {
                    planned.effect = effect;
                    planned.made = object.metadata.uid;
                    progress.report(title).await;
                }
                Err(failure) => failed.push((title, failure)),
            }
        }
        if failed.is_empty() { Ok(()) } else { Err(progress.half_way(&failed)) }
    }

    pub(super) async fn write_one(
        &self,
        planned: &Planned,
        writing: &Writing<'_>,
    ) -> Result<(Effect, Object), Failure> {
        let objects = self.cluster.objects(planned.manifest.kind, self.enclave().as_str());
        let replaced = planned.effect == Effect::Replaced;
        if replaced {
            self.clear(planned).await?;
        }
        let expected = planned.live.as_ref().filter(|_| !replaced);
        let mut attempts = 0;
        let lost = AtomicBool::new(false);
        let attempt = || {
            attempts += 1;
            let attempt = Box::pin(self.attempt(planned, expected, &objects, writing, attempts > 1));
            let lost = &lost;
            async move {
                let ended = attempt.await;
                lost.fetch_or(ended.as_ref().is_err_and(Error::is_unavailable), Ordering::Relaxed);
                ended
            }
        };
        let written = retry_on_conflict_or_outage(CONTENDED, attempt).await;
        // An attempt before the one that was refused may have been carried out.
        let failed = |error| Failure { error, unknown: lost.load(Ordering::Relaxed) };
        let (effect, object) = written.map_err(|error| failed(error.into()))?.map_err(failed)?;
        // What was begun is made by this apply all the same.
        let settled = matches!(planned.effect, Effect::Created | Effect::Replaced);
        Ok((if settled { planned.effect } else { effect }, object))
    }

    /// One attempt to write an object that stood there as `expected`, or did not. What was read before is good enough for
    /// the first one: if it is no longer true, the write is refused.
    async fn attempt(
        &self,
        planned: &Planned,
        expected: Option<&Object>,
        objects: &Objects<Object>,
        writing: &Writing<'_>,
        again: bool,
    ) -> Result<Result<(Effect, Object), ToolError>, Error> {
        let stamp = writing.stamp;
        let live = if again { objects.get(&planned.manifest.name).await? } else { expected.cloned() };
        if again {
            let adopts = live.as_ref().is_some_and(|live| release_of(&live.metadata).is_none());
            match writing.recheck().await {
                Ok(standing) if adopts && !standing.is_commanded_by(writing.permitted) => {
                    return Ok(Err(self.not_as_planned(planned)));
                }
                Ok(_) => {}
                Err(denied) => return Ok(Err(denied)),
            }
        }
        let object = self.stamped(planned, || match &live {
            Some(begun) if planned.effect == Effect::Created => stamp.kept(&release::annotations(begun)),
            Some(before) => stamp.updated(&release::annotations(before)),
            None => stamp.created(),
        });
        match (expected, live) {
            (None, None) => self.create(objects, &object.to_object(None), again).await,
            // An attempt before this one made it, and its answer was lost.
            (None, Some(now)) if again && self.is_ours(&now) => {
                Ok(Ok((Effect::Created, settle_claim(objects, now).await?)))
            }
            (Some(before), Some(now)) if self.is_same(before, &now) => {
                let version = now.metadata.resource_version.clone();
                let now = claim(objects, now).await?;
                let object = match object.to_object(Some(&now)) {
                    Ok(object) => object,
                    Err(error) => return Ok(Err(error.into())),
                };
                let written = objects.apply(&object, Conflicts::TakeOver).await?;
                // A change whose answer was lost is found to be made already.
                let same = !again && written.metadata.resource_version == version;
                Ok(Ok((if same { Effect::Unchanged } else { Effect::Updated }, written)))
            }
            _ => Ok(Err(self.not_as_planned(planned))),
        }
    }

    /// Makes an object that is not there. A plain create, since server-side apply would take over one that somebody else
    /// made in the meantime.
    async fn create(
        &self,
        objects: &Objects<Object>,
        object: &Result<Object, serde_json::Error>,
        again: bool,
    ) -> Result<Result<(Effect, Object), ToolError>, Error> {
        let object = match object {
            Ok(object) => object,
            Err(error) => return Ok(Err(ToolError::new(error))),
        };
        match objects.create(object).await {
            Ok(made) => Ok(Ok((Effect::Created, settle_claim(objects, made).await?))),
            // It may be that of an attempt before, which arrived late: look again.
            Err(Error::AlreadyExists { object }) if again => {
                Err(Error::Conflict { object, message: "it was made at the same time".to_owned() })
            }
            Err(error @ Error::AlreadyExists { .. }) => {
                Ok(Err(ToolError::new(format_args!("{error}: somebody else made it at the same time"))))
            }
            Err(error) => Err(error),
        }
    }

    /// Removes a Job that is to be made anew, and waits until it is gone.
    async fn clear(&self, planned: &Planned) -> Result<(), Failure> {
        let Manifest { kind, name, .. } = &planned.manifest;
        let Some(before) = &planned.live else { return Ok(()) };
        let uid = before.metadata.uid.as_deref();
        self.remove(*kind, before, Propagation::Foreground).await?;
        let begun = Instant::now();
        let objects = self.cluster.objects(*kind, self.enclave().as_str());
        while objects.get(name).await?.is_some_and(|live| live.metadata.uid.as_deref() == uid) {
            if begun.elapsed() > GONE_WITHIN {
                return Err(ToolError::new(format_args!(
                    "{} was deleted to be made anew and is not gone after {} s",
                    planned.manifest,
                    GONE_WITHIN.as_secs()
                ))
                .into());
            }
            sleep(LOOK).await;
        }
        Ok(())
    }

    async fn remove(&self, kind: Kind, live: &Object, how: Propagation) -> Result<(), Error> {
        release::delete(&self.cluster.objects(kind, self.enclave().as_str()), live, how).await
    }

    fn is_ours(&self, live: &Object) -> bool {
        release_of(&live.metadata) == Some(self.tentacle().as_str())
    }

    /// Whether `now` is the object that was planned for: the same one, and of nobody else since.
    fn is_same(&self, before: &Object, now: &Object) -> bool {
        before.metadata.uid == now.metadata.uid
            && (self.is_ours(now) || release_of(&before.metadata) == release_of(&now.metadata))
    }

    fn not_as_planned(&self, planned: &Planned) -> ToolError {
        ToolError::new(format_args!(
            "{} in {} was made, removed or replaced by somebody else at the same time",
            planned.manifest,
            self.enclave()
        ))
    }
}
