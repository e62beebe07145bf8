//! The product, installed by helm.

use std::{path::Path, time::Instant};

use anyhow::{Context as _, ensure};
use k8s_openapi::api::core::v1::{Namespace, Pod, Secret};
use kube::{
    Client, ResourceExt as _,
    api::{Api, DeleteParams, ListParams, LogParams, PostParams},
};
use serde_json::{Value, json};
use tentacular_test_harness::{
    Cluster, Part,
    chart::{CHART, helm},
    installation::SERVER_NAMESPACE,
    mcp::{Era, Mcp},
};
use tokio::{
    sync::{Mutex, MutexGuard, OnceCell},
    time::sleep,
};

use crate::support::{LONG, LOOK, apply};

/// The name of the release.
const NAME: &str = "tentacular-mcp";
/// The Service's port on every node, by default.
const NODE_PORT: u16 = 30080;
/// Name the folders that `make images` filled, of this build and of one with the contract's next minor version.
const IMAGES: &str = "TENTACULAR_IMAGES";
const NEXT_IMAGES: &str = "TENTACULAR_NEXT_IMAGES";
/// How long helm waits until all is up.
const TIMEOUT: &str = "--timeout=5m";
/// All that there are images of.
const PARTS: [Part; 6] = [Part::Kernel, Part::Registrar, Part::Scheduler, Part::Auditor, Part::Webhook, Part::Engine];

/// An installation. A cluster has one, so tests take turns.
pub(crate) struct Release {
    pub(crate) cluster: &'static Cluster,
    pub(crate) admin: Client,
    _turn: MutexGuard<'static, ()>,
}

impl Release {
    /// A cluster with nothing of the product in it but images, and the server's namespace, where `restricted` is enforced.
    pub(crate) async fn none() -> anyhow::Result<Self> {
        static TURN: Mutex<()> = Mutex::const_new(());
        static IMPORTED: OnceCell<()> = OnceCell::const_new();
        let turn = TURN.lock().await;
        let cluster = Cluster::shared().await?;
        IMPORTED.get_or_try_init(|| import(cluster, IMAGES)).await?;
        let release = Self { cluster, admin: cluster.control_plane().admin()?, _turn: turn };
        release.clear().await?;
        let labels = json!({ "pod-security.kubernetes.io/enforce": "restricted" });
        let namespace = json!({ "metadata": { "name": SERVER_NAMESPACE, "labels": labels } });
        release.namespaces().create(&PostParams::default(), &serde_json::from_value(namespace)?).await?;
        Ok(release)
    }

    /// One with these values, up and running.
    pub(crate) async fn with(values: &[&str]) -> anyhow::Result<Self> {
        let release = Self::none().await?;
        release.install(values).await?;
        Ok(release)
    }

    /// Installs the chart and waits until all is up.
    pub(crate) async fn install(&self, values: &[&str]) -> anyhow::Result<String> {
        self.helm_with(&["install", NAME, CHART, "--wait", TIMEOUT], values).await
    }

    /// Changes these values and no others, and waits until all is up.
    pub(crate) async fn upgrade(&self, values: &[&str]) -> anyhow::Result<String> {
        self.helm_with(&["upgrade", NAME, CHART, "--reuse-values", "--wait", TIMEOUT], values).await
    }

    /// Gives the nodes the images of the next build, tagged [`NEXT`](crate::support::NEXT).
    pub(crate) async fn import_next(&self) -> anyhow::Result<()> {
        import(self.cluster, NEXT_IMAGES).await
    }

    pub(crate) async fn uninstall(&self) -> anyhow::Result<String> {
        self.helm(&["uninstall", NAME, "--wait"]).await
    }

    async fn helm_with(&self, args: &[&str], values: &[&str]) -> anyhow::Result<String> {
        let values: Vec<_> = values.iter().map(|value| format!("--set={value}")).collect();
        let args: Vec<_> = args.iter().copied().chain(values.iter().map(String::as_str)).collect();
        match self.helm(&args).await {
            Err(error) => Err(error.context(self.told().await)),
            done => done,
        }
    }

    /// What helm says.
    pub(crate) async fn helm(&self, args: &[&str]) -> anyhow::Result<String> {
        let control_plane = self.cluster.control_plane();
        let mut helm = helm().await?;
        helm.args(args).args(["--namespace", SERVER_NAMESPACE, "--kubeconfig"]).arg(control_plane.admin_kubeconfig());
        for folder in ["HELM_CACHE_HOME", "HELM_CONFIG_HOME", "HELM_DATA_HOME"] {
            helm.env(folder, control_plane.directory().join("helm"));
        }
        let output = helm.output().await?;
        ensure!(output.status.success(), "helm {args:?}: {}", String::from_utf8_lossy(&output.stderr).trim());
        Ok(String::from_utf8(output.stdout)?)
    }

    /// The URL of the MCP endpoint through a node's port.
    pub(crate) fn url(&self, node: usize) -> anyhow::Result<String> {
        let worker = self.cluster.workers().get(node).context("no such node")?;
        Ok(format!("http://{}:{NODE_PORT}/mcp", worker.address()))
    }

    /// The bearer token in a Secret.
    pub(crate) async fn token_in(&self, secret: &str) -> anyhow::Result<String> {
        let secret = self.secrets().get(secret).await?;
        let token = secret.data.and_then(|mut data| data.remove("token")).context("no token")?;
        Ok(String::from_utf8(token.0)?)
    }

    /// The bearer token that the chart made.
    pub(crate) async fn token(&self) -> anyhow::Result<String> {
        self.token_in("tentacular-mcp-auth").await
    }

    /// A client with the bearer token, through the first node's port.
    pub(crate) async fn client(&self) -> anyhow::Result<Mcp> {
        let (url, token) = (self.url(0)?, self.token().await?);
        let until = Instant::now() + LONG;
        // A node opens the port some time after the pods are ready.
        loop {
            match Mcp::connect(&url, &token, Era::Stateless).await {
                Err(_) if Instant::now() < until => sleep(LOOK).await,
                connected => return connected,
            }
        }
    }

    /// A tentacle `busy` in a new enclave of ann's, ready to run.
    pub(crate) async fn busy(&self, enclave: &str) -> anyhow::Result<Value> {
        let mcp = self.client().await?;
        mcp.call("enclave_provision", json!({ "name": enclave, "owner_email": "ann@example.com" })).await?;
        let place = json!({ "enclave": enclave, "name": "busy" });
        mcp.call("wf_apply", apply(&place, &json!({}))?).await?;
        Ok(place)
    }

    /// The pods of a Deployment that are not being removed.
    pub(crate) async fn pods(&self, deployment: &str) -> anyhow::Result<Vec<Pod>> {
        let pods = Api::<Pod>::namespaced(self.admin.clone(), SERVER_NAMESPACE);
        let chosen = ListParams::default().labels(&format!("app.kubernetes.io/name={deployment}"));
        let mut pods = pods.list(&chosen).await?.items;
        pods.retain(|pod| pod.metadata.deletion_timestamp.is_none());
        Ok(pods)
    }

    /// The image of each container of the server's and the webhook's pods, as `container image`, without repeats.
    pub(crate) async fn images(&self) -> anyhow::Result<Vec<String>> {
        let mut images = Vec::new();
        for deployment in ["tentacular-mcp", "tentacular-webhook"] {
            for pod in self.pods(deployment).await? {
                let spec = pod.spec.context("a pod without a spec")?;
                let containers = spec.init_containers.into_iter().flatten().chain(spec.containers);
                let named = |image: Option<String>| image.unwrap_or_default();
                images.extend(containers.map(|container| format!("{} {}", container.name, named(container.image))));
            }
        }
        images.sort_unstable();
        images.dedup();
        Ok(images)
    }

    /// What containers that are not ready wrote last, for whoever asks why.
    async fn told(&self) -> String {
        let pods = Api::<Pod>::namespaced(self.admin.clone(), SERVER_NAMESPACE);
        let mut told = Vec::new();
        for pod in pods.list(&ListParams::default()).await.into_iter().flatten() {
            let status = pod.status.clone().unwrap_or_default();
            let statuses = status.init_container_statuses.into_iter().chain(status.container_statuses).flatten();
            for container in statuses.filter(|container| !container.ready) {
                let params = LogParams {
                    container: Some(container.name.clone()),
                    tail_lines: Some(5),
                    ..LogParams::default()
                };
                let log = pods.logs(&pod.name_any(), &params).await.unwrap_or_else(|error| error.to_string());
                told.push(format!("{} {}: {}\n{log}", pod.name_any(), container.name, json!(container.state)));
            }
        }
        told.join("\n")
    }

    /// Makes a Secret in the server's namespace.
    pub(crate) async fn secret(&self, name: &str, data: &Value) -> anyhow::Result<()> {
        let secret = json!({ "metadata": { "name": name }, "stringData": data });
        self.secrets().create(&PostParams::default(), &serde_json::from_value(secret)?).await?;
        Ok(())
    }

    /// The Secrets of the server's namespace.
    pub(crate) fn secrets(&self) -> Api<Secret> {
        Api::namespaced(self.admin.clone(), SERVER_NAMESPACE)
    }

    fn namespaces(&self) -> Api<Namespace> {
        Api::all(self.admin.clone())
    }

    /// Removes what the test before left.
    async fn clear(&self) -> anyhow::Result<()> {
        if self.helm(&["status", NAME]).await.is_ok() {
            self.uninstall().await?;
        }
        let enclaves = ListParams::default().labels("app.kubernetes.io/managed-by=tentacular");
        let mut names: Vec<_> =
            self.namespaces().list(&enclaves).await?.into_iter().filter_map(|one| one.metadata.name).collect();
        names.push(SERVER_NAMESPACE.to_owned());
        for name in &names {
            match self.namespaces().delete(name, &DeleteParams::default()).await {
                Err(kube::Error::Api(status)) if status.is_not_found() => {}
                deleted => drop(deleted?),
            }
        }
        let until = Instant::now() + LONG;
        for name in &names {
            while let Some(namespace) = self.namespaces().get_opt(name).await? {
                ensure!(Instant::now() < until, "it does not go: {}", json!(namespace));
                sleep(LOOK).await;
            }
        }
        Ok(())
    }
}

/// Gives the nodes the images in the folder that a variable names.
async fn import(cluster: &Cluster, variable: &str) -> anyhow::Result<()> {
    let folder =
        std::env::var(variable).with_context(|| format!("{variable} is missing: `make e2e-node` sets it"))?;
    for part in PARTS {
        let archive = Path::new(&folder).join(format!("{}.tar", part.name()));
        cluster.import(&archive).await.with_context(|| archive.display().to_string())?;
    }
    Ok(())
}
