//! Policies in words.

use k8s_openapi::{
    api::networking::v1::{NetworkPolicy, NetworkPolicyPeer, NetworkPolicyPort},
    apimachinery::pkg::{apis::meta::v1::LabelSelector, util::intstr::IntOrString},
};
use schemars::JsonSchema;
use serde::Serialize;
use tentacular_contract::{
    network::{Direction, Rule, rules},
    reach::Selector,
};

/// A network policy.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub(super) struct Policy {
    /// Its name.
    name: String,
    /// Which pods it governs: `all pods` or a label selector.
    pod_selector: String,
    /// The directions that it governs: `Ingress`, `Egress`.
    types: Vec<&'static str>,
    /// Whom it lets in, rule by rule; empty where it lets nobody in or does not govern that.
    ingress: Vec<String>,
    /// Whom it lets its pods reach, rule by rule.
    egress: Vec<String>,
}

impl Policy {
    pub(super) fn of(policy: &NetworkPolicy) -> Self {
        let spec = policy.spec.clone().unwrap_or_default();
        let governed = Direction::ALL.map(|direction| rules(&spec, direction));
        let types = Direction::ALL.iter().zip(&governed).filter(|(_, rules)| rules.is_some());
        let [ingress, egress] = governed.clone().map(|rules| rules.unwrap_or_default().iter().map(rule).collect());
        Self {
            name: policy.metadata.name.clone().unwrap_or_default(),
            pod_selector: pods(spec.pod_selector.as_ref()),
            types: types.map(|(direction, _)| direction.as_str()).collect(),
            ingress,
            egress,
        }
    }
}

/// Pods that a policy governs.
pub(super) fn pods(selector: Option<&LabelSelector>) -> String {
    match selector.map(Selector::from).filter(|selector| !selector.selects_all()) {
        None => "all pods".to_owned(),
        Some(selector) => selector.to_string(),
    }
}

pub(in crate::tools) fn rule(rule: &Rule<'_>) -> String {
    let peers: Vec<_> = rule.peers.iter().map(peer).collect();
    let peers = if peers.is_empty() { "everybody".to_owned() } else { peers.join("; ") };
    format!("{peers} on {}", ports(rule.ports))
}

/// One that a rule names.
pub(super) fn peer(peer: &NetworkPolicyPeer) -> String {
    if let Some(block) = &peer.ip_block {
        let except = block.except.as_deref().unwrap_or_default();
        return match except {
            [] => block.cidr.clone(),
            except => format!("{} except {}", block.cidr, except.join(", ")),
        };
    }
    let pods = match peer.pod_selector.as_ref().map(Selector::from).filter(|selector| !selector.selects_all()) {
        None => "all pods".to_owned(),
        Some(selector) => format!("pods {selector}"),
    };
    match peer.namespace_selector.as_ref().map(Selector::from) {
        None => format!("{pods} of this enclave"),
        Some(selector) if selector.selects_all() => format!("{pods} of all namespaces"),
        Some(selector) => format!("{pods} of namespaces {selector}"),
    }
}

/// Ports that a rule names.
pub(super) fn ports(ports: &[NetworkPolicyPort]) -> String {
    let one = |named: &NetworkPolicyPort| {
        let protocol = named.protocol.as_deref().unwrap_or("TCP");
        match (&named.port, named.end_port) {
            (None, _) => format!("every port of {protocol}"),
            (Some(IntOrString::Int(first)), Some(last)) => format!("{protocol} {first}-{last}"),
            (Some(IntOrString::Int(port)), None) => format!("{protocol} {port}"),
            (Some(IntOrString::String(name)), _) => format!("{protocol} {name}"),
        }
    };
    if ports.is_empty() { "every port".to_owned() } else { ports.iter().map(one).collect::<Vec<_>>().join(", ") }
}
