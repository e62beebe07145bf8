//! Fires schedules. Of all schedulers one leads; it looks at each schedule when its next instant has come, claims the
//! instant in the tentacle's ledger, and makes the run. The decision is [`due`]'s, the exclusion the ledger's.

mod due;
mod fire;
mod kept;
mod leading;
mod look;
mod metrics;
mod standing;
mod tell;
mod timetable;
mod wheel;

use std::{panic::resume_unwind, sync::Arc, time::Duration};

use chrono::{DateTime, TimeDelta, Utc};
use k8s_openapi::api::apps::v1::Deployment;
use tentacular_cluster::{Cluster, Election, Enclaves, Leadership, Metadata, PerEnclave};
use tentacular_contract::{EnclaveName, TentacleName};
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    task::JoinSet,
    time::{Instant, sleep_until, timeout},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use self::{
    kept::Running,
    leading::Leading,
    standing::Standing,
    wheel::{Key, Wheel},
};
pub(crate) use self::{
    metrics::Measures,
    standing::Scheduled,
    tell::triggers,
    timetable::{Entry, Timetable, is_ambiguous, names, relevant},
};
use crate::{
    clock::Clock,
    engine::Engine,
    ledger::{Ledgers, Term},
    run::Runner,
};

type Time = DateTime<Utc>;

/// Looks, and with them claims, at the same time. More wait, in the order of their lateness.
const LOOKS: usize = 64;
/// Runs that go on at the same time. As long as there are so many, nothing is claimed.
const RUNS: usize = 2000;
/// Outcomes that are written, and tentacles that are looked after, at the same time.
const OUTCOMES: usize = 32;
/// Longest pause between two looks at the clock, which somebody may have set.
const LOOK: Duration = Duration::from_millis(250);
/// Changes that follow each other so closely are taken up together.
const TOGETHER: Duration = Duration::from_millis(50);
/// Longest pause before what could not be taken up is tried again. It begins with [`TOGETHER`] and doubles.
const RETRY: Duration = Duration::from_secs(5);
/// How often what was left open is looked after.
const TIDY: TimeDelta = TimeDelta::seconds(5);

/// Where a tentacle is.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Place {
    pub(crate) enclave: EnclaveName,
    pub(crate) tentacle: TentacleName,
}

/// What schedules are fired with.
#[derive(Debug)]
pub(crate) struct Clockwork<E, C> {
    pub(crate) cluster: Cluster,
    pub(crate) enclaves: Enclaves,
    pub(crate) scheduled: PerEnclave<Metadata<Deployment>, Scheduled>,
    pub(crate) ledgers: Ledgers,
    pub(crate) runner: Arc<Runner<E, C>>,
    pub(crate) clock: C,
    pub(crate) measures: Measures,
    /// Longest run.
    pub(crate) limit: Duration,
}

/// A clockwork while it leads.
struct Lead<E, C> {
    clockwork: Arc<Clockwork<E, C>>,
    term: Term,
    leading: Leading,
    running: Running,
    runs: Arc<Semaphore>,
    outcomes: Arc<Semaphore>,
    /// Runs, which end after it.
    tracker: TaskTracker,
}

impl<E, C> Clone for Lead<E, C> {
    fn clone(&self) -> Self {
        Self {
            clockwork: Arc::clone(&self.clockwork),
            term: self.term,
            leading: self.leading.clone(),
            running: self.running.clone(),
            runs: Arc::clone(&self.runs),
            outcomes: Arc::clone(&self.outcomes),
            tracker: self.tracker.clone(),
        }
    }
}

impl<E: Engine, C: Clock + Clone> Clockwork<E, C> {
    /// Stands for leader, and fires schedules while it leads, until `draining`. Runs that were begun then have `drain_time`
    /// to end.
    pub(crate) async fn run(self: Arc<Self>, election: Election, draining: CancellationToken, drain_time: Duration) {
        let (tracker, running) = (TaskTracker::new(), Running::default());
        tokio::select! {
            () = self.scheduled.ready() => {}
            () = draining.cancelled() => return,
        }
        while !draining.is_cancelled() {
            let leadership = tokio::select! {
                leadership = election.lead() => leadership,
                () = draining.cancelled() => break,
            };
            self.measures.leads(true);
            tracing::info!(term = leadership.term(), "leading: schedules are fired here");
            let lead = Lead::new(Arc::clone(&self), &leadership, &tracker, &running);
            let mut looks = Looks::default();
            let later = tokio::select! {
                later = lead.turn(&mut looks) => later,
                () = leadership.lost() => 0,
                () = draining.cancelled() => 0,
            };
            lead.leading.end();
            // So that their runs are made, which they are only while the lead lasts.
            let _ = timeout(lead.leading.left(), looks.end()).await;
            self.measures.leads(false);
            tracing::info!(term = leadership.term(), "leading no more");
            leadership.resign(later).await;
        }
        tracker.close();
        let _ = timeout(drain_time, tracker.wait()).await;
    }
}

impl<E: Engine, C: Clock + Clone> Lead<E, C> {
    fn new(
        clockwork: Arc<Clockwork<E, C>>,
        leadership: &Leadership,
        tracker: &TaskTracker,
        running: &Running,
    ) -> Self {
        Self {
            clockwork,
            term: leadership.term(),
            leading: Leading::new(leadership.until()),
            running: running.clone(),
            runs: Arc::new(Semaphore::new(RUNS)),
            outcomes: Arc::new(Semaphore::new(OUTCOMES)),
            tracker: tracker.clone(),
        }
    }

    /// Turns the wheel, until a ledger shows a later term, which is returned.
    async fn turn(&self, looks: &mut Looks) -> Term {
        let clock = &self.clockwork.clock;
        let (mut scheduled, mut enclaves) = (self.clockwork.scheduled.changes(), self.clockwork.enclaves.changes());
        let (mut wheel, mut standing) = (Wheel::default(), Standing::default());
        let mut tidied = None;
        let (mut refresh, mut retry) = (Some(Instant::now()), TOGETHER);
        loop {
            if refresh.is_some_and(|at| at <= Instant::now()) {
                if standing.refresh(self, &mut wheel).await {
                    (refresh, retry) = (None, TOGETHER);
                } else {
                    retry = (retry * 2).min(RETRY);
                    refresh = Some(Instant::now() + retry);
                }
            }
            let now = clock.time();
            while looks.has_room()
                && let Ok(room) = Arc::clone(&self.runs).try_acquire_owned()
                && let Some(key) = wheel.pop(now)
            {
                looks.begin(self, &standing, key, room);
            }
            if tidied.is_none_or(|tidied: Time| (now - tidied).abs() >= TIDY) {
                tidied = Some(now);
                self.tidy(&standing, looks);
            }
            let next = wheel.next().filter(|_| looks.has_room() && self.runs.available_permits() > 0);
            let pause = next.map_or(LOOK, |next| (next - now).to_std().unwrap_or_default().min(LOOK));
            let soon = Instant::now() + TOGETHER;
            tokio::select! {
                () = scheduled.changed() => refresh = refresh.min(Some(soon)).or(Some(soon)),
                () = enclaves.changed() => refresh = refresh.min(Some(soon)).or(Some(soon)),
                () = sleep_until(refresh.unwrap_or(soon)), if refresh.is_some() => {}
                Some(looked) = looks.ended() => {
                    if let Some((key, number, Some(next))) = looked
                        && standing.get(&key.0).is_some_and(|kept| kept.number == number)
                    {
                        wheel.set(key, next);
                    }
                }
                () = clock.sleep(pause) => {}
                later = self.leading.fenced() => return later,
            }
        }
    }

    /// Closes what an earlier leader, or a lost outcome, left open, and makes again what is to be made up for.
    fn tidy(&self, standing: &Standing, looks: &mut Looks) {
        for kept in standing.all().filter(|kept| kept.is_open()) {
            let (lead, kept) = (self.clone(), Arc::clone(kept));
            looks.tasks.spawn(async move {
                lead.look_after(&kept).await;
                None
            });
        }
    }
}

/// A look at a schedule that has ended: at which, of which number, and when to look again.
type Looked = (Key, u64, Option<Time>);

/// What goes on of looking at schedules and after tentacles.
#[derive(Default)]
struct Looks {
    /// Looks at schedules among the tasks.
    count: usize,
    tasks: JoinSet<Option<Looked>>,
}

impl Looks {
    const fn has_room(&self) -> bool {
        self.count < LOOKS
    }

    /// Looks at a schedule; `room` is for the run that it may begin.
    fn begin<E: Engine, C: Clock + Clone>(
        &mut self,
        lead: &Lead<E, C>,
        standing: &Standing,
        key: Key,
        room: OwnedSemaphorePermit,
    ) {
        let Some(kept) = standing.get(&key.0) else { return };
        let (lead, kept) = (lead.clone(), Arc::clone(kept));
        self.count += 1;
        self.tasks.spawn(async move {
            let next = lead.look(&kept, key.1, room).await;
            Some((key, kept.number, next))
        });
    }

    /// Waits until something has ended; none when nothing goes on. A panic goes on here, and ends the process.
    async fn ended(&mut self) -> Option<Option<Looked>> {
        let ended = self.tasks.join_next().await?;
        let looked = ended.unwrap_or_else(|error| resume_unwind(error.into_panic()));
        self.count -= usize::from(looked.is_some());
        Some(looked)
    }

    /// Waits until all have ended.
    async fn end(&mut self) {
        while self.ended().await.is_some() {}
    }
}

#[cfg(test)]
mod tests;
