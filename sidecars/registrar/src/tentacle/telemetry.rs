//! What an engine needs to send traces and metrics to the platform's OpenTelemetry collector, added where its manifests
//! leave it out.
//!
//! An addition goes into what is there: a container without the argument is not limited by it, or is not meant to have it,
//! and where no policy governs what the pods send, there is nothing to let through. So without such an argument or policy
//! nothing is added, and a workload that is no engine stays as it is.

use k8s_openapi::{
    api::networking::v1::{NetworkPolicyEgressRule, NetworkPolicyPeer, NetworkPolicyPort, NetworkPolicySpec},
    apimachinery::pkg::{apis::meta::v1::LabelSelector, util::intstr::IntOrString},
};
use serde::Deserialize;
use serde_json::{Value, json};
use tentacular_cluster::Kind;
use tentacular_contract::TentacleName;

use super::manifest::Manifest;

/// Environment variables that the engine reads.
const VARIABLES: [&str; 5] = [
    "OTEL_DENO",
    "OTEL_EXPORTER_OTLP_ENDPOINT",
    "OTEL_EXPORTER_OTLP_PROTOCOL",
    "OTEL_RESOURCE_ATTRIBUTES",
    "OTEL_SERVICE_NAME",
];
/// Where the engine sends to. The client writes this very address into the engine's environment, whatever the cluster's
/// domain is.
const ADDRESS: [&str; 1] = ["otel-collector.tentacular-observability.svc.cluster.local:4318"];
/// Label and value of the collector's namespace, which Kubernetes sets.
const NAMESPACE: (&str, &str) = ("kubernetes.io/metadata.name", "tentacular-observability");
/// Label and value of the collector's pods.
const PODS: (&str, &str) = ("app.kubernetes.io/component", "collector");
/// Its ports for OTLP, over gRPC and over HTTP.
const PORTS: [i32; 2] = [4317, 4318];

/// Adds to the manifests of `tentacle`, if its first container is the engine: the engine's environment variables to an
/// `--allow-env=`, the collector's address to an `--allow-net=`, and the collector to what the `NetworkPolicy`
/// `<tentacle>-netpol` lets out. What is there already is not added again.
pub(crate) fn add(tentacle: &TentacleName, manifests: &mut [Manifest]) {
    let Some(container) = engine(tentacle, manifests) else { return };
    allow(container, "--allow-env=", &VARIABLES);
    allow(container, "--allow-net=", &ADDRESS);
    let name = format!("{tentacle}-netpol");
    let policy = manifests.iter_mut().find(|manifest| manifest.kind == Kind::NetworkPolicy && manifest.name == name);
    if let Some(spec) = policy.and_then(|policy| policy.body.get_mut("spec")) {
        let_out(spec);
    }
}

/// The container that is the tentacle's engine.
pub(crate) fn engine<'a>(tentacle: &TentacleName, manifests: &'a mut [Manifest]) -> Option<&'a mut Value> {
    let deployment = manifests.iter_mut().find(|manifest| manifest.is_deployment_of(tentacle))?;
    let container = deployment.body.pointer_mut("/spec/template/spec/containers/0")?;
    is_engine(container).then_some(container)
}

/// Whether the container runs Deno on a workflow, as the client starts the engine. Another program on Deno is not ours
/// to give permissions to.
fn is_engine(container: &Value) -> bool {
    let program = container.pointer("/command/0").and_then(Value::as_str);
    let words = ["command", "args"].into_iter().filter_map(|list| container.get(list)?.as_array()).flatten();
    program.is_some_and(|program| program.rsplit('/').next() == Some("deno"))
        && words.filter_map(Value::as_str).any(|word| word == "--workflow" || word.starts_with("--workflow="))
}

/// Completes the list behind `option`, in the arguments or else in the command.
pub(crate) fn allow(container: &mut Value, option: &str, needed: &[&str]) {
    for list in ["args", "command"] {
        let words = container.get_mut(list).and_then(Value::as_array_mut).into_iter().flatten();
        let Some(word) = words.into_iter().find(|word| word.as_str().is_some_and(|word| word.starts_with(option)))
        else {
            continue;
        };
        let given = word.as_str().unwrap_or_default()[option.len()..].to_owned();
        let mut items: Vec<_> = given.split(',').filter(|item| !item.is_empty()).collect();
        let missing: Vec<_> = needed.iter().filter(|item| !items.contains(item)).collect();
        if !missing.is_empty() {
            items.extend(missing);
            *word = format!("{option}{}", items.join(",")).into();
        }
        return;
    }
}

/// Adds a rule for the collector to a policy that limits what its pods send, unless its rules let that through.
fn let_out(spec: &mut Value) {
    let Ok(NetworkPolicySpec { egress, .. }) = NetworkPolicySpec::deserialize(&*spec) else { return };
    let rules = egress.unwrap_or_default();
    if !limits_egress(spec) || PORTS.iter().all(|&port| rules.iter().any(|rule| admits(rule, port))) {
        return;
    }
    let labelled = |(key, value): (&str, &str)| json!({ "matchLabels": { key: value } });
    let rule = json!({
        "to": [{ "namespaceSelector": labelled(NAMESPACE), "podSelector": labelled(PODS) }],
        "ports": PORTS.map(|port| json!({ "protocol": "TCP", "port": port })),
    });
    if let Some(spec) = spec.as_object_mut()
        && let Some(rules) = spec.entry("egress").or_insert_with(|| json!([])).as_array_mut()
    {
        rules.push(rule);
    }
}

/// Whether a policy limits what its pods send. One without types does so when it has rules for that; one more must not make it
/// begin to.
pub(crate) fn limits_egress(spec: &Value) -> bool {
    let Ok(NetworkPolicySpec { egress, policy_types, .. }) = NetworkPolicySpec::deserialize(spec) else {
        return false;
    };
    let has_rules = egress.is_some_and(|rules| !rules.is_empty());
    policy_types
        .filter(|types| !types.is_empty())
        .map_or(has_rules, |types| types.iter().any(|direction| direction == "Egress"))
}

/// Whether the rule lets TCP to that port of the collector through. No list, or an empty one, stands for everything.
fn admits(rule: &NetworkPolicyEgressRule, port: i32) -> bool {
    let to = rule.to.as_deref().unwrap_or_default();
    let ports = rule.ports.as_deref().unwrap_or_default();
    (to.is_empty() || to.iter().any(is_collector)) && (ports.is_empty() || ports.iter().any(|range| has(range, port)))
}

fn is_collector(peer: &NetworkPolicyPeer) -> bool {
    let pods = peer.pod_selector.as_ref();
    peer.namespace_selector.as_ref().is_some_and(|namespaces| selects(namespaces, NAMESPACE))
        && pods.is_none_or(|pods| selects(pods, PODS))
}

/// Whether the selector chooses whatever has that label, other labels being unknown.
fn selects(selector: &LabelSelector, (key, value): (&str, &str)) -> bool {
    let LabelSelector { match_labels, match_expressions } = selector;
    let labels =
        match_labels.iter().flatten().all(|(asked, wanted)| (asked.as_str(), wanted.as_str()) == (key, value));
    let expressions = match_expressions.iter().flatten().all(|expression| {
        let listed = expression.values.iter().flatten().any(|listed| listed == value);
        expression.key == key
            && match expression.operator.as_str() {
                "In" => listed,
                "NotIn" => !listed,
                operator => operator == "Exists",
            }
    });
    labels && expressions
}

fn has(range: &NetworkPolicyPort, port: i32) -> bool {
    let first = match &range.port {
        None => return is_tcp(range),
        Some(IntOrString::Int(number)) => Some(*number),
        Some(IntOrString::String(text)) => text.parse().ok(),
    };
    is_tcp(range) && first.is_some_and(|first| (first..=range.end_port.unwrap_or(first)).contains(&port))
}

fn is_tcp(range: &NetworkPolicyPort) -> bool {
    range.protocol.as_deref().is_none_or(|protocol| protocol == "TCP")
}

#[cfg(test)]
mod tests;
