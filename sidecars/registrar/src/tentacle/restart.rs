//! `wf_restart`: replaces a tentacle's pods one after the other, as its Deployment's rollout does, with nothing else
//! changed.

use std::sync::Arc;

use chrono::{SecondsFormat, Utc};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tentacular_cluster::Object;
use tentacular_contract::{Authz, Needs, On};
use tentacular_process::link::{Permitted, ToolError, ToolSpec};

use super::change::change;
use crate::registrar::Registrar;

/// Annotation of the pod template by which `kubectl rollout restart` restarts; every tool knows it.
const RESTARTED_AT: &str = "kubectl.kubernetes.io/restartedAt";

/// What `wf_restart` declares.
pub(crate) fn spec() -> ToolSpec {
    ToolSpec::new(
        "wf_restart",
        "Restart a tentacle",
        "Replaces the pods of a tentacle by new ones of the same kind, as its Deployment rolls out a change. The call \
         does not wait for them: wf_status says whether they start. A frozen enclave refuses it.",
        Authz::new(On::Tentacle, Needs::Execute)
            .enclave_at(&["/enclave", "/namespace"])
            .tentacle_at(&["/name", "/deployment"])
            .not_frozen(),
    )
    .idempotent()
}

/// Arguments of `wf_restart`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Arguments {
    /// Name of the enclave. May be left out by somebody who has exactly one.
    #[serde(default, rename = "enclave")]
    _enclave: Option<String>,
    /// Another name of `enclave`.
    #[serde(default, rename = "namespace")]
    _namespace: Option<String>,
    /// Name of the tentacle. Required, by this name or as `deployment`.
    #[serde(default, rename = "name")]
    _name: Option<String>,
    /// Another name of `name`.
    #[serde(default, rename = "deployment")]
    _deployment: Option<String>,
}

/// What was restarted.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Outcome {
    /// Name of the tentacle.
    name: String,
    /// Name of its Deployment, which is the same.
    deployment: String,
    /// Name of its enclave.
    enclave: String,
    /// Whether its pods are being replaced: always true.
    restarted: bool,
    /// RFC 3339 time of the restart; pods made before are replaced.
    restarted_at: String,
}

/// Restarts the tentacle of the permit.
pub(crate) async fn restart(
    registrar: Arc<Registrar>,
    permitted: Permitted,
    _arguments: Arguments,
) -> Result<Outcome, ToolError> {
    // Finer than seconds, as the same time twice would restart once.
    let now = Utc::now().to_rfc3339_opts(SecondsFormat::Millis, true);
    change(&registrar, &permitted, |_, live| Ok((Some(rollout(live, &now)?), ()))).await?;
    let (enclave, tentacle) = (permitted.enclave()?, permitted.tentacle()?);
    Ok(Outcome {
        name: tentacle.to_string(),
        deployment: tentacle.to_string(),
        enclave: enclave.to_string(),
        restarted: true,
        restarted_at: now,
    })
}

/// The patch that makes `live` roll out anew.
fn rollout(live: &Object, now: &str) -> Result<Value, ToolError> {
    if live.data.pointer("/spec/paused") == Some(&Value::Bool(true)) {
        return Err(ToolError::new(
            "nothing was restarted: the rollouts of the Deployment are paused (spec.paused); apply it without that",
        ));
    }
    Ok(json!({ "spec": { "template": { "metadata": { "annotations": { RESTARTED_AT: now } } } } }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_paused_deployment_would_not_roll_out_and_is_refused() {
        let live = |paused: bool| -> Object {
            serde_json::from_value(json!({ "metadata": { "name": "a" }, "spec": { "paused": paused } })).unwrap()
        };
        let patch = rollout(&live(false), "T1").unwrap();
        assert_eq!(
            patch.pointer("/spec/template/metadata/annotations"),
            Some(&json!({ "kubectl.kubernetes.io/restartedAt": "T1" }))
        );
        assert!(rollout(&live(true), "T1").unwrap_err().to_string().contains("spec.paused"));
    }
}
