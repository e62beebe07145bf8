//! The network, the backing services and telemetry in a profile.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use schemars::JsonSchema;
use serde::Serialize;
use tentacular_contract::backing::{Found, Isolation, Service};

use crate::{
    cluster_facts::{self, Enforced},
    text,
    tools::cluster_preflight::Issuer,
};

/// The network plugin.
#[derive(Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Cni {
    /// Its name, `unknown` where none was recognised.
    name: &'static str,
    /// The tag of its image.
    #[serde(skip_serializing_if = "Option::is_none")]
    version: Option<String>,
    /// Whether it is known to hold to network policies.
    network_policy_supported: bool,
    /// Whether it is known to hold to policies on what goes out.
    egress_supported: bool,
}

impl Cni {
    pub(super) fn of(cni: &cluster_facts::Cni) -> Self {
        let supported = cni.enforced == Enforced::Yes;
        Self {
            name: cni.name,
            version: cni.version.as_deref().map(text::line),
            network_policy_supported: supported,
            egress_supported: supported,
        }
    }
}

/// Network policies.
#[derive(Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct NetworkPolicy {
    /// Whether the network plugin is known to hold to them.
    pub(super) supported: bool,
    /// Whether there is one in the enclave, without one in any of the first enclaves.
    pub(super) in_use: bool,
}

/// The backing services.
#[derive(Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub(crate) struct Exoskeleton {
    /// Whether one of them is switched on.
    enabled: bool,
    /// Each that is configured.
    services: Vec<BackingService>,
    /// How people sign in.
    auth: Auth,
}

/// A backing service.
#[derive(Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub(crate) struct BackingService {
    /// Its name.
    name: &'static str,
    /// What is spoken to it.
    protocol: &'static str,
    /// Whether it is switched on.
    enabled: bool,
    /// Whether it can be used.
    available: bool,
    /// How far tentacles are kept apart in it: `full`, `partial` or `none`.
    #[serde(skip_serializing_if = "Option::is_none")]
    isolation: Option<&'static str>,
    /// Why it cannot be used, or is not isolated in full.
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
}

/// How people sign in.
#[derive(Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub(crate) struct Auth {
    /// Whether an identity provider is configured.
    enabled: bool,
    /// Which one.
    #[serde(skip_serializing_if = "Option::is_none")]
    issuer: Option<String>,
}

impl Exoskeleton {
    pub(super) fn of(services: &[(Service, Found)], issuer: Option<&Issuer>) -> Option<Self> {
        let shown = |(service, found): &(Service, Found)| BackingService {
            name: service.as_str(),
            protocol: service.protocol(),
            enabled: found.enabled,
            available: found.enabled && found.available,
            isolation: found.isolation.map(Isolation::as_str),
            reason: found.reason.as_deref().map(text::line),
        };
        let services: Vec<_> = services.iter().map(shown).collect();
        (!services.is_empty()).then(|| Self {
            enabled: services.iter().any(|service| service.enabled),
            services,
            auth: Auth { enabled: issuer.is_some(), issuer: issuer.map(|issuer| issuer.url.clone()) },
        })
    }
}

/// The namespace in which telemetry is collected.
pub(super) const OBSERVABILITY: &str = "tentacular-observability";

/// Where telemetry goes.
#[derive(Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Observability {
    /// Whether the namespace for it is there.
    available: bool,
    /// Whether a pod of the collector is there.
    collector_ready: bool,
    /// Whether a pod of `SigNoz` is there.
    sig_noz_available: bool,
    /// The namespace.
    namespace: &'static str,
}

impl Observability {
    /// By the metadata of all pods.
    pub(super) fn of(pods: &[ObjectMeta]) -> Self {
        let names = || {
            let there = pods.iter().filter(|pod| pod.namespace.as_deref() == Some(OBSERVABILITY));
            there.filter_map(|pod| pod.name.as_deref())
        };
        Self {
            available: true,
            collector_ready: names().any(|name| name.starts_with("otel-collector")),
            sig_noz_available: names().any(|name| name.contains("signoz") || name.contains("query-service")),
            namespace: OBSERVABILITY,
        }
    }
}

/// The ingress controllers that these pods are of.
pub(super) fn ingress(pods: &[ObjectMeta]) -> Vec<&'static str> {
    const CONTROLLERS: [(&str, &[&str]); 4] = [
        ("nginx", &["ingress-nginx", "nginx-ingress"]),
        ("traefik", &["traefik"]),
        ("istio", &["istio-ingressgateway", "istiod"]),
        ("contour", &["contour", "envoy-contour"]),
    ];
    let is_there =
        |marks: &[&str]| pods.iter().any(|pod| marks.iter().any(|mark| cluster_facts::is_named(pod, mark)));
    CONTROLLERS.into_iter().filter(|(_, marks)| is_there(marks)).map(|(name, _)| name).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn pod(namespace: &str, name: &str, app: &str) -> ObjectMeta {
        let labels = json!({ "app.kubernetes.io/name": app });
        serde_json::from_value(json!({ "namespace": namespace, "name": name, "labels": labels })).expect("metadata")
    }

    #[test]
    fn pods_show_ingress_controllers_and_telemetry() {
        let pods = [
            pod("a", "x", "ingress-nginx"),
            pod("kube-system", "traefik-7d", ""),
            pod("b", "my-contour-app", ""),
            pod(OBSERVABILITY, "otel-collector-1", ""),
            pod("b", "signoz-0", ""),
        ];
        assert_eq!(ingress(&pods), ["nginx", "traefik"]);
        let telemetry = Observability::of(&pods);
        assert_eq!((telemetry.collector_ready, telemetry.sig_noz_available), (true, false));
    }

    #[test]
    fn services_are_shown_where_one_is_configured() {
        let found =
            Found { enabled: true, available: true, isolation: Some(Isolation::Full), reason: None, time: None };
        let off = Found { enabled: false, ..found.clone() };
        let issuer = Issuer { url: "https://issuer".to_owned(), ca_file: None };
        assert_eq!(Exoskeleton::of(&[], Some(&issuer)), None);
        let shown = Exoskeleton::of(&[(Service::Postgres, found), (Service::Rustfs, off)], Some(&issuer));
        assert_eq!(
            serde_json::to_value(shown).expect("JSON"),
            json!({ "enabled": true, "auth": { "enabled": true, "issuer": "https://issuer" }, "services": [
                { "name": "postgres", "protocol": "postgresql", "enabled": true, "available": true, "isolation": "full" },
                { "name": "rustfs", "protocol": "s3", "enabled": false, "available": false, "isolation": "full" },
            ] })
        );
    }
}
