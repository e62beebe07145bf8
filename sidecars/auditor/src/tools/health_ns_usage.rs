//! `health_ns_usage`: how much of its quota an enclave uses.

use std::sync::Arc;

use k8s_openapi::api::core::v1::{Pod, ResourceQuota};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tentacular_contract::{Authz, Needs, On};
use tentacular_process::link::{Permitted, ToolError, ToolSpec};

use crate::{
    observed::Observed,
    quantity::{Amounts, bytes, cores, millis, percent, requested},
};

/// The arguments of `health_ns_usage`.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Arguments {
    /// Name of the enclave. May be left out by a caller who owns or is a member of one enclave only.
    #[serde(default)]
    #[expect(dead_code, reason = "the kernel reads it and names the enclave in the permit")]
    enclave: Option<String>,
    /// The same as `enclave`.
    #[serde(default)]
    #[expect(dead_code, reason = "the kernel reads it and names the enclave in the permit")]
    namespace: Option<String>,
}

/// The result of `health_ns_usage`. Percentages are 0 where there is no limit.
#[derive(Debug, PartialEq, Serialize, JsonSchema)]
pub(crate) struct Usage {
    /// Name of the enclave.
    enclave: String,
    /// The cores that its pods ask for.
    cpu_used: String,
    /// The cores that its pods may ask for together, `unlimited` without quota.
    cpu_limit: String,
    /// The memory that its pods ask for.
    mem_used: String,
    /// The memory that its pods may ask for together, `unlimited` without quota.
    mem_limit: String,
    /// How many pods there are.
    pod_count: i64,
    /// How many there may be, -1 without quota.
    pod_limit: i64,
    /// Used cores, in percent.
    cpu_pct: f64,
    /// Used memory, in percent.
    mem_pct: f64,
    /// Pods, in percent.
    pod_pct: f64,
    /// The volumes that its claims ask for; left out without a quota for them.
    #[serde(skip_serializing_if = "Option::is_none")]
    storage_used: Option<String>,
    /// The volumes that its claims may ask for together.
    #[serde(skip_serializing_if = "Option::is_none")]
    storage_limit: Option<String>,
    /// Used volumes, in percent.
    #[serde(skip_serializing_if = "Option::is_none")]
    storage_pct: Option<f64>,
}

/// What the kernel and clients are told of `health_ns_usage`.
pub(crate) fn spec() -> ToolSpec {
    let authz = Authz::new(On::Enclave, Needs::Read).enclave_at(&["/enclave", "/namespace"]);
    let description = "Shows how much of its quota an enclave uses: cores, memory, pods and volumes. Where there are \
                       several quotas, the one that is closest to its limit counts.";
    ToolSpec::new("health_ns_usage", "Usage of an enclave", description, authz)
        .aliases(&["health_enclave_usage"])
        .read_only()
}

/// The tool.
#[derive(Debug)]
pub(crate) struct HealthNsUsage {
    pub(crate) observed: Observed,
}

impl HealthNsUsage {
    /// Answers one call.
    pub(crate) async fn call(
        self: Arc<Self>,
        permitted: Permitted,
        _arguments: Arguments,
    ) -> Result<Usage, ToolError> {
        let enclave = self.observed.enclave(permitted.enclave()?).await?;
        let (quotas, pods) =
            tokio::join!(self.observed.list::<ResourceQuota>(&enclave), self.observed.list::<Pod>(&enclave));
        Ok(usage(enclave.name.as_str(), &quotas?, &pods?))
    }
}

/// A resource, used and limited.
#[derive(Debug, Clone, Copy)]
struct Share {
    used: i128,
    limit: Option<i128>,
}

impl Share {
    /// The share closest to its limit among the quotas' entries of the first of these names that any has.
    fn of(quotas: &[ResourceQuota], names: &[&str]) -> Option<Self> {
        let shares = |name: &str| {
            let share = |quota: &ResourceQuota| {
                let of = |amounts: Option<&Amounts>| amounts.and_then(|amounts| amounts.get(name)).map(millis);
                let status = quota.status.as_ref();
                let limit = of(quota.spec.as_ref().and_then(|spec| spec.hard.as_ref()))?;
                let used = of(status.and_then(|status| status.used.as_ref())).unwrap_or(0);
                Some(Self { used, limit: Some(limit) })
            };
            let full = |share: &Self| (share.used, share.limit.unwrap_or_default());
            // a/b < c/d is a*d < c*b, where nothing is negative.
            quotas.iter().filter_map(share).max_by(|one, other| {
                let ((a, b), (c, d)) = (full(one), full(other));
                a.saturating_mul(d).cmp(&c.saturating_mul(b))
            })
        };
        names.iter().find_map(|name| shares(name))
    }

    fn percent(self) -> f64 {
        percent(self.used, self.limit.unwrap_or_default())
    }

    fn limit(self, written: fn(i128) -> String) -> String {
        self.limit.map_or_else(|| "unlimited".to_owned(), written)
    }
}

fn usage(enclave: &str, quotas: &[ResourceQuota], pods: &[Pod]) -> Usage {
    let ended = |pod: &&Pod| {
        let phase = pod.status.as_ref().and_then(|status| status.phase.as_deref());
        !matches!(phase, Some("Succeeded" | "Failed"))
    };
    let alive: Vec<_> = pods.iter().filter(ended).collect();
    let counted = |resource| Share { used: alive.iter().map(|pod| requested(pod, resource)).sum(), limit: None };
    let share = |names: &[&str], resource| Share::of(quotas, names).unwrap_or_else(|| counted(resource));
    let cpu = share(&["requests.cpu", "cpu", "limits.cpu"], "cpu");
    let memory = share(&["requests.memory", "memory", "limits.memory"], "memory");
    let count = Share { used: i128::try_from(alive.len() * 1000).unwrap_or_default(), limit: None };
    let pods = Share::of(quotas, &["pods", "count/pods"]).unwrap_or(count);
    let storage = Share::of(quotas, &["requests.storage"]);
    let whole = |millis: i128| i64::try_from(millis / 1000).unwrap_or(i64::MAX);
    Usage {
        enclave: enclave.to_owned(),
        cpu_used: cores(cpu.used),
        cpu_limit: cpu.limit(cores),
        mem_used: bytes(memory.used),
        mem_limit: memory.limit(bytes),
        pod_count: whole(pods.used),
        pod_limit: pods.limit.map_or(-1, whole),
        cpu_pct: cpu.percent(),
        mem_pct: memory.percent(),
        pod_pct: pods.percent(),
        storage_used: storage.map(|storage| bytes(storage.used)),
        storage_limit: storage.map(|storage| storage.limit(bytes)),
        storage_pct: storage.map(Share::percent),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    #[expect(clippy::needless_pass_by_value, reason = "they are written where they are passed")]
    fn quota(hard: Value, used: Value) -> ResourceQuota {
        serde_json::from_value(json!({ "metadata": {}, "spec": { "hard": hard }, "status": { "used": used } }))
            .expect("a quota")
    }

    fn pod(phase: &str) -> Pod {
        let requests = json!({ "cpu": "500m", "memory": "1Gi" });
        serde_json::from_value(json!({ "metadata": {}, "status": { "phase": phase },
            "spec": { "containers": [{ "name": "c", "resources": { "requests": requests } }] } }))
        .expect("a pod")
    }

    #[test]
    fn usage_is_what_the_quota_says() {
        let all = quota(
            json!({ "requests.cpu": "4", "limits.cpu": "16", "requests.memory": "4Gi", "pods": "20",
                "requests.storage": "10Gi" }),
            json!({ "requests.cpu": "1500m", "limits.cpu": "2", "requests.memory": "1Gi", "pods": "3",
                "requests.storage": "5Gi" }),
        );
        let expected = json!({ "enclave": "a", "cpu_used": "1500m", "cpu_limit": "4", "mem_used": "1Gi",
            "mem_limit": "4Gi", "pod_count": 3, "pod_limit": 20, "cpu_pct": 37.5, "mem_pct": 25.0, "pod_pct": 15.0,
            "storage_used": "5Gi", "storage_limit": "10Gi", "storage_pct": 50.0 });
        assert_eq!(serde_json::to_value(usage("a", std::slice::from_ref(&all), &[])).expect("JSON"), expected);
        // A further quota counts where it is closer to its limit.
        let tight =
            quota(json!({ "requests.cpu": "2", "pods": "100" }), json!({ "requests.cpu": "1500m", "pods": "3" }));
        let both = usage("a", &[all, tight], &[]);
        assert_eq!((&*both.cpu_limit, both.pod_limit), ("2", 20));
        let limits = usage("a", &[quota(json!({ "limits.cpu": "2" }), json!({ "limits.cpu": "1" }))], &[]);
        assert_eq!((&*limits.cpu_used, &*limits.cpu_limit), ("1", "2"));
    }

    #[test]
    fn without_quota_pods_are_counted_and_nothing_is_limited() {
        let usage = usage("a", &[], &[pod("Running"), pod("Pending"), pod("Succeeded")]);
        assert_eq!((&*usage.cpu_used, &*usage.cpu_limit, &*usage.mem_used), ("1", "unlimited", "2Gi"));
        assert_eq!((usage.pod_count, usage.pod_limit, usage.storage_used), (2, -1, None));
        assert!(usage.cpu_pct.abs() < f64::EPSILON);
    }
}
