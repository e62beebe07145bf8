//! Whether the network policies of a tentacle's pods are those of its contract, and whether they leave it what every
//! tentacle needs: to be called by the server, and to ask the cluster's DNS.

use k8s_openapi::api::{
    apps::v1::Deployment,
    core::v1::ContainerPort,
    networking::v1::{NetworkPolicy, NetworkPolicyPeer},
};
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::{Value, json};
use tentacular_contract::{
    EnclaveName, TentacleName,
    facts::Pairs,
    keys,
    network::{Blocked, Direction, Pod, Port, Protocol, Rule, reaches, rules, selects},
    reach::{ENCLAVE_POLICIES, OURS},
};

use super::{Status, template};
use crate::{
    audit::{Finding, Method, Remedy, Severity, Target},
    tools::audit_netpol::shown,
};

const API: &str = "networking.k8s.io/v1";
/// Label that Kubernetes gives a namespace, with its name.
const NAMESPACE: &str = "kubernetes.io/metadata.name";
/// The server's pods have this name as `app.kubernetes.io/name`: clients let it in.
const SERVER: &str = "tentacular-mcp";
/// The port of every tentacle.
const ENGINE: Port = Port { protocol: Protocol::Tcp, number: 8080 };
const DNS: Port = Port { protocol: Protocol::Udp, number: 53 };

/// What a tentacle has of network policies.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct NetworkPolicies {
    /// `match`, `mismatch`, or `missing` where no policy is the tentacle's own.
    pub(super) status: Status,
    /// Rules for who may reach its pods.
    ingress_rule_count: usize,
    /// Rules for whom its pods may reach, without those for the platform's own services.
    egress_rule_count: usize,
    /// The rules, in words.
    details: Vec<String>,
    /// How many rules are missing, in words.
    missing: Vec<String>,
    /// How many rules are too many, in words.
    extra: Vec<String>,
}

/// Compares the rules that govern the tentacle's pods, other than the enclave's own, with how many are expected to let
/// in and out; with nothing where that is not told.
pub(super) fn compare(
    policies: &[NetworkPolicy],
    deployment: &Deployment,
    expected: [Option<usize>; 2],
) -> NetworkPolicies {
    let labels = template(deployment).metadata.and_then(|metadata| metadata.labels).unwrap_or_default();
    let own: Vec<_> = policies
        .iter()
        .filter(|policy| !policy.metadata.name.as_deref().is_some_and(|name| ENCLAVE_POLICIES.contains(&name)))
        .filter_map(|policy| policy.spec.as_ref())
        .filter(|spec| selects(spec.pod_selector.as_ref(), &labels))
        .collect();
    let (mut details, mut missing, mut extra) = (Vec::new(), Vec::new(), Vec::new());
    let counts = Direction::ALL.map(|direction| {
        let rules: Vec<_> = own.iter().filter_map(|spec| rules(spec, direction)).flatten().collect();
        details.extend(rules.iter().map(|rule| format!("{}: {}", direction.as_str(), shown::rule(rule))));
        rules.iter().filter(|rule| direction == Direction::Ingress || !is_for_the_platform(rule)).count()
    });
    for (direction, (actual, expected)) in Direction::ALL.into_iter().zip(counts.into_iter().zip(expected)) {
        let Some(expected) = expected else { continue };
        let word = direction.as_str();
        let say = |more: usize, what: &str| (more > 0).then(|| format!("{more} of {what} {word} rules"));
        missing.extend(say(expected.saturating_sub(actual), &expected.to_string()));
        extra.extend(say(actual.saturating_sub(expected), &actual.to_string()));
    }
    let status = match (missing.is_empty(), extra.is_empty()) {
        (true, true) => Status::Match,
        (false, _) if own.is_empty() => Status::Missing,
        _ => Status::Mismatch,
    };
    let [ingress_rule_count, egress_rule_count] = counts;
    NetworkPolicies { status, ingress_rule_count, egress_rule_count, details, missing, extra }
}

/// The tentacle whose policies are looked at.
#[derive(Debug, Clone, Copy)]
pub(super) struct Place<'a> {
    pub(super) enclave: &'a EnclaveName,
    pub(super) tentacle: &'a TentacleName,
    pub(super) server_namespace: &'a str,
}

impl Place<'_> {
    /// What the policies keep from the tentacle that it cannot do without.
    pub(super) fn cut_off(&self, policies: &[NetworkPolicy], deployment: &Deployment) -> Vec<Finding> {
        let template = template(deployment);
        let labels = template.metadata.and_then(|metadata| metadata.labels).unwrap_or_default();
        let containers = template.spec.map(|spec| spec.containers).unwrap_or_default();
        let ports: Vec<_> =
            containers.into_iter().flat_map(|container| container.ports.unwrap_or_default()).collect();
        let here = pairs(&[(NAMESPACE, self.enclave.as_str()), (keys::MANAGED_BY, keys::TENTACULAR)]);
        let own = pod(self.enclave.as_str(), &here, &labels, &ports);

        let (server_here, server_labels) =
            (pairs(&[(NAMESPACE, self.server_namespace)]), pairs(&[(keys::NAME, SERVER)]));
        let server = pod(self.server_namespace, &server_here, &server_labels, &[]);
        let (dns_here, dns_labels) = (pairs(&[(NAMESPACE, "kube-system")]), pairs(&[("k8s-app", "kube-dns")]));
        let dns = pod("kube-system", &dns_here, &dns_labels, &[]);
        let called =
            reaches(policies, &server, &own, ENGINE).err().map(|_: Blocked| self.closed_to_the_server(&labels));
        let asks = reaches(policies, &own, &dns, DNS).err().map(|_: Blocked| self.without_dns());
        called.into_iter().chain(asks).collect()
    }

    fn closed_to_the_server(&self, labels: &Pairs) -> Finding {
        let Self { tentacle, server_namespace, .. } = self;
        let from = json!({
            "namespaceSelector": { "matchLabels": { NAMESPACE: server_namespace } },
            "podSelector": { "matchLabels": { keys::NAME: SERVER } },
        });
        let spec = json!({
            "podSelector": { "matchLabels": labels }, "policyTypes": ["Ingress"],
            "ingress": [{ "from": [from], "ports": [{ "protocol": "TCP", "port": ENGINE.number }] }],
        });
        self.finding(
            &format!("{tentacle}-from-server"),
            "spec.ingress",
            format!("the server cannot reach {tentacle} on {ENGINE}: neither runs nor health checks get through"),
            format!("let in pods {}={SERVER} of namespace {server_namespace}", keys::NAME),
            &spec,
        )
    }

    fn without_dns(&self) -> Finding {
        let to = json!({
            "namespaceSelector": { "matchLabels": { NAMESPACE: "kube-system" } },
            "podSelector": { "matchLabels": { "k8s-app": "kube-dns" } },
        });
        let ports = json!([{ "protocol": "UDP", "port": 53 }, { "protocol": "TCP", "port": 53 }]);
        let spec = json!({
            "podSelector": {}, "policyTypes": ["Egress"], "egress": [{ "to": [to], "ports": ports }],
        });
        self.finding(
            "allow-dns",
            "spec.egress",
            format!("{} cannot reach the cluster's DNS on {DNS}: it finds no other service", self.tentacle),
            "restore the enclave's policy allow-dns".to_owned(),
            &spec,
        )
    }

    fn finding(&self, name: &str, field: &str, message: String, remediation: String, spec: &Value) -> Finding {
        let object = Target::in_namespace(API, "NetworkPolicy", self.enclave.as_str(), name);
        let patch = json!({
            "apiVersion": API, "kind": "NetworkPolicy", "spec": spec,
            "metadata": {
                "name": name, "namespace": self.enclave, "labels": { keys::MANAGED_BY: keys::TENTACULAR },
            },
        });
        Finding {
            severity: Severity::Medium,
            object: object.title(),
            field: field.to_owned(),
            message,
            remediation,
            remedy: Remedy { object, method: Method::Apply, patch },
        }
    }
}

fn pairs(list: &[(&str, &str)]) -> Pairs {
    list.iter().map(|&(key, value)| (key.to_owned(), value.to_owned())).collect()
}

const fn pod<'a>(
    namespace: &'a str,
    namespace_labels: &'a Pairs,
    labels: &'a Pairs,
    ports: &'a [ContainerPort],
) -> Pod<'a> {
    Pod { namespace, namespace_labels, labels, address: None, ports }
}

/// Whether a rule names nothing but services of the platform, such as the module proxy and the collector of telemetry:
/// clients and the server add those, and no contract has them.
fn is_for_the_platform(rule: &Rule<'_>) -> bool {
    let is_one = |peer: &NetworkPolicyPeer| {
        let labels = peer.namespace_selector.as_ref().and_then(|selector| selector.match_labels.as_ref());
        labels.and_then(|labels| labels.get(NAMESPACE)).is_some_and(|name| name.starts_with(OURS))
    };
    !rule.peers.is_empty() && rule.peers.iter().all(is_one)
}

#[cfg(test)]
mod tests;
