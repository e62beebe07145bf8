//! Fires schedules. Of all schedulers one leads; it looks at each schedule when its next instant has come, claims the
//! instant in the tentacle's ledger, and makes the run. The decision is [`due`]'s, the exclusion the ledger's.

mod due;
mod fire;
mod kept;
mod metrics;
mod timetable;
mod wheel;

use std::{panic::resume_unwind, sync::Arc, time::Duration};

use chrono::{DateTime, Utc};
use k8s_openapi::api::apps::v1::Deployment;
use tentacular_cluster::{Cluster, Election, Enclaves, Leadership, Metadata, PerEnclave};
use tentacular_contract::{EnclaveName, TentacleName};
use tokio::{sync::Semaphore, task::JoinSet, time::timeout};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use self::{
    kept::Standing,
    wheel::{Key, Wheel},
};
pub(crate) use self::{
    metrics::Measures,
    timetable::{Timetable, is_ambiguous, relevant},
};
use crate::{
    clock::Clock,
    engine::Engine,
    ledger::{Ledgers, Term},
    run::Runner,
};

type Time = DateTime<Utc>;

/// Claims that are made at the same time.
const CLAIMS: usize = 64;
/// Runs that go on at the same time. More wait, in the order of their lateness.
const RUNS: usize = 2000;
/// Longest pause between two looks at the clock, which somebody may have set.
const LOOK: Duration = Duration::from_millis(250);
/// Changes that follow each other so closely are taken up together.
const TOGETHER: Duration = Duration::from_millis(50);
/// How often what was left open is looked after.
const TIDY: Duration = Duration::from_secs(5);

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
    pub(crate) deployments: PerEnclave<Metadata<Deployment>>,
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
    leading: kept::Leading,
    claims: Arc<Semaphore>,
    runs: Arc<Semaphore>,
    tracker: TaskTracker,
}

impl<E, C> Clone for Lead<E, C> {
    fn clone(&self) -> Self {
        Self {
            clockwork: Arc::clone(&self.clockwork),
            term: self.term,
            leading: self.leading.clone(),
            claims: Arc::clone(&self.claims),
            runs: Arc::clone(&self.runs),
            tracker: self.tracker.clone(),
        }
    }
}

impl<E: Engine, C: Clock + Clone> Clockwork<E, C> {
    /// Stands for leader, and fires schedules while it leads, until `draining`. Runs that were begun then have `drain_time`
    /// to end.
    pub(crate) async fn run(self: Arc<Self>, election: Election, draining: CancellationToken, drain_time: Duration) {
        let tracker = TaskTracker::new();
        tokio::select! {
            () = self.deployments.ready() => {}
            () = draining.cancelled() => return,
        }
        while !draining.is_cancelled() {
            let leadership = tokio::select! {
                leadership = election.lead() => leadership,
                () = draining.cancelled() => break,
            };
            self.measures.leads(true);
            tracing::info!(term = leadership.term(), "leading: schedules are fired here");
            let fenced = tokio::select! {
                fenced = Arc::clone(&self).lead(&leadership, &tracker) => fenced,
                () = leadership.lost() => 0,
                () = draining.cancelled() => 0,
            };
            self.measures.leads(false);
            tracing::info!(term = leadership.term(), "leading no more");
            leadership.resign(fenced).await;
        }
        tracker.close();
        let _ = timeout(drain_time, tracker.wait()).await;
    }

    /// Fires until a ledger shows a later term, which is returned.
    async fn lead(self: Arc<Self>, leadership: &Leadership, tracker: &TaskTracker) -> Term {
        let lead = Lead {
            term: leadership.term(),
            leading: kept::Leading::of(leadership),
            claims: Arc::new(Semaphore::new(CLAIMS)),
            runs: Arc::new(Semaphore::new(RUNS)),
            tracker: tracker.clone(),
            clockwork: self,
        };
        lead.turn().await
    }
}

impl<E: Engine, C: Clock + Clone> Lead<E, C> {
    /// Turns the wheel.
    async fn turn(&self) -> Term {
        let clockwork = &*self.clockwork;
        let (mut deployments, mut enclaves) = (clockwork.deployments.changes(), clockwork.enclaves.changes());
        let (mut wheel, mut standing) = (Wheel::default(), Standing::default());
        let mut looks: JoinSet<(Key, u64, Option<Time>)> = JoinSet::new();
        let mut tidied = clockwork.clock.time();
        let mut complete = standing.refresh(self, &mut wheel).await;
        loop {
            let now = clockwork.clock.time();
            while let Some((_, key)) = wheel.pop(now) {
                if let Some(kept) = standing.get(&key.0) {
                    let (lead, kept) = (self.clone(), Arc::clone(kept));
                    looks.spawn(async move {
                        let next = lead.look(&kept, key.1).await;
                        (key, kept.generation, next)
                    });
                }
            }
            if (now - tidied).abs().to_std().unwrap_or_default() >= TIDY {
                tidied = now;
                self.tidy(&standing);
            }
            let pause = wheel.next().map_or(LOOK, |next| (next - now).to_std().unwrap_or_default().min(LOOK));
            tokio::select! {
                () = deployments.changed() => complete = false,
                () = enclaves.changed() => complete = false,
                Some(looked) = looks.join_next() => {
                    let (key, generation, next) = looked.unwrap_or_else(|error| resume_unwind(error.into_panic()));
                    let counts = standing.get(&key.0).is_some_and(|kept| kept.generation == generation);
                    if let Some(next) = next.filter(|_| counts) {
                        wheel.set(key, next);
                    }
                }
                () = clockwork.clock.sleep(pause) => {}
                later = self.leading.fenced() => return later,
            }
            if !complete {
                clockwork.clock.sleep(TOGETHER).await;
                complete = standing.refresh(self, &mut wheel).await;
            }
        }
    }

    /// Closes what an earlier leader, or a lost outcome, left open, and makes again what is to be made up for.
    fn tidy(&self, standing: &Standing) {
        for kept in standing.all().filter(|kept| kept.is_open()) {
            let (lead, kept) = (self.clone(), Arc::clone(kept));
            self.tracker.spawn(async move { lead.look_after(&kept).await });
        }
    }
}
