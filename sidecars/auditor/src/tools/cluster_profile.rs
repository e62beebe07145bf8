//! `cluster_profile`: what kind of cluster this is and what tentacles find in it. What cannot be read is left out and told.

mod enclave;
mod extensions;
mod gathered;
mod guidance;
mod nodes;
mod storage;
mod surroundings;

use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tentacular_contract::{Authz, Needs, On, Platform};
use tentacular_process::link::{Permitted, ToolError, ToolSpec};

use self::{
    enclave::{LimitRange, Quota},
    extensions::Extensions,
    gathered::Gathered,
    nodes::Node,
    storage::{RuntimeClass, StorageClass},
    surroundings::{Cni, Exoskeleton, NetworkPolicy, Observability},
};
use super::cluster_preflight::Issuer;
use crate::{clock::Clock, observed::Observed, text::Untrusted};

/// The arguments of `cluster_profile`.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Arguments {
    /// Enclave whose quota, limits and Pod Security level are added. One that does not exist, or a protected namespace, adds
    /// nothing.
    #[serde(default)]
    #[expect(dead_code, reason = "the kernel reads it and names the enclave in the permit")]
    enclave: Option<String>,
    /// The same as `enclave`.
    #[serde(default)]
    #[expect(dead_code, reason = "the kernel reads it and names the enclave in the permit")]
    namespace: Option<String>,
}

/// The result of `cluster_profile`.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Profile {
    /// RFC 3339 time of the profile.
    generated_at: String,
    /// The version of the API server; empty where it is not known.
    k8s_version: String,
    /// `eks`, `gke`, `aks`, `openshift`, `talos`, `rke2`, `k0s`, `k3d`, `k3s`, `kind` or `vanilla`.
    distribution: String,
    /// The network plugin.
    cni: Cni,
    /// Whether network policies count and are used.
    network_policy: NetworkPolicy,
    /// Whether a runtime class isolates pods by gVisor.
    gvisor: bool,
    /// The runtime classes.
    runtime_classes: Vec<RuntimeClass>,
    /// The ingress controllers that run.
    ingress: Vec<&'static str>,
    /// The storage drivers.
    csi_drivers: Vec<String>,
    /// The storage classes.
    storage_classes: Vec<StorageClass>,
    /// What is known of volumes that several pods write.
    rwx_note: String,
    /// The nodes, at most 100.
    nodes: Vec<Node>,
    /// What is installed beside Kubernetes.
    extensions: Extensions,
    /// The backing services; left out where none is configured.
    #[serde(skip_serializing_if = "Option::is_none")]
    exoskeleton: Option<Exoskeleton>,
    /// Where telemetry goes; left out where nothing is installed for it.
    #[serde(skip_serializing_if = "Option::is_none")]
    observability: Option<Observability>,
    /// Name of the enclave, empty when none was named.
    enclave: String,
    /// The Pod Security level that the enclave enforces, empty without enclave.
    pod_security: String,
    /// What a container of the enclave gets that names no resources.
    #[serde(skip_serializing_if = "Option::is_none")]
    limit_range: Option<LimitRange>,
    /// How much the enclave may use.
    #[serde(skip_serializing_if = "Option::is_none")]
    quota: Option<Quota>,
    /// What follows for whoever writes tentacles.
    guidance: Vec<String>,
    /// What could not be read or is not shown.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    warnings: Vec<String>,
    /// Says that texts in this result are by others.
    untrusted: Untrusted,
}

/// What the kernel and clients are told of `cluster_profile`.
pub(crate) fn spec() -> ToolSpec {
    let authz = Authz::new(On::Cluster, Needs::Read).enclave_at(&["/enclave", "/namespace"]);
    let description = "Shows what kind of cluster this is: version, distribution, nodes, network, storage, extensions, \
                       backing services, and an enclave's quota and limits. What cannot be read is left out, with a \
                       warning. Distribution, network plugin and ingress controllers are guesses from labels and names.";
    ToolSpec::new("cluster_profile", "Profile of the cluster", description, authz).read_only()
}

/// The tool.
#[derive(Debug)]
pub(crate) struct ClusterProfile<C> {
    pub(crate) observed: Observed,
    pub(crate) platform: Platform,
    pub(crate) issuer: Option<Issuer>,
    pub(crate) clock: C,
}

impl<C: Clock> ClusterProfile<C> {
    /// Answers one call.
    pub(crate) async fn call(
        self: Arc<Self>,
        permitted: Permitted,
        _arguments: Arguments,
    ) -> Result<Profile, ToolError> {
        let enclave = match permitted.permit().enclave() {
            Some(name) if !self.platform.is_protected(name.as_str()) => self.observed.find(name).await?,
            _ => None,
        };
        let gathered = Box::pin(Gathered::read(&self.observed, &self.platform, enclave.as_deref())).await;
        Ok(gathered.profile(self.clock.now().to_string(), self.issuer.as_ref()))
    }
}
