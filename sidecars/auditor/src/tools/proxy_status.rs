//! `proxy_status`: whether the module proxy runs, and whether it is as the settings want it. Its Deployment tells, where the
//! chart gives the auditor the right to read it; else its pods do, which the auditor may count everywhere.

use std::sync::Arc;

use k8s_openapi::api::{
    apps::v1::Deployment,
    core::v1::{Namespace, Pod, PodSpec, Service},
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tentacular_cluster::{Cluster, Error, Metadata, Selector};
use tentacular_contract::{
    Authz, Needs, On,
    module_proxy::{self, CACHE, ModuleProxy, NAME},
};
use tentacular_process::link::{Permitted, ToolError, ToolSpec};

use crate::text::{self, Untrusted};

/// Characters of a field that is not as it is to be; its value may be a whole list.
const FIELD: usize = 300;
/// Fields that are told.
const FIELDS: usize = 20;

/// `proxy_status` takes no arguments.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Arguments {}

/// The result of `proxy_status`.
#[derive(Debug, Default, PartialEq, Eq, Serialize, JsonSchema)]
pub(crate) struct Proxy {
    /// The namespace of the proxy.
    namespace: String,
    /// Its image, empty where it is not installed.
    image: String,
    /// Where it keeps modules: `pvc` (a volume that outlives its pod) or `emptydir`; empty where it is not installed.
    storage: &'static str,
    /// Whether its Deployment, or a pod of it, is there.
    installed: bool,
    /// Whether a pod of it is ready.
    ready: bool,
    /// Where this server keeps it: what is otherwise than the settings want it, field by field, which lasts only while it
    /// cannot be put right.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    drift: Vec<String>,
    /// What is missing or in the way, and what to do about it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    warnings: Vec<String>,
    untrusted: Untrusted,
}

/// What the kernel and clients are told of `proxy_status`.
pub(crate) fn spec() -> ToolSpec {
    let authz = Authz::new(On::Cluster, Needs::Read);
    let description = "Tells whether the module proxy (esm.sh), from which tentacles load their modules, is installed and \
                       ready, with its image and storage as they are. Where this server keeps it, it also tells which of \
                       its fields are otherwise than the settings want them, and what stands in the way.";
    ToolSpec::new("proxy_status", "Status of the module proxy", description, authz).read_only()
}

/// The tool.
#[derive(Debug)]
pub(crate) struct ProxyStatus {
    pub(crate) cluster: Cluster,
    pub(crate) settings: ModuleProxy,
}

/// What is in the cluster. What may not be read is an error for itself.
struct Found {
    namespace: bool,
    deployment: Result<Option<Deployment>, Error>,
    service: Result<Option<Service>, Error>,
    pods: Vec<Pod>,
}

impl ProxyStatus {
    /// Answers one call.
    pub(crate) async fn call(
        self: Arc<Self>,
        _permitted: Permitted,
        _arguments: Arguments,
    ) -> Result<Proxy, ToolError> {
        let Self { cluster, settings } = &*self;
        let place = &settings.namespace;
        let (namespaces, deployments) =
            (cluster.all::<Metadata<Namespace>>(), cluster.namespaced::<Deployment>(place));
        let (services, pods) = (cluster.namespaced::<Service>(place), cluster.namespaced::<Pod>(place));
        let selector = Selector::labels(&ModuleProxy::selector());
        let (namespace, deployment, service, pods) =
            tokio::join!(namespaces.get(place), deployments.get(NAME), services.get(NAME), pods.list(&selector));
        let pods = if_allowed(pods)?.unwrap_or_default();
        let (deployment, service) = (if_allowed(deployment)?, if_allowed(service)?);
        Ok(shown(settings, &Found { namespace: namespace?.is_some(), deployment, service, pods }))
    }
}

/// The answer, whose error is that it is not for this account; another one is the tool's.
fn if_allowed<T>(answer: Result<T, Error>) -> Result<Result<T, Error>, Error> {
    match answer {
        Err(error) if !error.is_forbidden() => Err(error),
        answer => Ok(answer),
    }
}

fn shown(settings: &ModuleProxy, found: &Found) -> Proxy {
    let mut proxy = Proxy { namespace: settings.namespace.clone(), ..Proxy::default() };
    let newest = found.pods.iter().max_by_key(|pod| pod.metadata.creation_timestamp.as_ref().map(|time| time.0));
    let deployment = found.deployment.as_ref().ok().and_then(Option::as_ref);
    let template = deployment.and_then(|deployment| deployment.spec.as_ref()?.template.spec.as_ref());
    if let Some(pod) = template.or_else(|| newest?.spec.as_ref()) {
        let image = pod.containers.first().and_then(|container| container.image.as_deref());
        proxy.image = image.map(text::line).unwrap_or_default();
        proxy.storage = storage(pod).unwrap_or_default();
    }
    proxy.installed = deployment.is_some() || newest.is_some();
    let ready = deployment.and_then(|deployment| deployment.status.as_ref()?.ready_replicas).unwrap_or_default();
    proxy.ready = ready > 0 || found.pods.iter().any(is_ready);
    if !found.namespace {
        let name = &settings.namespace;
        let label = "pod-security.kubernetes.io/enforce=restricted";
        let make = format!("`kubectl create namespace {name}` and `kubectl label namespace {name} {label}` make it");
        proxy.warnings.push(format!("namespace {name} does not exist; {make}"));
    } else if !settings.disabled {
        judge(settings, found, &mut proxy);
    }
    proxy
}

/// Adds what is not as the settings want it.
fn judge(settings: &ModuleProxy, found: &Found, proxy: &mut Proxy) {
    let wanted = settings.objects();
    let deployment = found.deployment.as_ref().map(|found| found.as_ref().map(serde_json::to_value));
    let service = found.service.as_ref().map(|found| found.as_ref().map(serde_json::to_value));
    for (kind, wanted, live) in
        [("Deployment", &wanted.deployment, deployment), ("Service", &wanted.service, service)]
    {
        let place = &settings.namespace;
        match live {
            Err(_) => proxy.warnings.push(format!(
                "{kind} {NAME} cannot be read in {place}: the chart's value moduleProxy.enabled gives the server its \
                 rights there; where others keep the module proxy, disable its reconciler"
            )),
            Ok(None) => proxy.warnings.push(format!(
                "{kind} {NAME} does not exist in {place}; the registrar makes it, and its log and /readyz say what is in \
                 the way"
            )),
            Ok(Some(live)) => {
                let fields = module_proxy::drift(wanted, &live.unwrap_or(Value::Null));
                let told = fields.iter().map(|field| text::line_of(&format!("{kind}: {field}"), FIELD));
                proxy.drift.extend(told.take(FIELDS));
            }
        }
    }
}

fn is_ready(pod: &Pod) -> bool {
    let conditions = pod.status.as_ref().and_then(|status| status.conditions.as_deref()).unwrap_or_default();
    conditions.iter().any(|condition| condition.type_ == "Ready" && condition.status == "True")
}

/// The kind of the volume in which a pod keeps modules.
fn storage(pod: &PodSpec) -> Option<&'static str> {
    let mounts = pod.containers.first()?.volume_mounts.as_deref()?;
    let name = &mounts.iter().find(|mount| mount.mount_path == CACHE)?.name;
    let volume = pod.volumes.as_deref()?.iter().find(|volume| volume.name == *name)?;
    let of_claim = volume.persistent_volume_claim.is_some().then_some("pvc");
    of_claim.or_else(|| volume.empty_dir.is_some().then_some("emptydir"))
}

#[cfg(test)]
mod tests;
