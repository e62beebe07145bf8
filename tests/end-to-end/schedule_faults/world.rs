//! A control plane with three schedulers behind a proxy, and tentacles that fire every second.

use std::{sync::Arc, time::Duration};

use anyhow::Context as _;
use k8s_openapi::api::{
    apps::v1::Deployment,
    coordination::v1::Lease,
    core::v1::{ConfigMap, Namespace},
    rbac::v1::RoleBinding,
};
use kube::{Api, Client, api::PostParams};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::{Value, from_value, json};
use tentacular_test_harness::{
    Child, ControlPlane, FaultProxy, Part, Scratch,
    installation::{self, SERVER_NAMESPACE},
    part, until,
};

use super::engine::Engine;

/// A wait that only a hang reaches.
pub(super) const LONG: Duration = Duration::from_mins(2);

/// The only enclave.
pub(super) const ENCLAVE: &str = "clocks";
/// A tentacle for each way to treat what was missed.
pub(super) const TENTACLES: [&str; 2] = ["skip", "once"];

pub(super) struct World {
    pub(super) proxy: Arc<FaultProxy>,
    pub(super) engine: Engine,
    pub(super) schedulers: Vec<Scheduler>,
    run_seconds: u32,
    admin: Client,
    scratch: Scratch,
    /// The last to be dropped.
    _control_plane: ControlPlane,
}

pub(super) struct Scheduler {
    pub(super) identity: String,
    pub(super) child: Arc<Child>,
}

impl World {
    /// With so many seconds for a run.
    pub(super) async fn new(run_seconds: u32) -> anyhow::Result<Self> {
        let control_plane = ControlPlane::start().await?;
        installation::install_rights(&control_plane).await?;
        let (admin, scratch) = (control_plane.admin()?, Scratch::new()?);
        let proxy = Arc::new(FaultProxy::start(&control_plane)?);
        proxy.kubeconfig(&control_plane, Part::Scheduler, &scratch.path().join("kubeconfig")).await?;
        let engine = Engine::start().await?;
        let mut world = Self {
            proxy,
            engine,
            schedulers: Vec::new(),
            run_seconds,
            admin,
            scratch,
            _control_plane: control_plane,
        };
        world.furnish().await?;
        for number in 0..3 {
            let identity = format!("scheduler-{number}");
            let child = world.start(&identity)?;
            world.schedulers.push(Scheduler { identity, child });
        }
        for scheduler in &world.schedulers {
            part::ready(&scheduler.child).await?;
        }
        Ok(world)
    }

    /// The enclave with its tentacles, as the registrar makes them.
    async fn furnish(&self) -> anyhow::Result<()> {
        let namespace: Namespace = from_value(json!({ "metadata": {
            "name": ENCLAVE,
            "labels": { "app.kubernetes.io/managed-by": "tentacular" },
            "annotations": { "tentacular.io/enclave": ENCLAVE, "tentacular.io/enclave-owner": "ann@example.com" },
        }}))?;
        Api::all(self.admin.clone()).create(&PostParams::default(), &namespace).await?;
        self.create::<RoleBinding>(json!({
            "metadata": { "name": "tentacular-scheduler" },
            "roleRef": {
                "apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "tentacular-enclave-scheduler",
            },
            "subjects": [{
                "kind": "ServiceAccount", "namespace": SERVER_NAMESPACE, "name": Part::Scheduler.account(),
            }],
        }))
        .await?;
        for tentacle in TENTACLES {
            let labels = json!({ "app.kubernetes.io/name": tentacle, "app.kubernetes.io/managed-by": "tentacular" });
            self.create::<Deployment>(json!({
                "metadata": { "name": tentacle, "labels": labels, "annotations": {
                    "tentacular.io/cron-schedule": "tick=@every 1s", "tentacular.io/cron-missed": tentacle,
                }},
                "spec": {
                    "replicas": 0,
                    "selector": { "matchLabels": { "app.kubernetes.io/name": tentacle } },
                    "template": {
                        "metadata": { "labels": labels },
                        "spec": { "containers": [{ "name": "engine", "image": "engine" }] },
                    },
                },
            }))
            .await?;
        }
        Ok(())
    }

    async fn create<K>(&self, object: Value) -> anyhow::Result<()>
    where
        K: kube::Resource<Scope = k8s_openapi::NamespaceResourceScope, DynamicType = ()>,
        K: Clone + std::fmt::Debug + Serialize + DeserializeOwned,
    {
        let api: Api<K> = Api::namespaced(self.admin.clone(), ENCLAVE);
        api.create(&PostParams::default(), &from_value(object)?).await?;
        Ok(())
    }

    fn start(&self, identity: &str) -> anyhow::Result<Arc<Child>> {
        let run = self.scratch.path().join(format!("run-{identity}"));
        std::fs::create_dir_all(&run)?;
        let program = part::program(Part::Scheduler)?
            .env("KUBECONFIG", self.scratch.path().join("kubeconfig"))
            .env("TENTACULAR_RUN_DIR", run)
            .env("TENTACULAR_TENTACLE_URL", &self.engine.url)
            .arg("--observe-addr=127.0.0.1:0")
            .arg(format!("--cron-run-seconds={}", self.run_seconds))
            .arg(format!("--identity={identity}"));
        Ok(Arc::new(program.start(&self.scratch.path().join(format!("{identity}.log")))?))
    }

    /// Starts a scheduler again that has ended.
    pub(super) fn restart(&mut self, number: usize) -> anyhow::Result<()> {
        self.schedulers[number].child = self.start(&self.schedulers[number].identity)?;
        Ok(())
    }

    /// The scheduler that leads, and its term. Waits for one of `among`.
    pub(super) async fn leader(&self, among: impl Fn(usize) -> bool) -> anyhow::Result<(usize, i64)> {
        let leases: Api<Lease> = Api::namespaced(self.admin.clone(), SERVER_NAMESPACE);
        until("somebody leads", async || {
            let spec = leases.get_opt("tentacular-scheduler").await?.and_then(|lease| lease.spec).unwrap_or_default();
            let holder = spec.holder_identity.unwrap_or_default();
            let number = self.schedulers.iter().position(|scheduler| scheduler.identity == holder);
            let number =
                number.filter(|number| among(*number)).with_context(|| format!("{holder:?} is the holder"))?;
            Ok((number, spec.lease_transitions.unwrap_or_default().into()))
        })
        .await
    }

    /// The runs in a tentacle's ledger.
    pub(super) async fn ledger(&self, tentacle: &str) -> anyhow::Result<Vec<Value>> {
        let maps: Api<ConfigMap> = Api::namespaced(self.admin.clone(), ENCLAVE);
        let map = maps.get_opt(&format!("tentacular-runs-{tentacle}")).await?;
        let data = map.and_then(|map| map.data).unwrap_or_default();
        let runs = data.iter().filter(|(key, _)| key.starts_with("run."));
        runs.map(|(key, text)| serde_json::from_str(text).with_context(|| format!("{key}: {text}"))).collect()
    }

    /// Waits until the ledgers of all tentacles are as wanted.
    pub(super) async fn until(&self, wanted: impl Fn(&[Value]) -> bool) -> anyhow::Result<()> {
        for tentacle in TENTACLES {
            until(format!("the runs of {tentacle} are as wanted"), async || {
                let runs = self.ledger(tentacle).await?;
                anyhow::ensure!(wanted(&runs), "{runs:#?}");
                Ok(())
            })
            .await?;
        }
        Ok(())
    }
}
