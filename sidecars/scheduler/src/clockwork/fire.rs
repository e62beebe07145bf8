//! Looking at one schedule: skipping, claiming and running what is due.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use chrono::TimeDelta;
use k8s_openapi::api::core::v1::{ConfigMap, Event};
use serde_json::json;
use sha2::{Digest as _, Sha256};
use tentacular_cluster::Error;
use tentacular_contract::{
    cron::{self, Missed, Overlap},
    keys,
    workflow::{self, CronTrigger},
};

use super::{
    Lead, Place, Time,
    due::{self, Due, Span},
    kept::{Kept, Since},
    timetable::{Entry, Timetable, names},
};
use crate::{
    clock::Clock,
    engine::Engine,
    ledger::{Book, Change, ChangeError, Claim, Firing, Held, Outcome, Refused, Run as Entered, Skip},
    run::{Run, RunId, millis},
};

/// How long a change of a ledger is tried: the API server may be away for a while.
const PATIENCE: Duration = Duration::from_secs(5);
/// How long the outcome of a run is tried to be written.
const OUTCOME: Duration = Duration::from_mins(5);
/// Pause before a schedule is looked at again whose ledger could not be written.
const AGAIN: TimeDelta = TimeDelta::seconds(2);
/// What a run has beyond its limit before it counts as interrupted.
const MARGIN: TimeDelta = TimeDelta::seconds(30);

/// Why instants are not fired.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Why {
    Missed,
    Frozen,
    Overlap,
}

impl Why {
    /// How metrics name it.
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Missed => "missed",
            Self::Frozen => "frozen",
            Self::Overlap => "overlap",
        }
    }

    const fn sentence(self) -> &'static str {
        match self {
            Self::Missed => "missed: no scheduler could fire it in time",
            Self::Frozen => "the enclave was frozen",
            Self::Overlap => "the run before it was still going on",
        }
    }
}

impl<E: Engine, C: Clock + Clone> Lead<E, C> {
    /// Looks at one schedule of a tentacle, does what is due, and returns when to look again.
    pub(super) async fn look(&self, kept: &Arc<Kept>, index: usize) -> Option<Time> {
        let entry = kept.timetable.entries.get(index)?;
        // First the room for a run, so that a claim is never older than its run.
        let room = Arc::clone(&self.runs).acquire_owned().await.ok()?;
        let _claiming = self.claims.acquire().await.ok()?;
        let mut held = kept.ledger.lock().await;
        let now = self.clockwork.clock.time();
        if !self.leading.is_valid() {
            return Some(now + AGAIN);
        }
        let mut look = Look { lead: self, kept, entry, held: &mut held, now };
        match look.act().await {
            Ok(Done::Wait(next)) => next,
            Ok(Done::Claimed(claim)) => {
                drop(held);
                let (lead, kept) = (self.clone(), Arc::clone(kept));
                kept.begin();
                self.tracker.spawn(async move {
                    lead.make(&kept, &claim).await;
                    kept.end();
                    drop(room);
                });
                Some(now)
            }
            Err(error) => {
                self.note(kept, entry, &error);
                Some(now + AGAIN)
            }
        }
    }

    fn note(&self, kept: &Kept, entry: &Entry, error: &ChangeError<Refused>) {
        match error {
            ChangeError::Refused(Refused::LowerTerm(term)) => self.leading.is_fenced_by(*term),
            ChangeError::Refused(Refused::NotNewer(_) | Refused::Taken) => self.clockwork.measures.lost(),
            _ => {}
        }
        let Place { enclave, tentacle } = &kept.place;
        tracing::warn!(%enclave, %tentacle, schedule = %entry.id, %error, "an instant was not claimed");
    }

    /// Makes a claimed run and writes how it ended.
    async fn make(&self, kept: &Kept, claim: &Claim) {
        let clockwork = &self.clockwork;
        let trigger = claim.firing.as_ref().and_then(|firing| firing.trigger.as_deref());
        let body = trigger.map_or_else(|| json!({}), |trigger| json!({ "trigger": trigger }));
        let run = Run {
            id: claim.id,
            enclave: kept.place.enclave.clone(),
            tentacle: kept.place.tentacle.clone(),
            body: Bytes::from(body.to_string()),
            limit: clockwork.limit,
        };
        let ended = clockwork.runner.run(&run).await;
        let outcome = Outcome::of(&ended, clockwork.clock.time());
        clockwork.measures.ended(outcome.success);
        let mut held = kept.ledger.lock().await;
        let written = clockwork.ledgers.change(&mut held, OUTCOME, |book| book.finish(claim.id, &outcome)).await;
        if let Err(error) = written {
            let Place { enclave, tentacle } = &kept.place;
            tracing::warn!(%enclave, %tentacle, run_id = %claim.id, %error, "how a run ended was not written");
        }
    }

    /// Closes what was left open of a tentacle, and makes again what was interrupted where that is wanted.
    pub(super) async fn look_after(&self, kept: &Arc<Kept>) {
        let now = self.clockwork.clock.time();
        let mut held = kept.ledger.lock().await;
        let open = |run: &&Entered| {
            run.term.is_none_or(|term| term < self.term) || run.deadline.is_none_or(|deadline| deadline <= now)
        };
        if held.book().claimed().any(|run| open(&run)) && self.leading.is_valid() {
            let closed =
                self.clockwork.ledgers.change(&mut held, PATIENCE, |book| book.interrupt(self.term, now)).await;
            if let Err(error) = closed {
                if let ChangeError::Refused(Refused::LowerTerm(term)) = error {
                    self.leading.is_fenced_by(term);
                }
                let Place { enclave, tentacle } = &kept.place;
                tracing::warn!(%enclave, %tentacle, %error, "runs that were left open are not closed");
                return;
            }
        }
        if kept.timetable.missed != Missed::Once {
            return;
        }
        // Its maker may still be at it until the deadline.
        let over = |run: &&Entered| run.deadline.is_none_or(|deadline| deadline <= now);
        let interrupted: Vec<_> = held.book().interrupted().filter(over).cloned().collect();
        for run in interrupted {
            let entry = kept.timetable.entries.iter().find(|entry| run.schedule.as_ref() == Some(&entry.id));
            let (Some(entry), Some(instant)) = (entry, run.instant) else { continue };
            let Some(room) = Arc::clone(&self.runs).try_acquire_owned().ok() else { return };
            let mut look = Look { lead: self, kept, entry, held: &mut held, now };
            match look.claim(instant, true).await {
                Ok(claim) => {
                    let (lead, kept) = (self.clone(), Arc::clone(kept));
                    kept.begin();
                    self.tracker.spawn(async move {
                        lead.make(&kept, &claim).await;
                        kept.end();
                        drop(room);
                    });
                }
                Err(error) => self.note(kept, entry, &error),
            }
        }
    }

    /// The cron triggers of the tentacle's `workflow.yaml`, where it has one that can be read.
    pub(super) async fn triggers(&self, place: &Place) -> Result<Option<Vec<CronTrigger>>, Error> {
        triggers(&self.clockwork.cluster, place).await
    }

    /// Tells on the Deployment why some of its schedules are none: an Event, once for each text.
    pub(super) async fn tell_invalid(&self, place: &Place, uid: &str, timetable: &Timetable) {
        if timetable.invalid.is_empty() {
            return;
        }
        let Place { enclave, tentacle } = place;
        let message: String = timetable.invalid.join("; ").chars().take(1000).collect();
        tracing::warn!(%enclave, %tentacle, %message, "schedules that cannot be read");
        let event = invalid_event(place, uid, &message, self.clockwork.clock.time());
        match self.clockwork.cluster.namespaced::<Event>(enclave.as_str()).create(&event).await {
            Ok(_) | Err(Error::AlreadyExists { .. }) => {}
            Err(error) => tracing::warn!(%enclave, %tentacle, %error, "an Event about schedules was not made"),
        }
    }
}

/// One schedule that is being looked at.
struct Look<'a, E, C> {
    lead: &'a Lead<E, C>,
    kept: &'a Kept,
    entry: &'a Entry,
    held: &'a mut Held,
    now: Time,
}

/// What was done.
enum Done {
    /// Nothing is left to do before then.
    Wait(Option<Time>),
    /// A run is to be made.
    Claimed(Box<Claim>),
}

impl<E: Engine, C: Clock + Clone> Look<'_, E, C> {
    async fn act(&mut self) -> Result<Done, ChangeError<Refused>> {
        let (kept, entry, now) = (self.kept, self.entry, self.now);
        if let Some(since) = kept.since(&entry.id) {
            self.begin(since).await?;
            kept.settled(&entry.id);
        }
        let Some(newest) = self.held.book().newest(&entry.id) else {
            let term = self.lead.term;
            self.change(|book| book.since(&entry.id, now, term)).await?;
            return Ok(Done::Wait(Some(now)));
        };
        match due::due(&kept.timetable, entry, newest, now) {
            Due::Wait(next) => Ok(Done::Wait(next)),
            Due::Skip(span) => {
                self.skip(span, Why::Missed).await?;
                Ok(Done::Wait(Some(now)))
            }
            Due::Fire { instant, missed } => {
                if let Some(missed) = missed {
                    self.skip(missed, Why::Missed).await?;
                }
                let claimed = if kept.timetable.overlap == Overlap::Skip && kept.is_running() {
                    Err(ChangeError::Refused(Refused::Overlap))
                } else {
                    self.claim(instant, false).await
                };
                match claimed {
                    Ok(claim) => Ok(Done::Claimed(Box::new(claim))),
                    Err(ChangeError::Refused(Refused::Overlap)) => {
                        let span = Span { first: instant, last: instant, count: 1 };
                        self.skip(span, Why::Overlap).await?;
                        Ok(Done::Wait(Some(now)))
                    }
                    Err(error) => Err(error),
                }
            }
        }
    }

    /// Notes from when on the schedule counts, where that is later than the ledger says.
    async fn begin(&mut self, since: Since) -> Result<(), ChangeError<Refused>> {
        let (entry, term) = (self.entry, self.lead.term);
        match (since, self.held.book().newest(&entry.id)) {
            (Since::Frozen(thawed), Some(newest)) => match due::passed(&self.kept.timetable, entry, newest, thawed) {
                Some(span) => self.skip(span, Why::Frozen).await,
                None => Ok(()),
            },
            (Since::New(from) | Since::Frozen(from), _) => {
                self.change(|book| book.since(&entry.id, from, term)).await
            }
        }
    }

    async fn skip(&mut self, span: Span, why: Why) -> Result<(), ChangeError<Refused>> {
        let Span { first, last, count } = span;
        let skip = Skip {
            id: self.id(first),
            at: self.now,
            schedule: self.entry.id.clone(),
            trigger: self.entry.schedule.name.clone(),
            first,
            last,
            count,
            reason: why.sentence().to_owned(),
            term: self.lead.term,
        };
        self.change(|book| book.skip(&skip)).await?;
        self.lead.clockwork.measures.skipped(why, count);
        let Place { enclave, tentacle } = &self.kept.place;
        tracing::info!(%enclave, %tentacle, schedule = %self.entry.id, %first, %last, count, why = why.as_str(), "skipped");
        Ok(())
    }

    /// Claims an instant: after this, and only then, its run is made.
    async fn claim(&mut self, instant: Time, again: bool) -> Result<Claim, ChangeError<Refused>> {
        let (lead, entry) = (self.lead, self.entry);
        let trigger = lead.name_of(self.kept, entry).await.map_err(ChangeError::Cluster)?;
        let at = lead.clockwork.clock.time();
        let planned = instant + TimeDelta::from_std(entry.jitter).unwrap_or_default();
        let lateness = (at - planned).to_std().unwrap_or_default();
        let limit = TimeDelta::from_std(lead.clockwork.limit).unwrap_or_default();
        let claim = Claim {
            id: self.id(instant),
            at,
            deadline: at + limit + MARGIN,
            by: String::new(),
            firing: Some(Firing {
                schedule: entry.id.clone(),
                trigger,
                instant,
                term: lead.term,
                lateness_ms: millis(lateness),
                again,
                alone: !again && self.kept.timetable.overlap == Overlap::Skip,
            }),
        };
        self.change(|book| book.claim(&claim)).await?;
        lead.clockwork.measures.fired(lateness);
        let Place { enclave, tentacle } = &self.kept.place;
        let lateness_ms = millis(lateness);
        tracing::info!(%enclave, %tentacle, schedule = %entry.id, %instant, run_id = %claim.id, lateness_ms, "fired");
        Ok(claim)
    }

    fn id(&self, instant: Time) -> RunId {
        let Place { enclave, tentacle } = &self.kept.place;
        RunId::of(cron::run_id(enclave, tentacle, &self.entry.schedule, instant))
    }

    async fn change(
        &mut self,
        judge: impl FnMut(&Book) -> Result<Change, Refused>,
    ) -> Result<(), ChangeError<Refused>> {
        self.lead.clockwork.ledgers.change(self.held, PATIENCE, judge).await
    }
}

impl<E: Engine, C: Clock + Clone> Lead<E, C> {
    /// The name by which the tentacle knows the schedule: that of the annotation, else of `workflow.yaml`.
    async fn name_of(&self, kept: &Kept, entry: &Entry) -> Result<Option<String>, Error> {
        if entry.schedule.name.is_some() {
            return Ok(entry.schedule.name.clone());
        }
        let names = kept.names.get_or_try_init(|| async {
            let triggers = self.triggers(&kept.place).await?;
            Ok(names(&kept.relevant, &triggers.unwrap_or_default()))
        });
        let names = names.await?;
        let index = kept.timetable.entries.iter().position(|other| other.id == entry.id);
        Ok(index.and_then(|index| names.get(index).cloned().flatten()))
    }
}

/// The cron triggers of a tentacle's `workflow.yaml`, where it has one that can be read.
pub(crate) async fn triggers(
    cluster: &tentacular_cluster::Cluster,
    Place { enclave, tentacle }: &Place,
) -> Result<Option<Vec<CronTrigger>>, Error> {
    let maps = cluster.namespaced::<ConfigMap>(enclave.as_str());
    let map = maps.get(&format!("{tentacle}-code")).await?;
    let yaml = map.and_then(|map| map.data?.remove(workflow::FILE));
    Ok(yaml.and_then(|yaml| workflow::cron_triggers(&yaml).ok()))
}

/// The Event that tells of schedules which cannot be read. Its name stands for Deployment and text, so that no leader makes
/// it twice.
fn invalid_event(Place { enclave, tentacle }: &Place, uid: &str, message: &str, now: Time) -> Event {
    let digest = Sha256::digest(format!("{uid} {message}"));
    let hash = digest.iter().take(8).fold(String::new(), |text, byte| format!("{text}{byte:02x}"));
    let time = k8s_openapi::apimachinery::pkg::apis::meta::v1::Time(
        k8s_openapi::jiff::Timestamp::from_second(now.timestamp()).unwrap_or_default(),
    );
    Event {
        metadata: k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta {
            name: Some(format!("{tentacle}.{hash}")),
            ..Default::default()
        },
        involved_object: k8s_openapi::api::core::v1::ObjectReference {
            api_version: Some("apps/v1".to_owned()),
            kind: Some("Deployment".to_owned()),
            namespace: Some(enclave.to_string()),
            name: Some(tentacle.to_string()),
            uid: Some(uid.to_owned()),
            ..Default::default()
        },
        type_: Some("Warning".to_owned()),
        reason: Some("InvalidSchedule".to_owned()),
        message: Some(format!("{}: {message}", keys::CRON_SCHEDULE)),
        source: Some(k8s_openapi::api::core::v1::EventSource {
            component: Some("tentacular-scheduler".to_owned()),
            ..Default::default()
        }),
        count: Some(1),
        first_timestamp: Some(time.clone()),
        last_timestamp: Some(time),
        ..Event::default()
    }
}
