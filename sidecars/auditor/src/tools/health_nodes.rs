//! `health_nodes`: the nodes of the cluster, and which of them are not well.

use std::sync::Arc;

use k8s_openapi::api::core::v1::Node;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tentacular_cluster::{Cluster, Selector};
use tentacular_contract::{Authz, Needs, On};
use tentacular_process::link::{Permitted, ToolError, ToolSpec};

use crate::{
    page::{self, Page},
    quantity::{amount, bytes, cores},
    text,
};

/// The arguments of `health_nodes`.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Arguments {
    /// Most nodes to show, from 1 to 1000; 200 when left out.
    #[serde(default)]
    #[schemars(range(min = 1, max = 1000))]
    limit: Option<usize>,
    /// `next_cursor` of the page before; the first page when left out.
    #[serde(default)]
    cursor: Option<String>,
}

/// The result of `health_nodes`.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Listed {
    /// The nodes, in the order of their names.
    nodes: Vec<Shown>,
    /// Whether there are more: ask again with `next_cursor` as `cursor`.
    truncated: bool,
    /// Where the next page begins.
    #[serde(skip_serializing_if = "Option::is_none")]
    next_cursor: Option<String>,
}

/// A node.
#[derive(Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub(crate) struct Shown {
    /// Its name.
    name: String,
    /// Whether it takes pods and its kubelet answers.
    ready: bool,
    /// Whether somebody keeps new pods away from it.
    unschedulable: bool,
    /// Its cores.
    cpu_capacity: String,
    /// Its memory.
    mem_capacity: String,
    /// The cores that pods may have.
    cpu_allocatable: String,
    /// The memory that pods may have.
    mem_allocatable: String,
    /// The version of its kubelet.
    kubelet_version: String,
    /// What is wrong with it, such as `MemoryPressure`: conditions other than `Ready` that are not `False`.
    conditions: Vec<Condition>,
}

/// A condition of a node.
#[derive(Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub(crate) struct Condition {
    /// Which it is.
    #[serde(rename = "type")]
    kind: String,
    /// `True` or `Unknown`.
    status: String,
}

/// What the kernel and clients are told of `health_nodes`.
pub(crate) fn spec() -> ToolSpec {
    let authz = Authz::new(On::Cluster, Needs::Read);
    let description = "Lists the nodes of the cluster: whether each is ready, its cores and memory, and what is wrong \
                       with it.";
    ToolSpec::new("health_nodes", "Health of the nodes", description, authz).read_only()
}

/// The tool.
#[derive(Debug)]
pub(crate) struct HealthNodes {
    pub(crate) cluster: Cluster,
}

impl HealthNodes {
    /// Answers one call.
    pub(crate) async fn call(
        self: Arc<Self>,
        _permitted: Permitted,
        arguments: Arguments,
    ) -> Result<Listed, ToolError> {
        let mut page = Page::new(arguments.cursor, page::limit(arguments.limit)?);
        let mut nodes = self.cluster.all::<Node>().list(&Selector::all()).await?;
        nodes.sort_by(|one, other| one.metadata.name.cmp(&other.metadata.name));
        for node in &nodes {
            page.offer(node.metadata.name.clone().unwrap_or_default(), || shown(node));
        }
        let (nodes, next_cursor) = page.end();
        Ok(Listed { nodes, truncated: next_cursor.is_some(), next_cursor })
    }
}

/// Whether a node is ready.
pub(crate) fn is_ready(node: &Node) -> bool {
    let conditions = node.status.as_ref().and_then(|status| status.conditions.as_deref()).unwrap_or_default();
    conditions.iter().any(|condition| condition.type_ == "Ready" && condition.status == "True")
}

fn shown(node: &Node) -> Shown {
    let status = node.status.as_ref();
    let capacity = status.and_then(|status| status.capacity.as_ref());
    let allocatable = status.and_then(|status| status.allocatable.as_ref());
    let conditions = status.and_then(|status| status.conditions.as_deref()).unwrap_or_default();
    let wrong = conditions.iter().filter(|condition| condition.type_ != "Ready" && condition.status != "False");
    Shown {
        name: text::line(node.metadata.name.as_deref().unwrap_or_default()),
        ready: is_ready(node),
        unschedulable: node.spec.as_ref().and_then(|spec| spec.unschedulable).unwrap_or(false),
        cpu_capacity: cores(amount(capacity, "cpu")),
        mem_capacity: bytes(amount(capacity, "memory")),
        cpu_allocatable: cores(amount(allocatable, "cpu")),
        mem_allocatable: bytes(amount(allocatable, "memory")),
        kubelet_version: text::line(
            status.and_then(|status| status.node_info.as_ref()).map_or("", |info| info.kubelet_version.as_str()),
        ),
        conditions: wrong
            .map(|condition| Condition { kind: text::line(&condition.type_), status: text::line(&condition.status) })
            .collect(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_node_shows_what_is_wrong_with_it() {
        let node = |conditions: serde_json::Value| -> Node {
            serde_json::from_value(json!({
                "metadata": { "name": "n" }, "spec": { "unschedulable": true },
                "status": { "capacity": { "cpu": "4", "memory": "16Gi" },
                    "allocatable": { "cpu": "3920m", "memory": "15Gi" }, "conditions": conditions },
            }))
            .expect("a node")
        };
        let condition = |kind: &str, status: &str| json!({ "type": kind, "status": status });
        let well = shown(&node(json!([condition("Ready", "True"), condition("MemoryPressure", "False")])));
        assert_eq!((well.ready, well.unschedulable, &*well.cpu_allocatable), (true, true, "3920m"));
        assert_eq!((&*well.mem_capacity, well.conditions), ("16Gi", vec![]));
        let ill = shown(&node(json!([condition("Ready", "Unknown"), condition("DiskPressure", "True")])));
        let wrong = Condition { kind: "DiskPressure".to_owned(), status: "True".to_owned() };
        assert_eq!((ill.ready, ill.conditions), (false, vec![wrong]));
        assert!(!is_ready(&Node::default()));
    }
}
