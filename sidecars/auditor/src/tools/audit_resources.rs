//! `audit_resources`: whether what a tentacle has is what its contract asks for, as the client's `tntc audit` counts it.

mod network;
mod schedules;
mod secrets;

use std::sync::Arc;

use k8s_openapi::api::{apps::v1::Deployment, core::v1::ConfigMap, networking::v1::NetworkPolicy};
use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize};
use tentacular_contract::{Authz, Needs, On, TentacleName, keys, release::may_be_of, workflow};
use tentacular_process::link::{Permitted, ToolError, ToolSpec};

use self::{network::NetworkPolicies, schedules::Schedules, secrets::Secrets};
use crate::{
    audit::{Finding, all_of},
    observed::{Observed, patiently},
    tentacle::Seen,
    text::Untrusted,
};

/// Characters of a text from a manifest within the result. Names of Secrets' keys and schedules are shown as they are: that
/// they look like credentials is what they are there for.
const LONGEST: usize = 500;

/// The arguments of `audit_resources`.
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
    #[serde(rename = "workflowName")]
    #[expect(dead_code, reason = "the kernel reads it and names the tentacle in the permit")]
    workflow_name: String,
    /// What the contract asks for. What is left out in it is not compared.
    #[serde(default)]
    expected: Expected,
}

/// What the contract in a workflow asks for, as `tntc` derives it.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(crate) struct Expected {
    /// Keys of Secrets, each as service.key; null stands for none.
    #[serde(default, deserialize_with = "none_for_null")]
    secrets: Option<Vec<String>>,
    /// Rules for what its pods may reach, two for DNS among them; those for the platform's own services do not count.
    #[serde(default)]
    egress_rule_count: Option<usize>,
    /// Rules for who may reach its pods.
    #[serde(default)]
    ingress_rule_count: Option<usize>,
    /// Triggers of type cron. They are schedules of the server: there are no `CronJobs`.
    #[serde(default)]
    cron_job_count: Option<usize>,
}

/// A contract without secrets comes as null.
fn none_for_null<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Vec<String>>, D::Error> {
    Ok(Some(Option::deserialize(deserializer)?.unwrap_or_default()))
}

/// Whether a part is as it is to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Status {
    /// It is.
    Match,
    /// It is not.
    Mismatch,
    /// There is nothing of it.
    Missing,
}

/// The verdict on all parts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Overall {
    /// Every part matches.
    Pass,
    /// Some part does not.
    Fail,
}

/// The result of `audit_resources`.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Audit {
    /// Name of the tentacle.
    name: String,
    /// Enclave of the tentacle.
    enclave: String,
    /// `pass` when every part is `match`, else `fail`.
    overall: Overall,
    /// Who may reach its pods, and whom these may reach.
    network_policy: NetworkPolicies,
    /// Its Secrets, by the names of their keys.
    secrets: Secrets,
    /// Its schedules.
    cron_jobs: Schedules,
    /// What network policies keep from it that every tentacle needs.
    findings: Vec<Finding>,
    /// What texts in the result are.
    untrusted: Untrusted,
}

/// What the kernel and clients are told of `audit_resources`.
pub(crate) fn spec() -> ToolSpec {
    let authz =
        Authz::new(On::Tentacle, Needs::Read).enclave_at(&["/enclave", "/namespace"]).tentacle_at(&["/workflowName"]);
    let description = "Compares what a tentacle has with what the contract of its workflow asks for: network policy \
                       rules, keys of Secrets (never their values) and cron schedules. Tells too whether the server \
                       can reach the tentacle and the tentacle the cluster's DNS, as the network policies stand.";
    ToolSpec::new("audit_resources", "Audit a tentacle's resources", description, authz).read_only()
}

/// The tool.
#[derive(Debug)]
pub(crate) struct AuditResources {
    pub(crate) observed: Observed,
    /// The namespace of the server itself, from which it calls tentacles.
    pub(crate) server_namespace: String,
}

impl AuditResources {
    /// Answers one call.
    pub(crate) async fn call(
        self: Arc<Self>,
        permitted: Permitted,
        arguments: Arguments,
    ) -> Result<Audit, ToolError> {
        let (enclave, tentacle) = (permitted.enclave()?, permitted.tentacle()?);
        let deployment = self.observed.deployment_now(enclave, tentacle).await?;
        let Some(deployment) = deployment.filter(|deployment| Seen::of(deployment).is_some()) else {
            return Err(ToolError::new(format_args!(
                "tentacle {enclave}/{tentacle} has no Deployment to audit: apply it first"
            )));
        };
        let Expected { secrets, egress_rule_count, ingress_rule_count, cron_job_count } = arguments.expected;
        let policies = all_of::<NetworkPolicy>(&self.observed, enclave.as_str()).await?;
        let place = network::Place { enclave, tentacle, server_namespace: &self.server_namespace };
        let network_policy = network::compare(&policies, &deployment, [ingress_rule_count, egress_rule_count]);
        let findings = place.cut_off(&policies, &deployment);
        let annotation = |key: &str| deployment.metadata.annotations.as_ref()?.get(key).map(String::as_str);
        let secrets = secrets::compare(annotation(keys::INVENTORY), secrets.as_deref());
        let cron = annotation(keys::CRON_SCHEDULE).or_else(|| annotation(keys::LEGACY_CRON_SCHEDULE));
        let triggers = self.triggers(enclave.as_str(), tentacle).await?;
        let cron_jobs = schedules::compare(cron, &triggers, cron_job_count);

        let parts = [network_policy.status, secrets.status, cron_jobs.status];
        let passes = parts.iter().all(|status| *status == Status::Match) && findings.is_empty();
        Ok(Audit {
            name: tentacle.to_string(),
            enclave: enclave.to_string(),
            overall: if passes { Overall::Pass } else { Overall::Fail },
            network_policy,
            secrets,
            cron_jobs,
            findings,
            untrusted: Untrusted::Content,
        })
    }

    /// The cron triggers of the workflow, as far as they can be read: they tell apart schedules that a comma may join.
    async fn triggers(
        &self,
        enclave: &str,
        tentacle: &TentacleName,
    ) -> Result<Vec<workflow::CronTrigger>, ToolError> {
        let (maps, name) = (self.observed.cluster.namespaced::<ConfigMap>(enclave), format!("{tentacle}-code"));
        Ok(cron_triggers(tentacle, patiently(|| maps.get(&name)).await?))
    }
}

/// The cron triggers in a `ConfigMap` that is named as the tentacle's code; none where it is another tentacle's.
fn cron_triggers(tentacle: &TentacleName, code: Option<ConfigMap>) -> Vec<workflow::CronTrigger> {
    let own = code.filter(|code| may_be_of(tentacle, &code.metadata));
    let file = own.and_then(|code| code.data?.remove(workflow::FILE));
    file.and_then(|file| workflow::cron_triggers(&file).ok()).unwrap_or_default()
}

/// The labels and the ports of the pods that a Deployment makes.
fn template(deployment: &Deployment) -> k8s_openapi::api::core::v1::PodTemplateSpec {
    deployment.spec.as_ref().map(|spec| spec.template.clone()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use serde_json::{from_value, json};

    use super::*;

    #[test]
    fn triggers_are_those_of_the_tentacle_itself() {
        let tentacle = "report-worker".parse().expect("a name");
        let triggers = |labels: serde_json::Value| {
            let file = "triggers: [{ type: cron, name: nightly, schedule: 0 2 * * * }]";
            let metadata = json!({ "name": "report-worker-code", "labels": labels });
            let map = json!({ "metadata": metadata, "data": { workflow::FILE: file } });
            cron_triggers(&tentacle, Some(from_value(map).expect("a ConfigMap"))).len()
        };
        assert_eq!(triggers(json!({ keys::RELEASE: "report" })), 0);
        assert_eq!(triggers(json!({ keys::RELEASE: "report-worker" })), 1);
        assert_eq!(triggers(json!({})), 1);
        assert!(cron_triggers(&tentacle, None).is_empty());
    }
}
