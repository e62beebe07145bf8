//! Enclaves, and an account that may watch them.

use std::path::PathBuf;

use anyhow::ensure;
use k8s_openapi::api::{
    apps::v1::Deployment,
    core::v1::{Namespace, ServiceAccount},
    rbac::v1::{ClusterRole, ClusterRoleBinding, RoleBinding},
};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use tentacular_cluster::{Cluster, Delete, Enclaves, Error, PerEnclave};
use tentacular_contract::{EnclaveName, Platform, keys};
use tentacular_test_harness::ControlPlane;

const GROUP: &str = "rbac.authorization.k8s.io";
const ACCOUNT: &str = "watcher";

/// The shared control plane, its administrator, and an account of this test alone.
pub(crate) struct World {
    pub(crate) control_plane: &'static ControlPlane,
    pub(crate) admin: Cluster,
    home: String,
}

impl World {
    pub(crate) async fn new() -> Self {
        let _ = tracing_subscriber::fmt().with_env_filter("warn").with_test_writer().try_init();
        let control_plane = ControlPlane::shared().await.unwrap();
        let admin = Cluster::from_kubeconfig("test", control_plane.admin_kubeconfig()).await.unwrap();
        let home = control_plane.namespace("accounts").await.unwrap();
        admin
            .namespaced::<ServiceAccount>(&home)
            .create(&object(json!({ "metadata": { "name": ACCOUNT } })))
            .await
            .unwrap();
        let world = Self { control_plane, admin, home };
        world.role("test-namespaces", "", "namespaces").await;
        world.role("test-deployments", "apps", "deployments").await;
        let binding = object(json!({
            "metadata": { "name": &world.home },
            "roleRef": { "apiGroup": GROUP, "kind": "ClusterRole", "name": "test-namespaces" },
            "subjects": [world.subject()],
        }));
        world.admin.all::<ClusterRoleBinding>().create(&binding).await.unwrap();
        world
    }

    async fn role(&self, name: &str, group: &str, resource: &str) {
        let may = json!({ "apiGroups": [group], "resources": [resource], "verbs": ["get", "list", "watch"] });
        let role: ClusterRole = object(json!({ "metadata": { "name": name }, "rules": [may] }));
        match self.admin.all().create(&role).await {
            Ok(_) | Err(Error::AlreadyExists { .. }) => {}
            Err(error) => panic!("{error}"),
        }
    }

    fn subject(&self) -> Value {
        json!({ "kind": "ServiceAccount", "namespace": self.home, "name": ACCOUNT })
    }

    /// A kubeconfig of the account.
    pub(crate) async fn kubeconfig(&self) -> PathBuf {
        let path = self.control_plane.directory().join(format!("{}.kubeconfig", self.home));
        self.control_plane.kubeconfig_as(&self.home, ACCOUNT, &path).await.unwrap();
        path
    }

    /// The cluster as the account sees it.
    pub(crate) async fn scoped(&self) -> Cluster {
        Cluster::from_kubeconfig("test", &self.kubeconfig().await).await.unwrap()
    }

    /// A name of an enclave that no other test uses.
    pub(crate) fn name(&self, prefix: &str) -> EnclaveName {
        self.home.replace("accounts", prefix).parse().unwrap()
    }

    /// Makes an enclave of which the account may read nothing yet.
    pub(crate) async fn enclave(&self, name: &EnclaveName) {
        let namespace: Namespace = object(json!({ "metadata": {
            "name": name,
            "labels": { keys::MANAGED_BY: keys::TENTACULAR },
            "annotations": { keys::ENCLAVE: name, keys::ENCLAVE_OWNER: "ada@example.com" },
        }}));
        self.admin.all().create(&namespace).await.unwrap();
    }

    /// Lets the account read the enclave's Deployments.
    pub(crate) async fn bind(&self, enclave: &EnclaveName) {
        let binding: RoleBinding = object(json!({
            "metadata": { "name": "watcher" },
            "roleRef": { "apiGroup": GROUP, "kind": "ClusterRole", "name": "test-deployments" },
            "subjects": [self.subject()],
        }));
        self.admin.namespaced(enclave.as_str()).create(&binding).await.unwrap();
    }

    /// Makes a Deployment without pods.
    pub(crate) async fn deploy(&self, enclave: &EnclaveName, name: &str) {
        self.admin.namespaced(enclave.as_str()).create(&deployment(name)).await.unwrap();
    }

    /// Deletes the enclave's namespace and waits until it is gone.
    pub(crate) async fn remove(&self, enclave: &EnclaveName) {
        let namespaces = self.admin.all::<Namespace>();
        namespaces.delete(enclave.as_str(), &Delete::default()).await.unwrap();
        until("the namespace is gone", async || namespaces.get(enclave.as_str()).await.unwrap().is_none()).await;
    }
}

pub(crate) fn deployment(name: &str) -> Deployment {
    let labels = json!({ keys::RELEASE: name });
    object(json!({ "metadata": { "name": name }, "spec": {
        "replicas": 0,
        "selector": { "matchLabels": labels },
        "template": {
            "metadata": { "labels": labels },
            "spec": { "containers": [{ "name": "engine", "image": "example.com/engine:1" }] },
        },
    }}))
}

pub(crate) fn object<K: DeserializeOwned>(json: Value) -> K {
    serde_json::from_value(json).unwrap()
}

/// Watches enclaves and what is in them until the test ends.
pub(crate) async fn watch<K: tentacular_cluster::Namespaced>(cluster: &Cluster) -> (Enclaves, PerEnclave<K>) {
    let (enclaves, run) = Enclaves::new(cluster.clone(), Platform::default());
    tokio::spawn(run);
    let (objects, run) = PerEnclave::new(cluster.clone(), enclaves.clone(), None);
    tokio::spawn(run);
    objects.ready().await;
    (enclaves, objects)
}

/// Waits for what the cluster does in its own time.
pub(crate) async fn until(what: &str, condition: impl AsyncFn() -> bool) {
    tentacular_test_harness::until(what, async || {
        ensure!(condition().await, "it is not so");
        Ok(())
    })
    .await
    .unwrap();
}
