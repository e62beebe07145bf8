//! What the tests of the clockwork share.

use std::{
    cmp::Reverse,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, SystemTime},
};

use bytes::Bytes;
use k8s_openapi::api::{
    core::v1::Namespace,
    rbac::v1::{Role, RoleBinding},
};
use serde_json::{Value, json};
use tentacular_cluster::{Delete, ElectionTimes};
use tentacular_contract::{Platform, keys, tentacle_url::TentacleUrl};
use tentacular_process::{
    engine::{Answer, NoAnswer},
    metrics::Metrics,
};
use tentacular_test_harness::{
    ControlPlane, FaultProxy, Part, Scratch,
    installation::{self, SERVER_NAMESPACE},
};
use tokio::{
    sync::{OnceCell, watch},
    task::{JoinHandle, JoinSet},
    time::{sleep, timeout},
};

use super::super::*;
use crate::{
    engine::Call,
    ledger::{Held, Run, ScheduleId, State},
    run::RunId,
};

/// A wait that only a hang reaches.
const LONG: Duration = Duration::from_mins(1);
/// Elections whose leader gives up soon.
const SHORT: ElectionTimes = ElectionTimes {
    duration: Duration::from_secs(3),
    pause: Duration::from_millis(100),
    give_up: Duration::from_secs(1),
};

/// A clock that stands still unless it is set.
#[derive(Debug, Clone)]
pub(super) struct TestClock(Arc<Mutex<Time>>);

impl TestClock {
    pub(super) fn at(now: &str) -> Self {
        Self(Arc::new(Mutex::new(time(now))))
    }

    pub(super) fn set(&self, to: &str) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = time(to);
    }
}

impl Clock for TestClock {
    fn now(&self) -> SystemTime {
        (*self.0.lock().unwrap_or_else(PoisonError::into_inner)).into()
    }

    async fn sleep(&self, _: Duration) {
        sleep(Duration::from_millis(5)).await;
    }
}

/// A time of 2031: later than whatever the API server makes meanwhile.
pub(super) fn time(text: &str) -> Time {
    format!("2031-{text}Z").parse().expect(text)
}

/// An engine that notes the runs it was asked for, and holds its answers while it is told to.
#[derive(Debug, Clone)]
pub(super) struct TestEngine {
    calls: Arc<Mutex<Vec<String>>>,
    holds: watch::Sender<bool>,
}

impl TestEngine {
    pub(super) fn hold(&self, holds: bool) {
        self.holds.send_replace(holds);
    }

    /// The runs that it was asked for, by tentacle.
    pub(super) fn calls(&self, tentacle: &str) -> Vec<String> {
        let calls = self.calls.lock().unwrap_or_else(PoisonError::into_inner);
        calls.iter().filter_map(|call| call.strip_prefix(&format!("{tentacle} "))).map(str::to_owned).collect()
    }
}

impl Engine for TestEngine {
    async fn post(&self, call: &Call) -> Result<Answer, NoAnswer> {
        let tentacle = call.url.rsplit('/').nth(1).unwrap_or_default();
        self.calls.lock().unwrap_or_else(PoisonError::into_inner).push(format!("{tentacle} {}", call.run_id));
        let mut holds = self.holds.subscribe();
        // The sender lives as long as `self`.
        let _ = holds.wait_for(|holds| !holds).await;
        Ok(Answer { status: 200, body: Bytes::from_static(br#"{"success":true}"#) })
    }
}

/// Enclaves that nobody else looks at, a clock and an engine.
pub(super) struct World {
    pub(super) clock: TestClock,
    pub(super) engine: TestEngine,
    pub(super) proxy: FaultProxy,
    pub(super) admin: Cluster,
    pub(super) cluster: Cluster,
    pub(super) enclave: EnclaveName,
    /// What all schedulers did.
    pub(super) metrics: Metrics,
    measures: Measures,
    platform: Platform,
    _scratch: Scratch,
}

/// A scheduler that runs, until it is dropped.
pub(super) struct Scheduler {
    pub(super) clockwork: Arc<Clockwork<TestEngine, TestClock>>,
    draining: CancellationToken,
    running: Option<JoinHandle<()>>,
    _watches: JoinSet<()>,
}

impl World {
    /// A world whose names begin with `letter`, which is no other test's, at a time.
    pub(super) async fn new(letter: char, now: &str) -> Self {
        static INSTALLED: OnceCell<()> = OnceCell::const_new();
        let control_plane = ControlPlane::shared().await.unwrap();
        INSTALLED.get_or_init(async || installation::install_rights(control_plane).await.unwrap()).await;
        let admin = Cluster::from_kubeconfig("test", control_plane.admin_kubeconfig()).await.unwrap();
        let (scratch, proxy) = (Scratch::new().unwrap(), FaultProxy::start(control_plane).unwrap());
        let path = scratch.path().join("kubeconfig");
        proxy.kubeconfig(control_plane, Part::Scheduler, &path).await.unwrap();
        let cluster = Cluster::from_kubeconfig("test", &path).await.unwrap();
        let unique = RunId::new(SystemTime::now());
        let server_namespace = format!("{letter}-server-{unique}");
        let others = ('a'..='z').chain('0'..='9').filter(|other| *other != letter);
        let platform = Platform {
            server_namespace: server_namespace.clone(),
            reserved_names: others.map(|other| format!("{other}*")).collect(),
            cluster_domain: "cluster.local".to_owned(),
            ingress_domain: None,
        };
        let metrics = Metrics::default();
        let world = Self {
            clock: TestClock::at(now),
            engine: TestEngine { calls: Arc::default(), holds: watch::Sender::new(false) },
            proxy,
            admin,
            cluster,
            enclave: format!("{letter}-{unique}").parse().unwrap(),
            measures: Measures::new(&metrics),
            metrics,
            platform,
            _scratch: scratch,
        };
        world.make_server_namespace(&server_namespace).await;
        world.make_enclave(&world.enclave).await;
        world
    }

    /// A place for the Lease.
    async fn make_server_namespace(&self, name: &str) {
        let namespace: Namespace = object(json!({ "metadata": { "name": name } }));
        self.admin.all().create(&namespace).await.unwrap();
        let role: Role = object(json!({
            "metadata": { "name": "leases" },
            "rules": [{ "apiGroups": ["coordination.k8s.io"], "resources": ["leases"], "verbs": ["*"] }],
        }));
        self.admin.namespaced(name).create(&role).await.unwrap();
        self.bind(name, "Role", "leases").await;
    }

    /// An enclave as the registrar makes it.
    pub(super) async fn make_enclave(&self, name: &EnclaveName) {
        let namespace: Namespace = object(json!({ "metadata": {
            "name": name,
            "labels": { keys::MANAGED_BY: keys::TENTACULAR },
            "annotations": { keys::ENCLAVE: name, keys::ENCLAVE_OWNER: "ada@example.com" },
        }}));
        self.admin.all().create(&namespace).await.unwrap();
        self.bind(name.as_str(), "ClusterRole", "tentacular-enclave-scheduler").await;
    }

    async fn bind(&self, namespace: &str, kind: &str, role: &str) {
        let binding: RoleBinding = object(json!({
            "metadata": { "name": "tentacular-scheduler" },
            "roleRef": { "apiGroup": "rbac.authorization.k8s.io", "kind": kind, "name": role },
            "subjects": [{
                "kind": "ServiceAccount", "namespace": SERVER_NAMESPACE, "name": Part::Scheduler.account(),
            }],
        }));
        self.admin.namespaced(namespace).create(&binding).await.unwrap();
    }

    /// Makes a tentacle with these annotations, in short: `cron-schedule` and so on.
    pub(super) async fn apply(&self, tentacle: &str, annotations: &[(&str, &str)]) {
        self.apply_in(&self.enclave, tentacle, annotations).await;
    }

    pub(super) async fn apply_in(&self, enclave: &EnclaveName, tentacle: &str, annotations: &[(&str, &str)]) {
        let annotations: serde_json::Map<_, _> =
            annotations.iter().map(|(key, value)| (format!("tentacular.io/{key}"), json!(value))).collect();
        let labels = json!({ keys::MANAGED_BY: keys::TENTACULAR, "app.kubernetes.io/name": tentacle });
        let deployment: Deployment = object(json!({
            "metadata": { "name": tentacle, "labels": labels, "annotations": annotations },
            "spec": {
                "replicas": 0,
                "selector": { "matchLabels": { "app.kubernetes.io/name": tentacle } },
                "template": {
                    "metadata": { "labels": labels },
                    "spec": { "containers": [{ "name": "engine", "image": "engine" }] },
                },
            },
        }));
        self.admin.namespaced(enclave.as_str()).create(&deployment).await.unwrap();
    }

    /// Changes annotations of a tentacle, in short.
    pub(super) async fn annotate(&self, tentacle: &str, annotations: &[(&str, &str)]) {
        let annotations: serde_json::Map<_, _> =
            annotations.iter().map(|(key, value)| (format!("tentacular.io/{key}"), json!(value))).collect();
        let patch = json!({ "metadata": { "annotations": annotations } });
        let deployments = self.admin.namespaced::<Deployment>(self.enclave.as_str());
        deployments.patch(tentacle, &patch).await.unwrap();
    }

    pub(super) async fn remove(&self, tentacle: &str) {
        let deployments = self.admin.namespaced::<Deployment>(self.enclave.as_str());
        deployments.delete(tentacle, &Delete::default()).await.unwrap();
    }

    /// Keeps a tentacle that is removed from being gone, as pods do that take their time to end.
    pub(super) async fn hold_back(&self, tentacle: &str) {
        let patch = json!({ "metadata": { "finalizers": ["example.com/hold"] } });
        self.admin.namespaced::<Deployment>(self.enclave.as_str()).patch(tentacle, &patch).await.unwrap();
    }

    /// Removes the enclave, and waits until it is gone.
    pub(super) async fn remove_enclave(&self) {
        let (namespaces, name) = (self.admin.all::<Namespace>(), self.enclave.as_str());
        namespaces.delete(name, &Delete::default()).await.unwrap();
        let gone = async {
            while namespaces.get(name).await.unwrap().is_some() {
                sleep(Duration::from_millis(20)).await;
            }
        };
        timeout(LONG, gone).await.expect("it is gone");
    }

    /// Freezes the enclave, or thaws it.
    pub(super) async fn freeze(&self, frozen: bool) {
        let status = if frozen { "frozen" } else { "active" };
        let patch = json!({ "metadata": { "annotations": { keys::ENCLAVE_STATUS: status } } });
        self.admin.all::<Namespace>().patch(self.enclave.as_str(), &patch).await.unwrap();
    }

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
        Scheduler { clockwork, draining: CancellationToken::new(), running: None, _watches: watches }
    }

    /// Starts a scheduler that stands for leader.
    pub(super) async fn start(&self) -> Scheduler {
        let mut scheduler = self.watch().await;
        let namespace = &self.platform.server_namespace;
        // By the administrator: the scheduler's account writes one Lease alone, which all tests would share.
        let election = Election::new(&self.admin, namespace, "leader", "test", SHORT);
        let running = Arc::clone(&scheduler.clockwork).run(election, scheduler.draining.clone(), LONG);
        scheduler.running = Some(tokio::spawn(running));
        scheduler
    }

    pub(super) async fn ledger(&self, tentacle: &str) -> Held {
        self.ledger_in(&self.enclave, tentacle).await
    }

    async fn ledger_in(&self, enclave: &EnclaveName, tentacle: &str) -> Held {
        Ledgers::new(self.admin.clone()).load(enclave, &tentacle.parse().unwrap()).await.unwrap()
    }

    /// Waits until a tentacle's ledger has these runs, those of the last instants first.
    pub(super) async fn until(&self, tentacle: &str, wanted: &[&str]) {
        let shown = async {
            loop {
                if self.runs(tentacle).await == wanted {
                    return;
                }
                sleep(Duration::from_millis(20)).await;
            }
        };
        if timeout(LONG, shown).await.is_err() {
            assert_eq!(self.runs(tentacle).await, wanted, "{tentacle}");
        }
    }

    /// Waits until the ledger says that a tentacle's schedule has come to this time.
    pub(super) async fn until_at(&self, tentacle: &str, schedule: &str, at: &str) {
        self.until_at_in(&self.enclave, tentacle, schedule, at).await;
    }

    pub(super) async fn until_at_in(&self, enclave: &EnclaveName, tentacle: &str, schedule: &str, at: &str) {
        let come = async {
            while self.ledger_in(enclave, tentacle).await.book().newest(&ScheduleId::new(schedule)) != Some(time(at))
            {
                sleep(Duration::from_millis(20)).await;
            }
        };
        let why = format!("{tentacle} does not come to {at}");
        timeout(LONG, come).await.expect(&why);
    }

    /// Waits until the ledger says that a tentacle's schedule has come to the time that it is.
    pub(super) async fn until_newest(&self, tentacle: &str, schedule: &str) {
        let now = self.clock.time().format("%m-%dT%H:%M:%S").to_string();
        self.until_at(tentacle, schedule, &now).await;
    }

    /// The runs of a tentacle in short, those of the last instants first.
    pub(super) async fn runs(&self, tentacle: &str) -> Vec<String> {
        let held = self.ledger(tentacle).await;
        let mut runs: Vec<_> = held.book().runs().collect();
        runs.sort_by_key(|run| Reverse(run.instant));
        runs.into_iter().map(short).collect()
    }
}

/// State, instants, and for skips their count and reason.
fn short(run: &Run) -> String {
    let minute = |time: Option<Time>| time.map_or_else(String::new, |time| time.format("%d %H:%M").to_string());
    let mut text =
        format!("{} {}", serde_json::to_string(&run.state).unwrap().trim_matches('"'), minute(run.instant));
    if run.state == State::Skipped {
        let (count, reason) = (run.count, run.reason.as_deref().unwrap_or_default());
        let reason = reason.split(' ').find(|word| ["missed:", "frozen", "before"].contains(word));
        let last = if count > 1 { format!("–{}", minute(run.last_instant)) } else { String::new() };
        text = format!("{text}{last} {count} {}", reason.unwrap_or("?").trim_end_matches(':'));
    }
    text
}

impl Scheduler {
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
            running: Running::default(),
            runs: Arc::new(Semaphore::new(RUNS)),
            outcomes: Arc::new(Semaphore::new(OUTCOMES)),
            tracker: TaskTracker::new(),
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

/// `json` as an object of the cluster.
pub(super) fn object<K: serde::de::DeserializeOwned>(json: Value) -> K {
    serde_json::from_value(json).unwrap()
}
