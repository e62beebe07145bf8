//! A control plane of its own with one enclave, and an address at which replicas of the webhook are reached.

use anyhow::{Context as _, ensure};
use k8s_openapi::{
    ByteString,
    api::{
        admissionregistration::v1::ValidatingWebhookConfiguration,
        apps::v1::Deployment,
        core::v1::{Namespace, Secret},
    },
};
use kube::{
    Client,
    api::{Api, Patch, PatchParams, PostParams},
};
use serde_json::{Value, json};
use tentacular_test_harness::{
    ControlPlane, Installation, Service,
    installation::{Replica, SERVER_NAMESPACE},
    part, tls, until,
};

/// The enclave.
pub(super) const ENCLAVE: &str = "served";

/// The place.
pub(super) struct Place {
    pub(super) installation: Installation,
    pub(super) service: Service,
    pub(super) admin: Client,
}

impl Place {
    /// One without replicas; the enclave is older than the webhook's registration.
    pub(super) async fn new() -> anyhow::Result<Self> {
        let installation = Installation::without_webhook(ControlPlane::exclusive().await?).await?;
        let admin = installation.control_plane().admin()?;
        Api::<Namespace>::all(admin.clone()).create(&PostParams::default(), &enclave(ENCLAVE)?).await?;
        Ok(Self { installation, service: Service::start()?, admin })
    }

    /// Makes the chart's objects for the webhook.
    pub(super) async fn register(&self) -> anyhow::Result<()> {
        self.installation.register_webhook(self.service.address()).await
    }

    /// Starts a replica; it need not be ready.
    pub(super) async fn start(&self, name: &str, args: &[&str]) -> anyhow::Result<Replica> {
        let replica = self.installation.replica(name, args).await?;
        self.service.add(replica.endpoint);
        Ok(replica)
    }

    /// A replica that is ready and has been asked.
    pub(super) async fn serving(&self, name: &str, args: &[&str]) -> anyhow::Result<Replica> {
        let replica = self.start(name, args).await?;
        part::ready(&replica.child).await?;
        self.asks(&format!("replica {name} is ready")).await?;
        Ok(replica)
    }

    /// Waits until a write in the enclave passes: the API server takes up the configuration, and the Service an endpoint,
    /// a moment later.
    pub(super) async fn asks(&self, what: &str) -> anyhow::Result<()> {
        until(format!("writes pass when {what}"), async || Ok(write(&self.admin).await?)).await
    }

    pub(super) fn secrets(&self) -> Api<Secret> {
        Api::namespaced(self.admin.clone(), SERVER_NAMESPACE)
    }

    pub(super) fn configurations(&self) -> Api<ValidatingWebhookConfiguration> {
        Api::all(self.admin.clone())
    }

    /// The CAs of each entry, as PEM.
    pub(super) async fn bundles(&self) -> anyhow::Result<Vec<String>> {
        bundles(&self.admin).await
    }

    /// Waits until each entry has these CAs alone.
    pub(super) async fn until_trusted(&self, pem: &str) -> anyhow::Result<()> {
        until("no other CA is trusted", async || {
            ensure!(self.bundles().await?.iter().all(|bundle| bundle.trim() == pem.trim()));
            Ok(())
        })
        .await
    }

    /// A member of the Secret that the webhook issues into, as text.
    pub(super) async fn secret(&self, key: &str) -> anyhow::Result<String> {
        let data = self.secrets().get("tentacular-webhook-tls").await?.data.unwrap_or_default();
        Ok(String::from_utf8(data.get(key).map(|value| value.0.clone()).unwrap_or_default())?)
    }

    /// Writes into every entry of the configuration, as somebody who may.
    pub(super) async fn set_bundles(&self, bundle: Value) -> anyhow::Result<()> {
        let count = self.bundles().await?.len();
        let change = |entry| json!({ "op": "add", "path": format!("/webhooks/{entry}/clientConfig/caBundle"), "value": bundle });
        let changes: Vec<_> = (0..count).map(change).collect();
        let patch = Patch::<()>::Json(serde_json::from_value(Value::Array(changes))?);
        self.configurations().patch("tentacular-webhook", &PatchParams::default(), &patch).await?;
        Ok(())
    }
}

/// The CAs of each entry, as PEM.
pub(super) async fn bundles(client: &Client) -> anyhow::Result<Vec<String>> {
    let configurations = Api::<ValidatingWebhookConfiguration>::all(client.clone());
    let entries = configurations.get("tentacular-webhook").await?.webhooks.unwrap_or_default();
    let bundle =
        |bundle: Option<ByteString>| Ok(String::from_utf8(bundle.map(|bundle| bundle.0).unwrap_or_default())?);
    entries.into_iter().map(|entry| bundle(entry.client_config.ca_bundle)).collect()
}

/// An enclave as an administrator makes one by hand.
pub(super) fn enclave(name: &str) -> anyhow::Result<Namespace> {
    let labels =
        json!({ "app.kubernetes.io/managed-by": "tentacular", "pod-security.kubernetes.io/enforce": "restricted" });
    let annotations = json!({ "tentacular.io/enclave": name });
    Ok(serde_json::from_value(json!({ "metadata": { "name": name, "labels": labels, "annotations": annotations } }))?)
}

/// One write in the enclave that the webhook is asked about, and that changes nothing.
pub(super) async fn write(client: &Client) -> Result<(), kube::Error> {
    write_in(client, ENCLAVE).await
}

/// The same in another enclave.
pub(super) async fn write_in(client: &Client, enclave: &str) -> Result<(), kube::Error> {
    let dry_run = PostParams { dry_run: true, ..PostParams::default() };
    Api::namespaced(client.clone(), enclave).create(&dry_run, &deployment()).await.map(drop)
}

pub(super) fn deployment() -> Deployment {
    let labels = json!({ "app.kubernetes.io/name": "probe", "tentacular.io/release": "probe" });
    let deployment = json!({
        "metadata": { "name": "probe", "labels": labels },
        "spec": { "selector": { "matchLabels": labels }, "template": { "metadata": { "labels": labels }, "spec": {
            "automountServiceAccountToken": false,
            "securityContext": { "runAsNonRoot": true, "seccompProfile": { "type": "RuntimeDefault" } },
            "containers": [{ "name": "engine", "image": "none", "securityContext": {
                "allowPrivilegeEscalation": false, "capabilities": { "drop": ["ALL"] } } }] } } },
    });
    serde_json::from_value(deployment).unwrap()
}

/// The text with which the API server refuses.
pub(super) fn refusal(result: Result<(), kube::Error>) -> anyhow::Result<String> {
    match result {
        Err(kube::Error::Api(status)) => Ok(status.message),
        other => anyhow::bail!("not refused: {other:?}"),
    }
}

/// A figure that the replica shows, its whole part; 0 where it shows none of that name.
pub(super) async fn figure(replica: &Replica, name: &str) -> anyhow::Result<u64> {
    let url = format!("http://{}/metrics", replica.endpoint.observe);
    let text = tls::plain().build()?.get(url).send().await?.text().await?;
    let value = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    let whole = value.map_or("0", |value| value.split('.').next().unwrap_or_default());
    whole.parse().with_context(|| format!("{name} is {value:?}"))
}

/// How many reviews the replica has answered.
pub(super) async fn answered(replica: &Replica) -> anyhow::Result<u64> {
    figure(replica, "tentacular_webhook_review_duration_seconds_count").await
}
