//! `wf_health`: whether a tentacle is green, amber or red.

use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tentacular_contract::{Authz, Needs, On, tentacle_url::TentacleUrl};
use tentacular_process::link::{Permitted, ToolError, ToolSpec};

use crate::{
    health::{Light, judge},
    observed::Observed,
    probe::Probe,
    tentacle::absent,
    text::Untrusted,
};

/// The arguments of `wf_health`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Arguments {
    /// Enclave of the tentacle. May be left out by a caller who owns or is a member of one enclave only.
    #[serde(default)]
    #[expect(dead_code, reason = "the kernel reads it and names the enclave in the permit")]
    enclave: Option<String>,
    /// The same as `enclave`.
    #[serde(default)]
    #[expect(dead_code, reason = "the kernel reads it and names the enclave in the permit")]
    namespace: Option<String>,
    /// Name of the tentacle.
    #[expect(dead_code, reason = "the kernel reads it and names the tentacle in the permit")]
    name: String,
    /// Whether to add what the engine says of itself; false when left out.
    #[serde(default)]
    detail: bool,
}

/// The result of `wf_health`.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Health {
    /// Name of the tentacle.
    name: String,
    /// Enclave of the tentacle.
    enclave: String,
    /// `green`, `amber` or `red`.
    status: Light,
    /// Why it is not green.
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
    /// What the engine says of itself, as text, where that was asked for and the engine answered.
    #[serde(skip_serializing_if = "Option::is_none")]
    detail: Option<String>,
    /// Whether at least one pod of the tentacle is ready.
    pod_ready: bool,
    /// Says that texts in this result are by others.
    untrusted: Untrusted,
}

/// What the kernel and clients are told of `wf_health`.
pub(crate) fn spec() -> ToolSpec {
    let authz = Authz::new(On::Tentacle, Needs::Read).enclave_at(&["/enclave", "/namespace"]).tentacle_at(&["/name"]);
    let description = "Tells whether a tentacle is green (it can run and its last run went well), amber (its last run \
                       failed, a run is under way, or not all replicas are there) or red (it cannot run), and why. \
                       Its engine is asked each time, for at most 5 s.";
    ToolSpec::new("wf_health", "Health of a tentacle", description, authz).read_only()
}

/// The tool.
#[derive(Debug)]
pub(crate) struct WfHealth<P> {
    pub(crate) observed: Observed,
    pub(crate) probe: P,
    pub(crate) url: TentacleUrl,
}

impl<P: Probe> WfHealth<P> {
    /// Answers one call.
    pub(crate) async fn call(
        self: Arc<Self>,
        permitted: Permitted,
        arguments: Arguments,
    ) -> Result<Health, ToolError> {
        let (enclave, tentacle) = (permitted.enclave()?, permitted.tentacle()?);
        let found = self.observed.tentacle(enclave, tentacle).await?;
        let replicas = found.ok_or_else(|| absent(enclave, tentacle))?.replicas;
        let verdict = judge(&self.probe, &self.url.health_url(enclave, tentacle), replicas).await;
        Ok(Health {
            name: tentacle.to_string(),
            enclave: enclave.to_string(),
            status: verdict.status,
            reason: verdict.reason,
            detail: verdict.detail.filter(|_| arguments.detail),
            pod_ready: replicas.ready > 0,
            untrusted: Untrusted::Content,
        })
    }
}
