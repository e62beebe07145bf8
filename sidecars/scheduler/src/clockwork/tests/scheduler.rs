//! A scheduler in a world.

use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};

use k8s_openapi::api::coordination::v1::Lease;
use tentacular_cluster::{Election, ElectionTimes, Enclaves, PerEnclave};
use tentacular_contract::tentacle_url::TentacleUrl;
use tokio::{
    sync::watch,
    task::{JoinHandle, JoinSet},
    time::{Instant, sleep, timeout},
};
use tokio_util::sync::CancellationToken;

use super::{
    outside::{TestClock, TestEngine},
    world::{LONG, World},
};
use crate::{
    clockwork::{Clockwork, Lead, Scheduled, leading::Leading, runs::Runs},
    ledger::{Ledgers, Term},
    run::{RunId, Runner},
};

/// Elections in which nobody waits long for a Lease that was given back, and a busy machine costs nobody the lead.
const TIMES: ElectionTimes = ElectionTimes {
    duration: Duration::from_mins(1),
    pause: Duration::from_millis(100),
    give_up: Duration::from_secs(40),
};

/// The Lease of the leader.
const LEASE: &str = "leader";

/// A scheduler that runs, until it is dropped.
pub(super) struct Scheduler {
    pub(super) clockwork: Arc<Clockwork<TestEngine, TestClock>>,
    /// In which it stands for leader.
    identity: String,
    draining: CancellationToken,
    running: Option<JoinHandle<()>>,
    _watches: JoinSet<()>,
}

impl World {
    /// Starts a scheduler that has watched what there is.
    pub(super) async fn watch(&self) -> Scheduler {
        self.watch_by(&self.clock).await
    }

    /// The same with a clock of its own.
    pub(super) async fn watch_by(&self, clock: &TestClock) -> Scheduler {
        let (enclaves, watching) = Enclaves::new(self.cluster.clone(), self.platform.clone());
        let mut watches = JoinSet::new();
        watches.spawn(watching);
        let (scheduled, watching) = PerEnclave::keeping(self.cluster.clone(), enclaves.clone(), None, Scheduled::of);
        watches.spawn(watching);
        scheduled.ready().await;
        let url = TentacleUrl::new("http://engine/{enclave}/{tentacle}", "cluster.local").unwrap();
        let clockwork = Arc::new(Clockwork {
            cluster: self.cluster.clone(),
            enclaves,
            scheduled,
            ledgers: Ledgers::new(self.cluster.clone()),
            runner: Arc::new(Runner::new(self.engine.clone(), clock.clone(), url)),
            clock: clock.clone(),
            measures: self.measures.clone(),
            limit: Duration::from_mins(10),
        });
        let (identity, draining) = (RunId::new(SystemTime::now()).to_string(), CancellationToken::new());
        Scheduler { clockwork, identity, draining, running: None, _watches: watches }
    }

    /// Starts a scheduler that stands for leader.
    pub(super) async fn start(&self) -> Scheduler {
        let mut scheduler = self.watch().await;
        let namespace = &self.platform.server_namespace;
        // By the administrator: the scheduler's account writes one Lease alone, which all tests would share.
        let election = Election::new(&self.admin, namespace, LEASE, &scheduler.identity, TIMES);
        let running = Arc::clone(&scheduler.clockwork).run(election, scheduler.draining.clone(), LONG);
        scheduler.running = Some(tokio::spawn(running));
        scheduler
    }
}

impl Scheduler {
    /// Waits until it leads.
    pub(super) async fn leads(&self, world: &World) {
        let leases = world.admin.namespaced::<Lease>(&world.platform.server_namespace);
        let holder = async || leases.get(LEASE).await.unwrap()?.spec?.holder_identity;
        let leads = async {
            while holder().await.as_ref() != Some(&self.identity) {
                sleep(Duration::from_millis(20)).await;
            }
        };
        timeout(LONG, leads).await.expect("it leads");
    }

    /// Ends it as SIGTERM does.
    pub(super) async fn stop(mut self) {
        self.draining.cancel();
        if let Some(running) = self.running.take() {
            timeout(LONG, running).await.expect("it ends").unwrap();
        }
    }

    /// A lead of this term, whatever the Lease says.
    pub(super) fn forged(&self, term: Term) -> Lead<TestEngine, TestClock> {
        let until = watch::channel(Instant::now() + Duration::from_hours(1)).1;
        Lead {
            clockwork: Arc::clone(&self.clockwork),
            term,
            leading: Leading::new(until),
            runs: Arc::new(Runs::default()),
        }
    }
}

impl Drop for Scheduler {
    fn drop(&mut self) {
        if let Some(running) = &self.running {
            running.abort();
        }
    }
}
