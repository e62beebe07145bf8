//! Firing: a schedule is looked at, what it claims is made, and what was left open is closed, or left to the next leader.

use std::{convert::Infallible, sync::Arc, time::Duration};

use bytes::Bytes;
use chrono::TimeDelta;
use futures::{StreamExt as _, stream};
use serde_json::json;
use tentacular_contract::cron::{Missed, Overlap};
use tokio::time::{Instant, timeout};

use super::{
    Lead, Place, Time,
    kept::Kept,
    look::{Done, Look},
    runs::{Ongoing, Room, WRITES},
    timetable::Entry,
};
use crate::{
    clock::Clock,
    engine::Engine,
    ledger::{ChangeError, Claim, Outcome, Refused},
    run::{Run, RunId},
};

/// How long the outcome of a run is tried to be written: longer than outages last, as one that is not written counts as
/// interrupted, and may be made again.
const OUTCOME: Duration = Duration::from_hours(1);
/// How long that is tried before those of others have their turn.
const TURN: Duration = Duration::from_secs(5);
/// Pause before a schedule is looked at again whose enclave has as many runs as it may have.
const FULL: TimeDelta = TimeDelta::milliseconds(500);
/// Pause before a schedule is looked at again whose ledger could not be written.
const AGAIN: TimeDelta = TimeDelta::seconds(2);
/// The same when that will not pass by itself, as when a right is missing.
const LATER: TimeDelta = TimeDelta::seconds(30);

/// When to look at a schedule again.
#[derive(Debug, Clone, Copy)]
pub(super) enum Next {
    /// At this time.
    At(Time),
    /// After this pause. It is counted when the look has ended: meanwhile somebody may have set the clock.
    In(TimeDelta),
}

impl<E: Engine, C: Clock + Clone> Lead<E, C> {
    /// Looks at one schedule of a tentacle, does what is due, and returns when to look again. `room` is for the run.
    pub(super) async fn look(&self, kept: &Arc<Kept>, index: usize, room: Room) -> Option<Next> {
        let entry = kept.timetable.entries.get(index)?;
        let mut held = kept.ledger.lock().await;
        let now = self.clockwork.clock.time();
        if !self.leading.goes_on() || kept.is_retired() {
            return None;
        }
        let mut look = Look { lead: self, kept, entry, held: &mut held, now };
        match look.act().await {
            Ok(Done::Wait(next)) => next.map(Next::At),
            Ok(Done::More) => Some(Next::In(TimeDelta::zero())),
            Ok(Done::Full) => Some(Next::In(FULL)),
            Ok(Done::Claimed(claim)) => {
                self.begin(kept, *claim, room);
                Some(Next::In(TimeDelta::zero()))
            }
            Err(error) => {
                self.note(kept, entry, &error);
                Some(Next::In(if passes(&error) { AGAIN } else { LATER }))
            }
        }
    }

    /// Takes notice of an error about a ledger.
    pub(super) fn note(&self, kept: &Kept, entry: &Entry, error: &ChangeError<Refused>) {
        match error {
            ChangeError::Refused(Refused::LowerTerm(term)) => self.leading.is_fenced_by(*term),
            ChangeError::Refused(Refused::NotNewer(_) | Refused::Taken) => self.clockwork.measures.lost(),
            _ => {}
        }
        let Place { enclave, tentacle } = &kept.place;
        tracing::warn!(%enclave, %tentacle, schedule = %entry.id, %error, "an instant was not claimed");
    }

    /// Begins a claimed run. Not when the lead was over before the claim was known to stand: then whoever leads next closes
    /// it.
    fn begin(&self, kept: &Arc<Kept>, claim: Claim, room: Room) {
        let Place { enclave, tentacle } = &kept.place;
        if self.leading.left().is_zero() {
            tracing::warn!(%enclave, %tentacle, run_id = %claim.id, "a claimed run is not made: this process leads no more");
            return;
        }
        let (lead, kept, ongoing) = (self.clone(), Arc::clone(kept), self.runs.begin(kept, claim.id));
        self.runs.tasks.spawn(async move {
            lead.make(&kept, &claim, ongoing).await;
            drop(room);
        });
    }

    /// Makes a claimed run and writes how it ended.
    async fn make(&self, kept: &Kept, claim: &Claim, ongoing: Ongoing) {
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
        drop(ongoing);
        let outcome = Outcome::of(&ended, clockwork.clock.time());
        clockwork.measures.ended(outcome.success);
        let until = Instant::now() + OUTCOME;
        while let Err(error) = self.write(kept, claim.id, &outcome).await {
            if !matches!(error, ChangeError::Cluster(_)) || !passes(&error) || Instant::now() >= until {
                let Place { enclave, tentacle } = &kept.place;
                tracing::warn!(%enclave, %tentacle, run_id = %claim.id, %error, "how a run ended was not written");
                return;
            }
        }
    }

    async fn write(&self, kept: &Kept, run: RunId, outcome: &Outcome) -> Result<(), ChangeError<Refused>> {
        let _turn = self.runs.turn_to_write().await;
        let mut held = kept.ledger.lock().await;
        self.clockwork.ledgers.change(&mut held, TURN, |book| book.finish(run, outcome)).await
    }

    /// Leaves the runs that go on to whoever leads next, before this lead is given back: else that leader would take them for
    /// interrupted, and fire beside them what is to run alone. What cannot be written while the lead lasts is left out.
    pub(super) async fn hand_over(&self) {
        let runs = self.runs.all().into_iter().map(|(run, kept)| async move {
            let mut held = kept.ledger.lock().await;
            let left = self.leading.left();
            let change =
                self.clockwork.ledgers.change(&mut held, left, |book| Ok::<_, Infallible>(book.hand_over(run)));
            if let Err(error) = change.await {
                let Place { enclave, tentacle } = &kept.place;
                tracing::warn!(%enclave, %tentacle, run_id = %run, %error, "a run was not handed over");
            }
        });
        let all = stream::iter(runs.collect::<Vec<_>>()).for_each_concurrent(WRITES, |run| run);
        let _ = timeout(self.leading.left(), all).await;
    }

    /// Closes what was left open of a tentacle, and makes again what was interrupted where that is wanted.
    pub(super) async fn look_after(&self, kept: &Arc<Kept>) {
        // After a crash there may be thousands.
        let _turn = self.runs.turn_to_write().await;
        let now = self.clockwork.clock.time();
        let mut held = kept.ledger.lock().await;
        if !self.leading.goes_on() || kept.is_retired() {
            return;
        }
        if held.book().claimed().any(|run| run.term.is_some_and(|term| term < self.term) || run.is_over(now)) {
            let change =
                self.clockwork.ledgers.change(&mut held, self.leading.left(), |book| book.interrupt(self.term, now));
            if let Err(error) = change.await {
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
        // Whoever made it may still be at it until the deadline.
        let interrupted: Vec<_> = held.book().interrupted().filter(|run| run.is_over(now)).cloned().collect();
        for run in interrupted.into_iter().rev() {
            let entry = kept.timetable.entries.iter().find(|entry| run.schedule.as_ref() == Some(&entry.id));
            let (Some(entry), Some(instant)) = (entry, run.instant) else { continue };
            if kept.since(&entry.id).is_some() || held.book().newest(&entry.id) != Some(instant) {
                // It may be from before the schedule counts; or what fired since has made up for it.
                continue;
            }
            if kept.timetable.overlap == Overlap::Skip && self.runs.count(&kept.place) > 0 {
                return;
            }
            if !self.runs.is_fair(&kept.place.enclave) {
                return;
            }
            let Some(room) = self.runs.room() else { return };
            let mut look = Look { lead: self, kept, entry, held: &mut held, now };
            match look.claim(instant, true).await {
                Ok(claim) => self.begin(kept, claim, room),
                Err(ChangeError::Refused(Refused::Overlap)) => return,
                Err(error) => return self.note(kept, entry, &error),
            }
        }
    }
}

/// Whether what went wrong may be over in a moment.
fn passes(error: &ChangeError<Refused>) -> bool {
    match error {
        ChangeError::Refused(refused) => *refused != Refused::Full,
        ChangeError::Cluster(error) => error.is_unavailable() || error.is_conflict(),
    }
}
