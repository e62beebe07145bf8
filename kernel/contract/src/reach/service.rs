//! Services: inside the cluster, for pods. Whose pods is the selector's matter.

use k8s_openapi::api::core::v1::ServiceSpec;

use super::violation::{Findings, Rule};

/// What a Service may not ask for.
pub(super) fn check(spec: &ServiceSpec, found: &mut Findings) {
    let kind = spec.type_.as_deref().unwrap_or("ClusterIP");
    if kind != "ClusterIP" {
        let problem = "opens the tentacle to the outside or stands for a foreign name";
        found.add(Rule::Service, "spec.type", kind, problem, "use ClusterIP");
    }
    let addresses = [
        ("spec.externalIPs", spec.external_ips.as_ref().and_then(|list| list.first())),
        ("spec.externalName", spec.external_name.as_ref()),
        ("spec.loadBalancerIP", spec.load_balancer_ip.as_ref()),
        ("spec.loadBalancerSourceRanges", spec.load_balancer_source_ranges.as_ref().and_then(|list| list.first())),
    ];
    for (field, value) in addresses {
        if let Some(value) = value.filter(|value| !value.is_empty()) {
            found.add(Rule::Service, field, value, "is about addresses outside the enclave", "leave it out");
        }
    }
}
