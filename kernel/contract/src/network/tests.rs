use std::net::IpAddr;

use k8s_openapi::api::networking::v1::NetworkPolicy;
use serde_json::{Value, json};

use super::{Blocked, Direction, Peer, Pod, Port, Protocol, allows, reaches};
use crate::facts::Pairs;

pub(super) fn policy(spec: &Value) -> NetworkPolicy {
    serde_json::from_value(json!({ "metadata": { "name": "p", "namespace": "team-a" }, "spec": spec }))
        .expect("a policy")
}

fn pairs(list: &[(&str, &str)]) -> Pairs {
    list.iter().map(|&(key, value)| (key.to_owned(), value.to_owned())).collect()
}

fn tcp(number: u16) -> Port {
    Port { protocol: Protocol::Tcp, number }
}

/// Whether pods of tentacle `report` in `team-a` are open to another pod.
fn lets_in(rule: &Value, from: (&str, &[(&str, &str)]), port: Port) -> bool {
    let (a, own, named) = (pairs(&[("name", "team-a")]), pairs(&[("app", "report")]), ports());
    let report = Pod { namespace: "team-a", namespace_labels: &a, labels: &own, address: None, ports: &named };
    let (namespace, labels) = (pairs(&[("name", from.0)]), pairs(from.1));
    let other = Pod {
        namespace: from.0,
        namespace_labels: &namespace,
        labels: &labels,
        address: Some([10, 1, 2, 3].into()),
        ports: &[],
    };
    let policy = policy(&json!({ "podSelector": {}, "policyTypes": ["Ingress"], "ingress": [rule] }));
    allows(&[policy], Direction::Ingress, &report, &Peer::Pod(other), port)
}

fn ports() -> Vec<k8s_openapi::api::core::v1::ContainerPort> {
    serde_json::from_value(json!([
        { "name": "http", "containerPort": 8080 },
        { "name": "http", "containerPort": 5353, "protocol": "UDP" },
    ]))
    .expect("ports")
}

#[test]
fn a_rule_names_peers() {
    let (near, far) = (("team-a", &[("app", "x")][..]), ("team-b", &[("app", "x")][..]));
    let (x, y) = (json!({ "matchLabels": { "app": "x" } }), json!({ "matchLabels": { "app": "y" } }));
    let b = json!({ "matchLabels": { "name": "team-b" } });
    for (peers, expected) in [
        (json!(null), [true, true]),
        (json!([]), [true, true]),
        (json!([{ "podSelector": {} }]), [true, false]),
        (json!([{ "podSelector": x }]), [true, false]),
        (json!([{ "podSelector": y }]), [false, false]),
        (json!([{ "namespaceSelector": {} }]), [true, true]),
        (json!([{ "namespaceSelector": b }]), [false, true]),
        (json!([{ "namespaceSelector": b, "podSelector": x }]), [false, true]),
        (json!([{ "namespaceSelector": b, "podSelector": y }]), [false, false]),
        (json!([{ "namespaceSelector": b }, { "podSelector": x }]), [true, true]),
        (json!([{ "ipBlock": { "cidr": "10.0.0.0/8" } }]), [true, true]),
        (json!([{ "ipBlock": { "cidr": "10.0.0.0/8", "except": ["10.1.0.0/16"] } }]), [false, false]),
        (json!([{ "ipBlock": { "cidr": "::/0" } }]), [false, false]),
    ] {
        let rule = if peers.is_null() { json!({}) } else { json!({ "from": peers }) };
        assert_eq!([lets_in(&rule, near, tcp(8080)), lets_in(&rule, far, tcp(8080))], expected, "{rule}");
    }
}

#[test]
fn a_rule_names_ports() {
    let udp = Port { protocol: Protocol::Udp, number: 5353 };
    for (ports, expected) in [
        (json!([]), [true, true, true]),
        (json!([{}]), [true, true, false]),
        (json!([{ "port": 8080 }]), [true, false, false]),
        (json!([{ "port": 8080, "endPort": 8081 }]), [true, true, false]),
        (json!([{ "port": 8080, "protocol": "UDP" }]), [false, false, false]),
        (json!([{ "protocol": "UDP" }]), [false, false, true]),
        (json!([{ "port": "http" }]), [true, false, false]),
        (json!([{ "port": "http", "protocol": "UDP" }]), [false, false, true]),
        (json!([{ "port": "metrics" }]), [false, false, false]),
    ] {
        let rule = json!({ "ports": ports });
        let found = [tcp(8080), tcp(8081), udp].map(|port| lets_in(&rule, ("team-b", &[]), port));
        assert_eq!(found, expected, "{rule}");
    }
}

#[test]
fn a_policy_governs_the_directions_of_its_types() {
    let none = Pairs::new();
    let pod = Pod { namespace: "team-a", namespace_labels: &none, labels: &none, address: None, ports: &[] };
    let world = Peer::Address(IpAddr::from([1, 1, 1, 1]));
    for (spec, expected) in [
        (json!({}), [false, true]),
        (json!({ "egress": [{}] }), [false, true]),
        (json!({ "egress": [{ "ports": [{ "port": 53 }] }] }), [false, false]),
        (json!({ "policyTypes": ["Egress"], "ingress": [] }), [true, false]),
        (json!({ "policyTypes": ["Ingress", "Egress"] }), [false, false]),
        (json!({ "policyTypes": ["Egress"], "ingress": [{}] }), [true, false]),
        (json!({ "policyTypes": ["Ingress"], "podSelector": { "matchLabels": { "app": "x" } } }), [true, true]),
        (json!({ "policyTypes": ["Ingress"], "podSelector": {} }), [false, true]),
    ] {
        let policies = [policy(&spec)];
        let found = Direction::ALL.map(|direction| allows(&policies, direction, &pod, &world, tcp(443)));
        assert_eq!(found, expected, "{spec}");
    }
    let mut elsewhere = policy(&json!({ "policyTypes": ["Ingress"] }));
    elsewhere.metadata.namespace = Some("team-b".to_owned());
    assert!(allows(&[elsewhere], Direction::Ingress, &pod, &world, tcp(443)));
}

#[test]
fn both_ends_must_allow_it() {
    let (a, b) = (pairs(&[("app", "a")]), pairs(&[("app", "b")]));
    let none = Pairs::new();
    let pod = |labels| Pod { namespace: "team-a", namespace_labels: &none, labels, address: None, ports: &[] };
    let deny = policy(&json!({ "policyTypes": ["Ingress", "Egress"] }));
    let select = |app: &str| json!({ "matchLabels": { "app": app } });
    let out = policy(&json!({
        "podSelector": select("a"), "policyTypes": ["Egress"], "egress": [{ "to": [{ "podSelector": select("b") }] }],
    }));
    let into = policy(&json!({
        "podSelector": select("b"), "policyTypes": ["Ingress"],
        "ingress": [{ "from": [{ "podSelector": select("a") }], "ports": [{ "port": 8080 }] }],
    }));
    let ask = |policies: &[NetworkPolicy], port| reaches(policies, &pod(&a), &pod(&b), tcp(port));
    assert_eq!(ask(&[], 8080), Ok(()));
    assert_eq!(ask(std::slice::from_ref(&deny), 8080), Err(Blocked::Leaving));
    assert_eq!(ask(&[deny.clone(), out.clone()], 8080), Err(Blocked::Arriving));
    let all = [deny, out, into];
    assert_eq!(ask(&all, 8080), Ok(()));
    assert_eq!(ask(&all, 8081), Err(Blocked::Arriving));
    assert_eq!(reaches(&all, &pod(&b), &pod(&a), tcp(8080)), Err(Blocked::Leaving));
}

#[test]
fn a_block_is_what_it_has_less_what_is_excepted() {
    let block = |cidr: &str, except: &[&str]| {
        let block = json!({ "cidr": cidr, "except": except });
        super::Block::of(&serde_json::from_value(block).expect("a block"))
    };
    let half = block("0.0.0.0/0", &["0.0.0.0/2", "64.0.0.0/2", "200.0.0.0/8"]).expect("a block");
    assert_eq!(half.except.len(), 2, "two quarters are a half: {:?}", half.except);
    assert!((half.share() - (0.5 - 1.0 / 256.0)).abs() < 1e-12);
    assert!(half.contains([129, 0, 0, 1].into()) && !half.contains([200, 0, 0, 1].into()));
    let private = "10.0.0.0/8".parse().expect("a net");
    assert!(!half.meets(&private));
    assert!(block("0.0.0.0/0", &["10.0.0.0/9"]).expect("a block").meets(&private));
    assert!(!block("0.0.0.0/0", &["10.0.0.0/9", "10.128.0.0/9"]).expect("a block").meets(&private));
    assert_eq!(block("10.0.0.0/33", &[]), None);
    assert_eq!(block("10.0.0.0/8", &["x"]), None);
}
