//! An enclave's limits in a profile.

use std::collections::BTreeMap;

use k8s_openapi::{
    api::core::v1::{LimitRange as LiveLimits, ResourceQuota},
    apimachinery::pkg::api::resource::Quantity,
};
use schemars::JsonSchema;
use serde::Serialize;

use crate::text;

/// What a container gets that names no resources.
#[derive(Debug, Default, PartialEq, Eq, Serialize, JsonSchema)]
pub(crate) struct LimitRange {
    /// Cores that it asks for.
    #[serde(rename = "defaultCPURequest")]
    cpu_request: String,
    /// Cores that it may have.
    #[serde(rename = "defaultCPULimit")]
    cpu_limit: String,
    /// Memory that it asks for.
    #[serde(rename = "defaultMemoryRequest")]
    memory_request: String,
    /// Memory that it may have.
    #[serde(rename = "defaultMemoryLimit")]
    memory_limit: String,
}

/// How much all pods of an enclave together may use; empty where there is no limit.
#[derive(Debug, Default, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Quota {
    /// Cores that they may ask for.
    pub(super) cpu_request: String,
    /// Cores that they may have.
    cpu_limit: String,
    /// Memory that they may ask for.
    pub(super) memory_request: String,
    /// Memory that they may have.
    memory_limit: String,
    /// How many there may be; 0 where there is no limit.
    max_pods: i64,
}

fn told(amounts: Option<&BTreeMap<String, Quantity>>, names: &[&str]) -> String {
    let amount = amounts.and_then(|amounts| names.iter().find_map(|&name| amounts.get(name)));
    amount.map(|amount| text::line(&amount.0)).unwrap_or_default()
}

impl LimitRange {
    /// Of the first that speaks of containers.
    pub(super) fn of(ranges: &[LiveLimits]) -> Option<Self> {
        let items = ranges.iter().filter_map(|range| range.spec.as_ref()).flat_map(|spec| &spec.limits);
        let item = items.into_iter().find(|item| item.type_ == "Container")?;
        let (request, limit) = (item.default_request.as_ref(), item.default.as_ref());
        Some(Self {
            cpu_request: told(request, &["cpu"]),
            cpu_limit: told(limit, &["cpu"]),
            memory_request: told(request, &["memory"]),
            memory_limit: told(limit, &["memory"]),
        })
    }
}

impl Quota {
    /// Of the first quota.
    pub(super) fn of(quotas: &[ResourceQuota]) -> Option<Self> {
        let hard = quotas.first()?.spec.as_ref()?.hard.as_ref();
        Some(Self {
            cpu_request: told(hard, &["requests.cpu", "cpu"]),
            cpu_limit: told(hard, &["limits.cpu"]),
            memory_request: told(hard, &["requests.memory", "memory"]),
            memory_limit: told(hard, &["limits.memory"]),
            max_pods: told(hard, &["pods", "count/pods"]).parse().unwrap_or(0),
        })
    }
}
