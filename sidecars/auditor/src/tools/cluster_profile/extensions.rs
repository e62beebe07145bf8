//! What is installed beside Kubernetes, by the groups of its custom resources.

use std::collections::BTreeSet;

use schemars::JsonSchema;
use serde::Serialize;

use crate::text;

/// Other groups that are named.
const NAMED: usize = 20;

/// What is installed beside Kubernetes.
#[derive(Debug, Default, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[expect(clippy::struct_excessive_bools, reason = "clients read one member for each extension")]
pub(crate) struct Extensions {
    /// Istio.
    pub(super) istio: bool,
    /// cert-manager.
    pub(super) cert_manager: bool,
    /// The Prometheus operator.
    prometheus_op: bool,
    /// The External Secrets operator.
    external_secrets: bool,
    /// Argo CD.
    #[serde(rename = "argoCD")]
    argo_cd: bool,
    /// The Gateway API.
    #[serde(rename = "gatewayAPI")]
    gateway_api: bool,
    /// The metrics server.
    metrics_server: bool,
    /// Other groups of custom resources, at most 20 and a note on how many more there are.
    #[serde(rename = "otherCRDGroups")]
    other_groups: Vec<String>,
}

/// What custom resources of these groups belong to. A custom resource is named `<plural>.<group>`.
pub(super) fn of<'a>(definitions: impl Iterator<Item = &'a str>, metrics_server: bool) -> Extensions {
    let mut extensions = Extensions { metrics_server, ..Extensions::default() };
    let mut others = BTreeSet::new();
    for group in definitions.filter_map(|name| Some(name.split_once('.')?.1)) {
        let is = |suffix: &str| group == suffix || group.ends_with(&format!(".{suffix}"));
        let known = [
            (is("istio.io"), &mut extensions.istio),
            (is("cert-manager.io"), &mut extensions.cert_manager),
            (is("monitoring.coreos.com"), &mut extensions.prometheus_op),
            (is("external-secrets.io"), &mut extensions.external_secrets),
            (is("argoproj.io"), &mut extensions.argo_cd),
            (is("gateway.networking.k8s.io"), &mut extensions.gateway_api),
        ];
        match known.into_iter().find(|(is, _)| *is) {
            Some((_, there)) => *there = true,
            None => drop(others.insert(text::line(group))),
        }
    }
    let more = others.len().saturating_sub(NAMED);
    extensions.other_groups = others.into_iter().take(NAMED).collect();
    if more > 0 {
        extensions.other_groups.push(format!("... and {more} more (truncated)"));
    }
    extensions
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_groups_are_told_and_others_named_to_a_limit() {
        let many: Vec<_> = (10..35).map(|index| format!("things.g{index}.example.com")).collect();
        let known = ["gateways.networking.istio.io", "certificates.cert-manager.io", "things.notistio.io"];
        let found = of(known.into_iter().chain(many.iter().map(String::as_str)), true);
        assert!(found.istio && found.cert_manager && found.metrics_server && !found.argo_cd && !found.gateway_api);
        assert_eq!((found.other_groups.len(), found.other_groups[0].as_str()), (21, "g10.example.com"));
        assert_eq!(found.other_groups[20], "... and 6 more (truncated)");
        assert_eq!(of(std::iter::empty(), false), Extensions::default());
    }
}
