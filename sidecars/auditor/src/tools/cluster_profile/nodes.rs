//! The nodes in a profile.

use std::collections::BTreeMap;

use k8s_openapi::{api::core::v1::Node as LiveNode, apimachinery::pkg::api::resource::Quantity};
use schemars::JsonSchema;
use serde::Serialize;

use crate::{text, tools::health_nodes::is_ready};

/// A node.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Node {
    /// Its name.
    name: String,
    /// Whether it is ready.
    ready: bool,
    /// Its operating system.
    os: String,
    /// Its processor architecture.
    pub(super) arch: String,
    /// The version of its kubelet.
    kubelet_version: String,
    /// The version of its operating system's kernel.
    kernel_version: String,
    /// What runs its containers.
    container_runtime: String,
    /// Its labels.
    labels: BTreeMap<String, String>,
    /// What keeps pods away from it, as `key=value:effect`.
    taints: Vec<String>,
    /// How much pods may have, by resource.
    allocatable: BTreeMap<String, String>,
    /// How much it has, by resource.
    capacity: BTreeMap<String, String>,
}

/// What is shown of a node.
pub(super) fn shown(node: &LiveNode) -> Node {
    let status = node.status.as_ref();
    let info = status.and_then(|status| status.node_info.as_ref());
    let told = |of: fn(&k8s_openapi::api::core::v1::NodeSystemInfo) -> &String| {
        info.map(|info| text::line(of(info))).unwrap_or_default()
    };
    let taints = node.spec.as_ref().and_then(|spec| spec.taints.as_deref()).unwrap_or_default();
    let labels = node.metadata.labels.iter().flatten();
    Node {
        name: text::line(node.metadata.name.as_deref().unwrap_or_default()),
        ready: is_ready(node),
        os: told(|info| &info.operating_system),
        arch: told(|info| &info.architecture),
        kubelet_version: told(|info| &info.kubelet_version),
        kernel_version: told(|info| &info.kernel_version),
        container_runtime: told(|info| &info.container_runtime_version),
        labels: labels.map(|(key, value)| (text::line(key), text::line(value))).collect(),
        taints: taints
            .iter()
            .map(|taint| {
                let value = taint.value.as_deref().unwrap_or_default();
                text::line(&format!("{}={value}:{}", taint.key, taint.effect))
            })
            .collect(),
        allocatable: amounts(status.and_then(|status| status.allocatable.as_ref())),
        capacity: amounts(status.and_then(|status| status.capacity.as_ref())),
    }
}

fn amounts(amounts: Option<&BTreeMap<String, Quantity>>) -> BTreeMap<String, String> {
    amounts.into_iter().flatten().map(|(key, amount)| (text::line(key), text::line(&amount.0))).collect()
}
