//! Enclaves for one test, and what is done to them.

use std::time::{Duration, SystemTime};

use k8s_openapi::api::{
    apps::v1::Deployment,
    core::v1::Namespace,
    rbac::v1::{Role, RoleBinding},
};
use serde_json::{Value, json};
use tentacular_cluster::{Cluster, Delete};
use tentacular_contract::{EnclaveName, Platform, keys};
use tentacular_process::metrics::Metrics;
use tentacular_test_harness::{
    ControlPlane, FaultProxy, Part, Scratch,
    installation::{self, SERVER_NAMESPACE},
};
use tokio::{
    sync::OnceCell,
    time::{sleep, timeout},
};

use super::outside::{TestClock, TestEngine};
use crate::{clockwork::Measures, run::RunId};

/// A wait that only a hang reaches.
pub(super) const LONG: Duration = Duration::from_mins(2);

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
    pub(super) measures: Measures,
    pub(super) platform: Platform,
    _scratch: Scratch,
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
            engine: TestEngine::default(),
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
}

/// `json` as an object of the cluster.
pub(super) fn object<K: serde::de::DeserializeOwned>(json: Value) -> K {
    serde_json::from_value(json).unwrap()
}
