//! `proxy_status`: whether the module proxy runs, as its pods show it. The auditor has no right on Deployments outside of
//! enclaves, and needs none for this.

use std::sync::Arc;

use k8s_openapi::api::core::v1::{Namespace, Pod};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tentacular_cluster::{Cluster, Metadata, Selector};
use tentacular_contract::{Authz, Needs, On};
use tentacular_process::link::{Permitted, ToolError, ToolSpec};

use crate::text;

/// The labels of the proxy's pods.
const PROXY: &str =
    "app.kubernetes.io/managed-by=tentacular,app.kubernetes.io/name=esm-sh,app.kubernetes.io/component=module-proxy";
/// Where its pods keep modules.
const CACHE: &str = "/app/cache";

/// `proxy_status` takes no arguments.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Arguments {}

/// The result of `proxy_status`.
#[derive(Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub(crate) struct Proxy {
    /// The namespace of the proxy.
    namespace: String,
    /// The image of its newest pod, empty without one.
    image: String,
    /// Where that pod keeps modules: `pvc` (a volume that outlives it) or `emptyDir`; empty without a pod or a volume.
    storage: &'static str,
    /// Whether it has a pod.
    installed: bool,
    /// Whether a pod of it is ready.
    ready: bool,
    /// What is missing, and the command that makes it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    warnings: Vec<String>,
}

/// What the kernel and clients are told of `proxy_status`.
pub(crate) fn spec() -> ToolSpec {
    let authz = Authz::new(On::Cluster, Needs::Read);
    let description = "Tells whether the module proxy (esm.sh), from which tentacles load their modules, runs and is \
                       ready, as its pods show it.";
    ToolSpec::new("proxy_status", "Status of the module proxy", description, authz).read_only()
}

/// The tool.
#[derive(Debug)]
pub(crate) struct ProxyStatus {
    pub(crate) cluster: Cluster,
    /// Where the proxy is to be.
    pub(crate) namespace: String,
}

impl ProxyStatus {
    /// Answers one call.
    pub(crate) async fn call(
        self: Arc<Self>,
        _permitted: Permitted,
        _arguments: Arguments,
    ) -> Result<Proxy, ToolError> {
        let (namespaces, pods) =
            (self.cluster.all::<Metadata<Namespace>>(), self.cluster.namespaced::<Pod>(&self.namespace));
        let proxys = Selector::labels(PROXY);
        let (namespace, pods) = tokio::join!(namespaces.get(&self.namespace), pods.list(&proxys));
        let mut proxy = shown(&self.namespace, &pods?);
        if namespace?.is_none() {
            let name = &self.namespace;
            let missing = format!("namespace {name} does not exist; `kubectl create namespace {name}` makes it");
            proxy.warnings.push(missing);
        }
        Ok(proxy)
    }
}

fn shown(namespace: &str, pods: &[Pod]) -> Proxy {
    let is_ready = |pod: &&Pod| {
        let conditions = pod.status.as_ref().and_then(|status| status.conditions.as_deref()).unwrap_or_default();
        conditions.iter().any(|condition| condition.type_ == "Ready" && condition.status == "True")
    };
    let newest = pods.iter().max_by_key(|pod| pod.metadata.creation_timestamp.as_ref().map(|time| time.0));
    let image = newest.and_then(|pod| pod.spec.as_ref()?.containers.first()?.image.as_deref());
    Proxy {
        namespace: namespace.to_owned(),
        image: image.map(text::line).unwrap_or_default(),
        storage: newest.and_then(storage).unwrap_or_default(),
        installed: newest.is_some(),
        ready: pods.iter().any(|pod| is_ready(&pod)),
        warnings: Vec::new(),
    }
}

/// The kind of the volume in which a pod keeps modules.
fn storage(pod: &Pod) -> Option<&'static str> {
    let spec = pod.spec.as_ref()?;
    let mounts = spec.containers.first()?.volume_mounts.as_deref()?;
    let name = &mounts.iter().find(|mount| mount.mount_path == CACHE)?.name;
    let volume = spec.volumes.as_deref()?.iter().find(|volume| volume.name == *name)?;
    let of_claim = volume.persistent_volume_claim.is_some().then_some("pvc");
    of_claim.or_else(|| volume.empty_dir.is_some().then_some("emptyDir"))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn pod(created: &str, image: &str, volume: &Value, ready: &str) -> Pod {
        let mut volume = volume.clone();
        volume["name"] = json!("cache");
        let container =
            json!({ "name": "c", "image": image, "volumeMounts": [{ "name": "cache", "mountPath": CACHE }] });
        serde_json::from_value(json!({ "metadata": { "creationTimestamp": created },
            "spec": { "containers": [container], "volumes": [volume] },
            "status": { "conditions": [{ "type": "Ready", "status": ready }] } }))
        .expect("a pod")
    }

    #[test]
    fn the_newest_pod_is_shown_and_any_may_be_ready() {
        let claim = json!({ "persistentVolumeClaim": { "claimName": "esm-sh-cache" } });
        let old = pod("2026-01-01T00:00:00Z", "esm:1", &json!({ "emptyDir": {} }), "True");
        let new = pod("2026-01-02T00:00:00Z", "esm:2", &claim, "False");
        let both = shown("support", &[new.clone(), old.clone()]);
        assert_eq!((&*both.image, both.storage, both.installed, both.ready), ("esm:2", "pvc", true, true));
        assert!(!shown("support", &[new]).ready);
        assert_eq!(shown("support", &[old]).storage, "emptyDir");
        let none = shown("support", &[]);
        assert_eq!((&*none.image, none.storage, none.installed, none.ready), ("", "", false, false));
    }
}
