//! Fires schedules. Of all schedulers one leads; it looks at each schedule when its next instant has come, claims the
//! instant in the tentacle's ledger, and makes the run. The decision is [`due`]'s, the exclusion the ledger's.

mod due;
mod fire;
mod kept;
mod leading;
mod look;
mod metrics;
mod runs;
mod standing;
mod tell;
mod timetable;
mod wheel;

use std::{panic::resume_unwind, sync::Arc, time::Duration};

use chrono::TimeDelta;
use k8s_openapi::api::apps::v1::Deployment;
use tentacular_cluster::{Cluster, Election, Enclaves, Metadata, PerEnclave};
use tentacular_contract::{EnclaveName, TentacleName};
use tokio::{
    task::JoinSet,
    time::{Instant, sleep_until, timeout},
};
use tokio_util::sync::CancellationToken;

use self::{
    fire::Next,
    leading::Leading,
    runs::{Room, Runs},
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
    clock::{Clock, Time},
    engine::Engine,
    ledger::{Ledgers, Term},
    run::Runner,
};

/// Looks, and with them claims, at the same time. More wait, in the order of their lateness.
const LOOKS: usize = 64;
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
    /// Those of this process, which end after it.
    runs: Arc<Runs>,
}

impl<E, C> Clone for Lead<E, C> {
    fn clone(&self) -> Self {
        Self {
            clockwork: Arc::clone(&self.clockwork),
            term: self.term,
            leading: self.leading.clone(),
            runs: Arc::clone(&self.runs),
        }
    }
}

impl<E: Engine, C: Clock + Clone> Clockwork<E, C> {
    /// Stands for leader, and fires schedules while it leads, until `draining`. Runs that were begun then have `drain_time`
    /// to end.
    pub(crate) async fn run(self: Arc<Self>, election: Election, draining: CancellationToken, drain_time: Duration) {
        let runs = Arc::new(Runs::default());
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
            let leading = Leading::new(leadership.until());
            let lead =
                Lead { clockwork: Arc::clone(&self), term: leadership.term(), leading, runs: Arc::clone(&runs) };
            let mut looks = Looks::default();
            let later = tokio::select! {
                later = lead.turn(&mut looks) => later,
                () = leadership.lost() => 0,
                () = draining.cancelled() => 0,
            };
            lead.leading.end();
            // So that their runs are made, which they are only while the lead lasts.
            let _ = timeout(lead.leading.left(), looks.end()).await;
            lead.hand_over().await;
            self.measures.leads(false);
            tracing::info!(term = leadership.term(), "leading no more");
            leadership.resign(later).await;
        }
        runs.tasks.close();
        let _ = timeout(drain_time, runs.tasks.wait()).await;
    }
}

impl<E: Engine, C: Clock + Clone> Lead<E, C> {
    /// Turns the wheel, until a ledger shows a later term, which is returned.
    async fn turn(&self, looks: &mut Looks) -> Term {
        let clock = &self.clockwork.clock;
        let (mut scheduled, mut enclaves) = (self.clockwork.scheduled.changes(), self.clockwork.enclaves.changes());
        let (mut wheel, mut standing) = (Wheel::default(), Standing::default());
        let (mut tidied, mut before) = (None, clock.time());
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
            if now < before {
                // What was put off until some time later would wait for the clock to come there again.
                standing.look_at_all(&mut wheel, now);
            }
            before = now;
            while looks.has_room()
                && let Some(room) = self.runs.room()
                && let Some(key) = wheel.pop(now)
            {
                looks.begin(self, &standing, key, room);
            }
            if tidied.is_none_or(|tidied: Time| (now - tidied).abs() >= TIDY) {
                tidied = Some(now);
                self.tidy(&standing, looks);
            }
            let next = wheel.next().filter(|_| looks.has_room() && self.runs.has_room());
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
                        wheel.set(key, match next {
                            Next::At(time) => time,
                            Next::In(pause) => clock.time() + pause,
                        });
                    }
                }
                () = clock.sleep(pause) => {}
                later = self.leading.fenced() => return later,
            }
        }
    }

    /// Closes what an earlier leader, or a lost outcome, left open, and makes again what is to be made up for. While some of
    /// that goes on still, as where the API server is slow, no more is begun.
    fn tidy(&self, standing: &Standing, looks: &mut Looks) {
        if looks.is_tidying() {
            return;
        }
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
type Looked = (Key, u64, Option<Next>);

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

    /// Whether tentacles are being looked after.
    fn is_tidying(&self) -> bool {
        self.tasks.len() > self.count
    }

    /// Looks at a schedule; `room` is for the run that it may begin.
    fn begin<E: Engine, C: Clock + Clone>(&mut self, lead: &Lead<E, C>, standing: &Standing, key: Key, room: Room) {
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
