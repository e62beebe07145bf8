//! The product installed in a control plane: the chart's accounts, rights, policies and webhook configuration as they
//! are, and the webhook as a process. The other processes make a [`crate::Stack`]; several may share one installation.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use anyhow::Context as _;
use k8s_openapi::api::core::v1::Namespace;
use kube::{
    Client,
    api::{Api, DynamicObject, Patch, PatchParams, PostParams},
    core::GroupVersionKind,
    discovery::{ApiResource, Scope, pinned_kind},
};
use serde_json::{Value, json};
use tokio::sync::OnceCell;

use crate::{
    Child, ControlPlane, background,
    part::{self, Part},
    policies,
};

/// The namespace that the server is installed in.
pub const SERVER_NAMESPACE: &str = "tentacular-system";
/// The only template construct that the applied files hold.
const RELEASE_NAMESPACE: &str = "{{ .Release.Namespace }}";

/// The product's objects in a control plane, and its webhook.
#[derive(Debug)]
pub struct Installation {
    control_plane: Owned,
    folder: PathBuf,
    webhook: Option<Child>,
}

#[derive(Debug)]
enum Owned {
    Shared(&'static ControlPlane),
    Own(Box<ControlPlane>),
}

impl Installation {
    /// The installation, webhook included, that all tests of this process share.
    pub async fn shared() -> anyhow::Result<Arc<Self>> {
        static SHARED: OnceCell<Result<Arc<Installation>, String>> = OnceCell::const_new();
        let install = || async {
            let install = async { Self::install(Owned::Shared(ControlPlane::shared().await?)).await };
            let installed = background().spawn(install).await.map_err(anyhow::Error::from).flatten();
            installed.map(Arc::new).map_err(|error| format!("{error:#}"))
        };
        let shared = SHARED.get_or_init(install).await.clone();
        shared.map_err(|error| anyhow::anyhow!("the shared installation failed: {error}"))
    }

    /// An installation in a control plane of its own.
    pub async fn into_own(control_plane: ControlPlane) -> anyhow::Result<Self> {
        Self::install(Owned::Own(Box::new(control_plane))).await
    }

    async fn install(control_plane: Owned) -> anyhow::Result<Self> {
        let folder = control_plane.get().directory().join("installation");
        std::fs::create_dir_all(&folder)?;
        install_rights(control_plane.get()).await?;
        let mut installation = Self { control_plane, folder, webhook: None };
        installation.start_webhook().await?;
        Ok(installation)
    }

    /// The control plane under it.
    pub fn control_plane(&self) -> &ControlPlane {
        self.control_plane.get()
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

    /// Starts the webhook and registers it: the chart's configuration, with a loopback address in place of a Service,
    /// as no pod network leads from the API server to this machine's processes.
    async fn start_webhook(&mut self) -> anyhow::Result<()> {
        let kubeconfig = self.kubeconfig_for(Part::Webhook, &self.folder).await?;
        let log = self.folder.join("webhook.log");
        let webhook = part::program(Part::Webhook)?
            .env("KUBECONFIG", &kubeconfig)
            .arg("--listen=127.0.0.1:0")
            .arg("--observe-addr=127.0.0.1:0")
            .arg("--extra-names=127.0.0.1")
            .start(&log)?;
        let address = part::logged(&webhook, "serving admission reviews", "address").await?;
        let url = format!("https://{address}/admit");
        apply_chart(&self.control_plane().admin()?, &["webhook.yaml"], move |object| {
            for entry in object.get_mut("webhooks").and_then(Value::as_array_mut).into_iter().flatten() {
                entry["clientConfig"] = json!({ "url": url });
            }
        })
        .await?;
        part::ready(&webhook).await?;
        self.webhook = Some(webhook);
        Ok(())
    }
}

impl Owned {
    const fn get(&self) -> &ControlPlane {
        match self {
            Self::Shared(shared) => shared,
            Self::Own(own) => own,
        }
    }
}

/// The chart's accounts with their rights, and the policies that narrow these, in `control_plane`. Returns once the
/// policies are in force. Processes are the caller's.
pub async fn install_rights(control_plane: &ControlPlane) -> anyhow::Result<()> {
    let admin = control_plane.admin()?;
    ensure_namespace(&admin).await?;
    apply_chart(&admin, &["accounts.yaml", "rbac.yaml", "policies.yaml"], |_| ()).await?;
    policies::in_force(&admin).await
}

/// Applies files of the chart as the administrator that an installation is made by.
async fn apply_chart(client: &Client, files: &[&str], adjust: impl Fn(&mut Value)) -> anyhow::Result<()> {
    for file in files {
        let path =
            Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../../charts/tentacular-mcp/templates")).join(file);
        let text = std::fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
        let text = text.replace(RELEASE_NAMESPACE, SERVER_NAMESPACE);
        anyhow::ensure!(!text.contains("{{"), "{file} holds a template construct that only helm can render");
        let objects: Vec<Value> = serde_saphyr::from_multiple(&text).with_context(|| format!("{file} is no YAML"))?;
        for mut object in objects.into_iter().filter(|object| !object.is_null()) {
            adjust(&mut object);
            apply(client, &object)
                .await
                .with_context(|| format!("cannot apply {} of {file}", object["metadata"]["name"]))?;
        }
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
    let text = |path: &str| object.pointer(path).and_then(Value::as_str).unwrap_or_default();
    let (group, version) = text("/apiVersion").rsplit_once('/').unwrap_or(("", text("/apiVersion")));
    let kind = GroupVersionKind::gvk(group, version, text("/kind"));
    let (resource, capabilities): (ApiResource, _) = pinned_kind(client, &kind).await?;
    let api: Api<DynamicObject> = match capabilities.scope {
        Scope::Cluster => Api::all_with(client.clone(), &resource),
        Scope::Namespaced => {
            let namespace = Some(text("/metadata/namespace")).filter(|namespace| !namespace.is_empty());
            Api::namespaced_with(client.clone(), namespace.unwrap_or(SERVER_NAMESPACE), &resource)
        }
    };
    api.patch(text("/metadata/name"), &PatchParams::apply("helm").force(), &Patch::Apply(object)).await?;
    Ok(())
}
