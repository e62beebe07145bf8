//! The ways from a tentacle to its services: what its engine may connect to, and what its network policy lets out.
//!
//! To a service in the cluster: its pods, by the labels that the settings name, and its port. To one elsewhere: its port, on the
//! networks that the settings name or on any. Kubernetes' policies know no host names, and an address that was looked up once
//! would be wrong after the service has moved; so the name stays where it is looked up each time, in the engine's own
//! permission and in the contract.

use std::collections::BTreeMap;

use ipnet::IpNet;
use serde_json::{Value, json};
use tentacular_cluster::Kind;
use tentacular_contract::TentacleName;

use super::share::{Endpoint, Share};
use crate::tentacle::{manifest::Manifest, telemetry};

/// Where a service is in the network, as policies name it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Whereabouts {
    /// Labels of its pods, for a service in the cluster; none stands for all pods of its namespace.
    pub(super) pods: BTreeMap<String, String>,
    /// Networks that it is in, for a service elsewhere; none stands for any.
    pub(super) networks: Vec<IpNet>,
}

impl Whereabouts {
    /// As the settings name it.
    pub(super) fn new(pods: &[(String, String)], networks: &[IpNet]) -> Self {
        Self { pods: pods.iter().cloned().collect(), networks: networks.to_vec() }
    }
}

/// Lets the tentacle's engine connect to the services, and its network policy let that out. A policy that limits nothing, or an
/// engine that is not limited, stays as it is.
pub(super) fn open(tentacle: &TentacleName, manifests: &mut [Manifest], shares: &[Share]) {
    let addresses: Vec<_> = shares.iter().map(|share| share.endpoint.to_string()).collect();
    let addresses: Vec<_> = addresses.iter().map(String::as_str).collect();
    if let Some(engine) = telemetry::engine(tentacle, manifests) {
        telemetry::allow(engine, "--allow-net=", &addresses);
    }
    let name = format!("{tentacle}-netpol");
    let policy = manifests.iter_mut().find(|manifest| manifest.kind == Kind::NetworkPolicy && manifest.name == name);
    if let Some(spec) = policy.and_then(|policy| policy.body.get_mut("spec"))
        && telemetry::limits_egress(spec)
        && let Some(rules) = spec.as_object_mut().map(|spec| spec.entry("egress").or_insert_with(|| json!([])))
        && let Some(rules) = rules.as_array_mut()
    {
        for share in shares {
            let rule = rule(share);
            if !rules.contains(&rule) {
                rules.push(rule);
            }
        }
    }
}

/// What lets TCP to the service through.
fn rule(share: &Share) -> Value {
    let Endpoint { host, port } = &share.endpoint;
    let Whereabouts { pods, networks } = &share.whereabouts;
    let block = |network: &IpNet| json!({ "ipBlock": { "cidr": network.to_string() } });
    let mut rule = json!({ "ports": [{ "protocol": "TCP", "port": port }] });
    let to = match (namespace(host), host.parse::<std::net::IpAddr>()) {
        (Some(namespace), _) => {
            let mut peer = json!({
                "namespaceSelector": { "matchLabels": { "kubernetes.io/metadata.name": namespace } },
            });
            if !pods.is_empty() {
                peer["podSelector"] = json!({ "matchLabels": pods });
            }
            vec![peer]
        }
        (None, Ok(address)) => vec![block(&address.into())],
        (None, Err(_)) => networks.iter().map(block).collect(),
    };
    if !to.is_empty() {
        rule["to"] = to.into();
    }
    rule
}

/// The namespace of a Service, by the name that the cluster's DNS has for it: `<service>.<namespace>.svc`, with or without the
/// cluster's domain.
fn namespace(host: &str) -> Option<&str> {
    let mut labels = host.split('.');
    let (service, namespace, svc) = (labels.next()?, labels.next()?, labels.next()?);
    (svc == "svc" && !service.is_empty()).then_some(namespace)
}

#[cfg(test)]
mod tests {
    use tentacular_contract::backing::Service;

    use super::{super::share::Fields, *};

    fn rule_to(host: &str, pods: &[(&str, &str)], networks: &[&str]) -> Value {
        let whereabouts = Whereabouts {
            pods: pods.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect(),
            networks: networks.iter().map(|network| network.parse().unwrap()).collect(),
        };
        let endpoint = Endpoint { host: host.to_owned(), port: 5432 };
        let (service, fields) = (Service::Postgres, Fields::new());
        rule(&Share { service, endpoint, whereabouts, fields, contract: Vec::new(), fresh: false })
    }

    #[test]
    fn a_service_is_reached_where_it_is_and_nowhere_else() {
        let ports = json!([{ "protocol": "TCP", "port": 5432 }]);
        let data = json!({ "matchLabels": { "kubernetes.io/metadata.name": "data" } });
        let labels = json!({ "matchLabels": { "app": "postgres" } });
        for host in ["db.data.svc", "db.data.svc.cluster.local"] {
            assert_eq!(
                rule_to(host, &[("app", "postgres")], &["10.0.0.0/8"]),
                json!({ "ports": ports, "to": [{ "namespaceSelector": data, "podSelector": labels }] })
            );
            assert_eq!(rule_to(host, &[], &[]), json!({ "ports": ports, "to": [{ "namespaceSelector": data }] }));
        }
        assert_eq!(
            rule_to("db.example.org", &[("app", "postgres")], &["10.0.0.0/8", "fd00::/8"]),
            json!({ "ports": ports, "to": [{ "ipBlock": { "cidr": "10.0.0.0/8" } }, { "ipBlock": { "cidr": "fd00::/8" } }] })
        );
        assert_eq!(rule_to("db.example.org", &[], &[]), json!({ "ports": ports }));
        assert_eq!(rule_to("10.1.2.3", &[], &[])["to"], json!([{ "ipBlock": { "cidr": "10.1.2.3/32" } }]));
        assert_eq!(rule_to("fd00::1", &[], &[])["to"], json!([{ "ipBlock": { "cidr": "fd00::1/128" } }]));
    }
}
