//! The objects of an enclave, as values: its namespace, the bindings that give the server its rights there, network
//! policies, quota, limits and the account of its workloads.

use std::collections::BTreeMap;

use k8s_openapi::{
    api::{
        core::v1::{
            LimitRange, LimitRangeItem, LimitRangeSpec, Namespace, ResourceQuota, ResourceQuotaSpec, ServiceAccount,
        },
        networking::v1::{
            NetworkPolicy, NetworkPolicyEgressRule, NetworkPolicyPeer, NetworkPolicyPort, NetworkPolicySpec,
        },
        rbac::v1::{RoleBinding, RoleRef, Subject},
    },
    apimachinery::pkg::{
        api::resource::Quantity,
        apis::meta::v1::{LabelSelector, ObjectMeta},
        util::intstr::IntOrString,
    },
};
pub(crate) use tentacular_contract::platform::ENCLAVE_BINDINGS as BINDINGS;
use tentacular_contract::{keys, reach::ENCLAVE_POLICIES};

use super::quota::QuotaPreset;

/// The account that workloads of an enclave run as when they name one. It has no rights and no token.
pub(crate) const WORKFLOW_ACCOUNT: &str = "tentacular-workflow";

/// The enclave's quota.
pub(crate) const QUOTA: &str = "tentacular-quota";

/// What containers of the enclave get that name no resources.
pub(crate) const LIMITS: &str = "tentacular-limits";

type Pairs = BTreeMap<String, String>;

fn pairs(list: &[(&str, &str)]) -> Pairs {
    list.iter().map(|&(key, value)| (key.to_owned(), value.to_owned())).collect()
}

/// Metadata of an object of ours.
fn metadata(name: &str) -> ObjectMeta {
    let labels = pairs(&[(keys::MANAGED_BY, keys::TENTACULAR)]);
    ObjectMeta { name: Some(name.to_owned()), labels: Some(labels), ..ObjectMeta::default() }
}

/// The namespace, label and annotations in one, so that there is never one without owner.
pub(crate) fn namespace(name: &str, annotations: Pairs) -> Namespace {
    let mut metadata = metadata(name);
    let mut labels = metadata.labels.take().unwrap_or_default();
    for mode in ["enforce", "audit", "warn"] {
        labels.insert(format!("pod-security.kubernetes.io/{mode}"), "restricted".to_owned());
        labels.insert(format!("pod-security.kubernetes.io/{mode}-version"), "latest".to_owned());
    }
    Namespace {
        metadata: ObjectMeta { labels: Some(labels), annotations: Some(annotations), ..metadata },
        ..Namespace::default()
    }
}

/// One of [`BINDINGS`], for the account in the server's namespace. It is named as the role it binds.
pub(crate) fn role_binding(role: &str, account: &str, server_namespace: &str) -> RoleBinding {
    RoleBinding {
        metadata: metadata(role),
        role_ref: RoleRef {
            api_group: "rbac.authorization.k8s.io".to_owned(),
            kind: "ClusterRole".to_owned(),
            name: role.to_owned(),
        },
        subjects: Some(vec![Subject {
            kind: "ServiceAccount".to_owned(),
            name: account.to_owned(),
            namespace: Some(server_namespace.to_owned()),
            ..Subject::default()
        }]),
    }
}

/// Nothing reaches a pod and no pod reaches anything, unless another policy allows it.
pub(crate) fn default_deny() -> NetworkPolicy {
    let spec = NetworkPolicySpec {
        pod_selector: Some(LabelSelector::default()),
        policy_types: Some(vec!["Ingress".to_owned(), "Egress".to_owned()]),
        ..NetworkPolicySpec::default()
    };
    let [name, _] = ENCLAVE_POLICIES;
    NetworkPolicy { metadata: metadata(name), spec: Some(spec) }
}

/// Every pod may ask the cluster's DNS.
pub(crate) fn allow_dns() -> NetworkPolicy {
    let labelled =
        |key, value| LabelSelector { match_labels: Some(pairs(&[(key, value)])), ..LabelSelector::default() };
    let port = |protocol: &str| NetworkPolicyPort {
        port: Some(IntOrString::Int(53)),
        protocol: Some(protocol.to_owned()),
        ..NetworkPolicyPort::default()
    };
    let dns = NetworkPolicyPeer {
        namespace_selector: Some(labelled("kubernetes.io/metadata.name", "kube-system")),
        pod_selector: Some(labelled("k8s-app", "kube-dns")),
        ..NetworkPolicyPeer::default()
    };
    let rule = NetworkPolicyEgressRule { ports: Some(vec![port("UDP"), port("TCP")]), to: Some(vec![dns]) };
    let spec = NetworkPolicySpec {
        pod_selector: Some(LabelSelector::default()),
        policy_types: Some(vec!["Egress".to_owned()]),
        egress: Some(vec![rule]),
        ..NetworkPolicySpec::default()
    };
    let [_, name] = ENCLAVE_POLICIES;
    NetworkPolicy { metadata: metadata(name), spec: Some(spec) }
}

/// What all pods and volumes of the enclave together may ask for. Limits are four times the requests, so that
/// workloads may burst and still cannot fill a node.
pub(crate) fn resource_quota(preset: QuotaPreset) -> ResourceQuota {
    let amounts = preset.amounts();
    let hard = [
        ("requests.cpu", amounts.cores.to_string()),
        ("requests.memory", format!("{}Gi", amounts.memory)),
        ("limits.cpu", (amounts.cores * 4).to_string()),
        ("limits.memory", format!("{}Gi", amounts.memory * 4)),
        ("pods", amounts.pods.to_string()),
        ("requests.storage", format!("{}Gi", amounts.storage)),
    ];
    let hard = hard.into_iter().map(|(key, amount)| (key.to_owned(), Quantity(amount))).collect();
    let spec = ResourceQuotaSpec { hard: Some(hard), ..ResourceQuotaSpec::default() };
    ResourceQuota { metadata: metadata(QUOTA), spec: Some(spec), ..ResourceQuota::default() }
}

/// What a container gets that names no resources: without it the quota would refuse its pod.
pub(crate) fn limit_range() -> LimitRange {
    let amounts = |cpu: &str, memory: &str| {
        let list = [("cpu", cpu), ("memory", memory)];
        Some(list.into_iter().map(|(key, amount)| (key.to_owned(), Quantity(amount.to_owned()))).collect())
    };
    let item = LimitRangeItem {
        type_: "Container".to_owned(),
        default_request: amounts("50m", "64Mi"),
        default: amounts("500m", "256Mi"),
        ..LimitRangeItem::default()
    };
    LimitRange { metadata: metadata(LIMITS), spec: Some(LimitRangeSpec { limits: vec![item] }) }
}

/// The [`WORKFLOW_ACCOUNT`]. Its token is not mounted, as nothing in an enclave speaks to the API server.
pub(crate) fn workflow_account() -> ServiceAccount {
    ServiceAccount {
        metadata: metadata(WORKFLOW_ACCOUNT),
        automount_service_account_token: Some(false),
        ..ServiceAccount::default()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{json, to_value};

    use super::*;

    #[test]
    fn a_namespace_carries_every_pod_security_label() {
        let namespace = to_value(namespace("team-a", pairs(&[(keys::ENCLAVE, "team-a")]))).unwrap();
        assert_eq!(
            namespace["metadata"]["labels"],
            json!({
                "app.kubernetes.io/managed-by": "tentacular",
                "pod-security.kubernetes.io/enforce": "restricted",
                "pod-security.kubernetes.io/enforce-version": "latest",
                "pod-security.kubernetes.io/audit": "restricted",
                "pod-security.kubernetes.io/audit-version": "latest",
                "pod-security.kubernetes.io/warn": "restricted",
                "pod-security.kubernetes.io/warn-version": "latest",
            })
        );
        assert_eq!(namespace["metadata"]["annotations"][keys::ENCLAVE], "team-a");
    }

    #[test]
    fn limits_are_four_times_the_requests() {
        for (preset, hard) in [
            (QuotaPreset::Small, ["4", "4Gi", "16", "16Gi", "20", "10Gi"]),
            (QuotaPreset::Medium, ["16", "16Gi", "64", "64Gi", "50", "50Gi"]),
            (QuotaPreset::Large, ["32", "64Gi", "128", "256Gi", "100", "100Gi"]),
        ] {
            let quota = to_value(resource_quota(preset)).unwrap();
            let keys = ["requests.cpu", "requests.memory", "limits.cpu", "limits.memory", "pods", "requests.storage"];
            assert_eq!(keys.map(|key| quota["spec"]["hard"][key].as_str().unwrap().to_owned()), hard, "{preset}");
        }
    }

    #[test]
    fn a_policy_without_rules_selects_every_pod() {
        assert_eq!(
            to_value(default_deny()).unwrap()["spec"],
            json!({ "podSelector": {}, "policyTypes": ["Ingress", "Egress"] })
        );
        let dns = to_value(allow_dns()).unwrap();
        assert_eq!(dns["spec"]["podSelector"], json!({}));
        assert_eq!(dns["spec"]["egress"][0]["ports"][1], json!({ "port": 53, "protocol": "TCP" }));
    }

    #[test]
    fn a_binding_is_for_the_account_in_the_servers_namespace() {
        let binding = to_value(role_binding("tentacular-enclave-reader", "tentacular-mcp", "agents")).unwrap();
        assert_eq!(
            binding["subjects"],
            json!([{ "kind": "ServiceAccount", "name": "tentacular-mcp", "namespace": "agents" }])
        );
        assert_eq!(binding["roleRef"]["name"], "tentacular-enclave-reader");
    }
}
