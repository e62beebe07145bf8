//! The product installed in a control plane: the chart's accounts, rights, policies and webhook configuration as they
//! are, and the webhook as a process. The other processes make a [`crate::Stack`]; several may share one installation.

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::Arc,
};

use anyhow::Context as _;
use k8s_openapi::api::core::v1::Namespace;
use kube::{
    Client,
    api::{Api, DeleteParams, DynamicObject, Patch, PatchParams, PostParams},
    core::GroupVersionKind,
    discovery::{ApiResource, Scope, pinned_kind},
};
use serde_json::{Value, json};

use crate::{
    Child, ControlPlane, FaultProxy, chart,
    part::{self, Part},
    policies,
    service::Endpoint,
    shared::Shared,
};

/// The namespace that the server is installed in.
pub const SERVER_NAMESPACE: &str = "tentacular-system";

/// How long the API server waits for the webhook's answer.
const REVIEWED_WITHIN_SECONDS: u32 = 20;

/// The templates of accounts and rights.
const RIGHTS: [&str; 4] = ["accounts.yaml", "rbac.yaml", "all-pods.yaml", "policies.yaml"];

/// The product's objects in a control plane, and its webhook.
#[derive(Debug)]
pub struct Installation {
    control_plane: ControlPlane,
    folder: PathBuf,
    webhook: Option<Child>,
}

impl Installation {
    /// The installation, webhook included, that all tests of this process share. A stack in it looks after every enclave of it,
    /// unless [`crate::stack::Options::enclaves`] says which.
    pub async fn shared() -> anyhow::Result<Arc<Self>> {
        static SHARED: Shared<Arc<Installation>> = Shared::empty();
        Ok(Arc::clone(SHARED.get(Self::start).await?))
    }

    /// An installation in a control plane of its own with a node, on the current runtime.
    pub async fn start() -> anyhow::Result<Arc<Self>> {
        Ok(Arc::new(Self::install(ControlPlane::start_with_node().await?).await?))
    }

    /// An installation in this control plane.
    pub async fn install(control_plane: ControlPlane) -> anyhow::Result<Self> {
        let mut installation = Self::without_webhook(control_plane).await?;
        installation.start_webhook().await?;
        Ok(installation)
    }

    /// The same without the webhook, which is the caller's to start and to register.
    pub async fn without_webhook(control_plane: ControlPlane) -> anyhow::Result<Self> {
        let folder = control_plane.directory().join("installation");
        std::fs::create_dir_all(&folder)?;
        install_rights(&control_plane).await?;
        Ok(Self { control_plane, folder, webhook: None })
    }

    /// The control plane under it.
    pub const fn control_plane(&self) -> &ControlPlane {
        &self.control_plane
    }

    /// The webhook's process, once it serves.
    pub fn webhook(&self) -> Option<&Child> {
        self.webhook.as_ref()
    }

    /// Writes the kubeconfig of a part's service account into `folder`, and says where.
    pub async fn kubeconfig_for(&self, part: Part, folder: &Path) -> anyhow::Result<PathBuf> {
        let path = folder.join(format!("{}.kubeconfig", part.name()));
        self.control_plane().kubeconfig_as(SERVER_NAMESPACE, part.account(), &path).await?;
        Ok(path)
    }

    /// Starts a process of the webhook, under a name that no other one here has, and waits until it listens.
    pub async fn replica(&self, name: &str, args: &[&str]) -> anyhow::Result<Replica> {
        self.replica_through(None, name, args).await
    }

    /// The same, which speaks to the API server through a proxy.
    pub async fn replica_through(
        &self,
        proxy: Option<&FaultProxy>,
        name: &str,
        args: &[&str],
    ) -> anyhow::Result<Replica> {
        let folder = self.folder.join(name);
        std::fs::create_dir(&folder)?;
        let kubeconfig = self.kubeconfig_for(Part::Webhook, &folder).await?;
        if let Some(proxy) = proxy {
            proxy.kubeconfig(self.control_plane(), Part::Webhook, &kubeconfig).await?;
        }
        let child = part::program(Part::Webhook)?
            .env("KUBECONFIG", &kubeconfig)
            .arg("--listen=127.0.0.1:0")
            .arg("--observe-addr=127.0.0.1:0")
            .arg("--extra-names=127.0.0.1")
            .args(args)
            .start(&folder.join("webhook.log"))?;
        let address = part::logged(&child, "serving admission reviews", "address").await?.parse()?;
        let observe = part::logged(&child, "observing", "address").await?.parse()?;
        Ok(Replica { child, endpoint: Endpoint { address, observe } })
    }

    /// Makes the chart's objects for the webhook, its configuration with a loopback address in place of a Service, as no
    /// pod network leads from the API server to this machine's processes, and with more time for an answer, as many tests at
    /// once may keep one waiting.
    pub async fn register_webhook(&self, address: SocketAddr) -> anyhow::Result<()> {
        apply_chart(&self.control_plane().admin()?, &["webhook.yaml"], &[], move |object| {
            for entry in object.get_mut("webhooks").and_then(Value::as_array_mut).into_iter().flatten() {
                let path = entry["clientConfig"]["service"]["path"].as_str().unwrap_or_default();
                entry["clientConfig"] = json!({ "url": format!("https://{address}{path}") });
                entry["timeoutSeconds"] = json!(REVIEWED_WITHIN_SECONDS);
            }
        })
        .await
    }

    /// Removes the chart's objects, as helm's uninstall does. What the server itself made stays.
    pub async fn uninstall(&self) -> anyhow::Result<()> {
        let admin = self.control_plane().admin()?;
        for object in chart::render(&[&RIGHTS[..], &["webhook.yaml"]].concat(), &[]).await? {
            delete(&admin, &object).await?;
        }
        Ok(())
    }

    async fn start_webhook(&mut self) -> anyhow::Result<()> {
        let replica = self.replica("webhook", &[]).await?;
        self.register_webhook(replica.endpoint.address).await?;
        part::ready(&replica.child).await?;
        self.webhook = Some(replica.child);
        Ok(())
    }
}

/// A process of the webhook.
#[derive(Debug)]
pub struct Replica {
    /// The process.
    pub child: Child,
    /// Where it listens.
    pub endpoint: Endpoint,
}

/// The chart's accounts with their rights, and the policies that narrow these, in `control_plane`. Returns once the
/// policies are in force. Processes are the caller's.
pub async fn install_rights(control_plane: &ControlPlane) -> anyhow::Result<()> {
    let admin = control_plane.admin()?;
    ensure_namespace(&admin).await?;
    apply_chart(&admin, &RIGHTS, &[], |_| ()).await?;
    policies::in_force(&admin).await
}

/// What the chart gives the server in the namespace of a module proxy, as if it were enabled there.
pub async fn allow_module_proxy(control_plane: &ControlPlane, namespace: &str) -> anyhow::Result<()> {
    let values = ["moduleProxy.enabled=true", &format!("moduleProxy.namespace={namespace}")];
    apply_chart(&control_plane.admin()?, &["module-proxy.yaml"], &values, |_| ()).await
}

/// What the chart gives the server where SPIRE is enabled. The policy is in force some time later.
pub async fn allow_identities(control_plane: &ControlPlane) -> anyhow::Result<()> {
    let values = ["exoskeleton.enabled=true", "exoskeleton.spire.enabled=true"];
    apply_chart(&control_plane.admin()?, &["spire.yaml"], &values, |_| ()).await
}

/// What the chart gives the server where NATS knows tentacles by their identity, by this `ConfigMap` in this namespace.
pub async fn allow_nats_entries(control_plane: &ControlPlane, namespace: &str, name: &str) -> anyhow::Result<()> {
    let values = [
        "exoskeleton.enabled=true",
        "exoskeleton.nats.url=nats://nats:4222",
        "exoskeleton.nats.spiffeEnabled=true",
        &format!("exoskeleton.nats.authzNamespace={namespace}"),
        &format!("exoskeleton.nats.authzConfigMap={name}"),
    ];
    apply_chart(&control_plane.admin()?, &["nats-entries.yaml"], &values, |_| ()).await
}

/// Applies templates of the chart as the administrator that an installation is made by.
async fn apply_chart(
    client: &Client,
    templates: &[&str],
    values: &[&str],
    adjust: impl Fn(&mut Value),
) -> anyhow::Result<()> {
    for mut object in chart::render(templates, values).await? {
        adjust(&mut object);
        apply(client, &object)
            .await
            .with_context(|| format!("cannot apply {} {}", object["kind"], object["metadata"]["name"]))?;
    }
    Ok(())
}

async fn ensure_namespace(client: &Client) -> anyhow::Result<()> {
    let namespace: Namespace = serde_json::from_value(json!({ "metadata": { "name": SERVER_NAMESPACE } }))?;
    match Api::<Namespace>::all(client.clone()).create(&PostParams::default(), &namespace).await {
        Err(kube::Error::Api(status)) if status.is_already_exists() => Ok(()),
        created => created.map(|_| ()).context("cannot create the server's namespace"),
    }
}

async fn apply(client: &Client, object: &Value) -> anyhow::Result<()> {
    let (api, name) = place_of(client, object).await?;
    api.patch(name, &PatchParams::apply("helm").force(), &Patch::Apply(object)).await?;
    Ok(())
}

async fn delete(client: &Client, object: &Value) -> anyhow::Result<()> {
    let (api, name) = place_of(client, object).await?;
    match api.delete(name, &DeleteParams::default()).await {
        Err(kube::Error::Api(status)) if status.is_not_found() => Ok(()),
        deleted => deleted.map(|_| ()).with_context(|| format!("cannot delete {} {name}", object["kind"])),
    }
}

/// Where the object goes, and its name.
async fn place_of<'a>(client: &Client, object: &'a Value) -> anyhow::Result<(Api<DynamicObject>, &'a str)> {
    let text = |path: &str| object.pointer(path).and_then(Value::as_str).unwrap_or_default();
    let (group, version) = text("/apiVersion").rsplit_once('/').unwrap_or(("", text("/apiVersion")));
    let kind = GroupVersionKind::gvk(group, version, text("/kind"));
    let (resource, capabilities): (ApiResource, _) = pinned_kind(client, &kind).await?;
    let api = match capabilities.scope {
        Scope::Cluster => Api::all_with(client.clone(), &resource),
        Scope::Namespaced => {
            let namespace = Some(text("/metadata/namespace")).filter(|namespace| !namespace.is_empty());
            Api::namespaced_with(client.clone(), namespace.unwrap_or(SERVER_NAMESPACE), &resource)
        }
    };
    let name = object["metadata"]["name"].as_str().context("an object of the chart without a name")?;
    Ok((api, name))
}
