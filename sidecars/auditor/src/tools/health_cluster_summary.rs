//! `health_cluster_summary`: how much the cluster has, and how much of it is asked for.

use std::sync::Arc;

use k8s_openapi::api::core::v1::{Node, NodeStatus, Pod};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tentacular_cluster::{Cluster, Error, Selector};
use tentacular_contract::{Authz, Needs, On};
use tentacular_process::link::{Permitted, ToolError, ToolSpec};

use super::health_nodes::is_ready;
use crate::quantity::{Amounts, amount, bytes, cores, requested};

/// `health_cluster_summary` takes no arguments.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Arguments {}

/// The result of `health_cluster_summary`.
#[derive(Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub(crate) struct Summary {
    /// How many nodes there are.
    total_nodes: usize,
    /// How many of them are ready.
    ready_nodes: usize,
    /// How many pods run, in all namespaces. Left out where pods cannot be read, as are the requests.
    #[serde(skip_serializing_if = "Option::is_none")]
    total_pods: Option<usize>,
    /// The cores of all nodes.
    cpu_capacity: String,
    /// The cores of all nodes that pods may have.
    cpu_allocatable: String,
    /// The cores that pods with a node ask for, init containers, sidecars and overhead included.
    #[serde(skip_serializing_if = "Option::is_none")]
    cpu_requested: Option<String>,
    /// The memory of all nodes.
    mem_capacity: String,
    /// The memory of all nodes that pods may have.
    mem_allocatable: String,
    /// The memory that pods with a node ask for.
    #[serde(skip_serializing_if = "Option::is_none")]
    mem_requested: Option<String>,
    /// What could not be read.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    warnings: Vec<String>,
}

/// What the kernel and clients are told of `health_cluster_summary`.
pub(crate) fn spec() -> ToolSpec {
    let authz = Authz::new(On::Cluster, Needs::Read);
    let description =
        "Sums up the cluster: nodes, running pods, cores and memory, and how much of them is asked for.";
    ToolSpec::new("health_cluster_summary", "Summary of the cluster", description, authz).read_only()
}

/// The tool.
#[derive(Debug)]
pub(crate) struct HealthClusterSummary {
    pub(crate) cluster: Cluster,
}

impl HealthClusterSummary {
    /// Answers one call.
    pub(crate) async fn call(
        self: Arc<Self>,
        _permitted: Permitted,
        _arguments: Arguments,
    ) -> Result<Summary, ToolError> {
        let unfinished = Selector::all().fields("status.phase!=Succeeded,status.phase!=Failed");
        let (all_nodes, all_pods) = (self.cluster.all::<Node>(), self.cluster.all::<Pod>());
        let every = Selector::all();
        let (nodes, pods) = tokio::join!(
            all_nodes.list(&every),
            all_pods.fold(&unfinished, Pods::default, |pods, pod| pods.add(&pod))
        );
        Ok(summary(&nodes?, pods))
    }
}

/// What pods come to. They are counted page by page: there may be too many to keep.
#[derive(Debug, Default)]
struct Pods {
    running: usize,
    cpu: i128,
    memory: i128,
}

impl Pods {
    fn add(&mut self, pod: &Pod) {
        let phase = pod.status.as_ref().and_then(|status| status.phase.as_deref());
        self.running += usize::from(phase == Some("Running"));
        if pod.spec.as_ref().is_some_and(|spec| spec.node_name.is_some()) {
            self.cpu += requested(pod, "cpu");
            self.memory += requested(pod, "memory");
        }
    }
}

fn of(node: &Node, amounts: fn(&NodeStatus) -> Option<&Amounts>) -> Option<&Amounts> {
    node.status.as_ref().and_then(amounts)
}

fn summary(nodes: &[Node], pods: Result<Pods, Error>) -> Summary {
    let capacity =
        |resource| nodes.iter().map(|node| amount(of(node, |status| status.capacity.as_ref()), resource)).sum();
    let allocatable =
        |resource| nodes.iter().map(|node| amount(of(node, |status| status.allocatable.as_ref()), resource)).sum();
    let (pods, warnings) = match pods {
        Ok(pods) => (Some(pods), Vec::new()),
        Err(error) => (None, vec![format!("pods and their requests are left out: {error}")]),
    };
    Summary {
        total_nodes: nodes.len(),
        ready_nodes: nodes.iter().filter(|node| is_ready(node)).count(),
        total_pods: pods.as_ref().map(|pods| pods.running),
        cpu_capacity: cores(capacity("cpu")),
        cpu_allocatable: cores(allocatable("cpu")),
        cpu_requested: pods.as_ref().map(|pods| cores(pods.cpu)),
        mem_capacity: bytes(capacity("memory")),
        mem_allocatable: bytes(allocatable("memory")),
        mem_requested: pods.as_ref().map(|pods| bytes(pods.memory)),
        warnings,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn nodes_and_pods_are_added_up() {
        let node = |ready: &str| -> Node {
            serde_json::from_value(json!({ "metadata": {}, "status": {
                "capacity": { "cpu": "4", "memory": "16Gi" }, "allocatable": { "cpu": "3500m", "memory": "15Gi" },
                "conditions": [{ "type": "Ready", "status": ready }],
            } }))
            .expect("a node")
        };
        let mut pods = Pods::default();
        for (phase, node) in [("Running", Some("n")), ("Pending", Some("n")), ("Pending", None)] {
            let requests = json!({ "cpu": "250m", "memory": "64Mi" });
            let containers = json!([{ "name": "c", "resources": { "requests": requests } }]);
            let pod = json!({ "metadata": {}, "spec": { "nodeName": node, "containers": containers },
                "status": { "phase": phase } });
            pods.add(&serde_json::from_value(pod).expect("a pod"));
        }
        let nodes = [node("True"), node("Unknown")];
        let summary = summary(&nodes, Ok(pods));
        assert_eq!(
            serde_json::to_value(summary).expect("JSON"),
            json!({ "total_nodes": 2, "ready_nodes": 1, "total_pods": 1, "cpu_capacity": "8", "cpu_allocatable": "7",
                "cpu_requested": "500m", "mem_capacity": "32Gi", "mem_allocatable": "30Gi", "mem_requested": "128Mi" })
        );
        let refused = Error::Forbidden { object: "pods".to_owned(), message: "no".to_owned() };
        let summary = super::summary(&nodes, Err(refused));
        assert_eq!((summary.total_pods, summary.cpu_requested, summary.warnings.len()), (None, None, 1));
    }
}
