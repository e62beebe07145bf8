use serde_json::{Value, json};

use super::*;

fn named(name: &str, spec: &Value) -> NetworkPolicy {
    serde_json::from_value(json!({ "metadata": { "name": name, "namespace": "team-a" }, "spec": spec }))
        .expect("a policy")
}

/// The findings on one rule, as severity, field and the beginning of the message.
fn of_rule(direction: &str, rule: &Value) -> Vec<String> {
    let types = if direction == "ingress" { "Ingress" } else { "Egress" };
    let spec = json!({ "podSelector": { "matchLabels": { "app": "x" } }, "policyTypes": [types], direction: [rule] });
    let found = policy("team-a", &named("p", &spec)).into_iter();
    found.map(|finding| format!("{:?} {}: {}", finding.severity, finding.field, finding.message)).collect()
}

fn ingress(rule: &Value) -> Vec<String> {
    of_rule("ingress", rule)
}

fn egress(rule: &Value) -> Vec<String> {
    of_rule("egress", rule)
}

fn labelled(key: &str, value: &str) -> Value {
    json!({ "matchLabels": { key: value } })
}

#[test]
fn default_deny_may_be_one_policy_or_several() {
    let both = json!({ "policyTypes": ["Ingress", "Egress"] });
    let into = json!({ "podSelector": {}, "policyTypes": ["Ingress"] });
    let out = json!({ "policyTypes": ["Egress"], "egress": [{ "to": [{ "podSelector": {} }] }] });
    let some = json!({ "podSelector": labelled("app", "x"), "policyTypes": ["Ingress", "Egress"] });
    let open = json!({ "policyTypes": ["Egress"], "egress": [{}] });
    for (specs, expected, closed) in [
        (vec![&both], None, true),
        (vec![&into, &out], None, true),
        (vec![&both, &some], None, true),
        (vec![], Some("Ingress and Egress"), false),
        (vec![&into], Some("Egress"), false),
        (vec![&out], Some("Ingress"), false),
        (vec![&some], Some("Ingress and Egress"), false),
        // The rule that opens all pods is a finding of its own.
        (vec![&both, &open], None, false),
    ] {
        let policies: Vec<_> = specs.iter().map(|spec| named("p", spec)).collect();
        let found = default_deny("team-a", &policies);
        assert_eq!(is_closed(&policies), closed, "{specs:?}");
        match (expected, found) {
            (None, None) => {}
            (Some(directions), Some(finding)) => {
                assert!(finding.message.contains(&format!("has {directions}:")), "{finding:?}");
                let made = serde_json::from_value::<NetworkPolicy>(finding.remedy.patch).expect("a policy");
                assert!(is_closed(&[made]));
            }
            (expected, found) => panic!("{specs:?}: {expected:?}, {found:?}"),
        }
    }
}

#[test]
fn nobody_named_is_everybody() {
    let ports = json!([{ "port": 8080, "protocol": "TCP" }]);
    for rule in [json!({ "ports": ports }), json!({ "from": [], "ports": ports })] {
        assert_eq!(ingress(&rule), ["High spec.ingress[0].from: everybody can reach app=x on TCP 8080"]);
    }
    assert_eq!(egress(&json!({})), ["High spec.egress[0].to: app=x can reach everybody on every port"]);
    assert!(ingress(&json!({ "from": [{ "podSelector": {} }], "ports": ports })).is_empty());
}

#[test]
fn the_internet_is_a_large_block_or_many() {
    let block = |cidr: &str, except: &[&str]| json!({ "ipBlock": { "cidr": cidr, "except": except } });
    let rule = |peers: &[Value]| json!({ "from": peers, "ports": [{ "port": 8080 }] });
    let private = ["10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16"];
    for (peers, expected) in [
        (vec![block("0.0.0.0/0", &[])], true),
        (vec![block("0.0.0.0/0", &private)], true),
        (vec![block("::/0", &[])], true),
        (vec![block("128.0.0.0/2", &[])], true),
        (vec![block("20.0.0.0/9", &[]), block("30.0.0.0/9", &[]), block("40.0.0.0/9", &[])], true),
        (vec![block("10.0.0.0/8", &[]), block("172.16.0.0/12", &[])], false),
        (vec![block("203.0.113.0/24", &[])], false),
        (vec![block("0.0.0.0/0", &["0.0.0.0/1", "128.0.0.0/1"])], false),
    ] {
        let found = ingress(&rule(&peers));
        let internet = ["High spec.ingress[0].from: the internet can reach app=x on TCP 8080"];
        assert_eq!(found, internet[..usize::from(expected)], "{peers:?}");
    }
}

#[test]
fn going_out_to_the_internet_is_allowed_and_what_it_takes_in_is_not() {
    let rule = |cidr: &str, except: &[&str], port: &Value| json!({ "to": [{ "ipBlock": { "cidr": cidr, "except": except } }], "ports": port });
    let (https, http) = (json!([{ "port": 443 }]), json!([{ "port": 80 }]));
    let private = ["10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16"];
    assert!(egress(&rule("0.0.0.0/0", &private, &https)).is_empty());
    assert!(egress(&rule("::/0", &["fc00::/7"], &https)).is_empty());
    for (cidr, except, networks) in [
        ("0.0.0.0/0", &[][..], Some("10.0.0.0/8, 172.16.0.0/12, 192.168.0.0/16")),
        ("0.0.0.0/0", &["10.0.0.0/8", "172.16.0.0/13"], Some("172.16.0.0/12, 192.168.0.0/16")),
        ("8.0.0.0/5", &[], Some("10.0.0.0/8")),
        ("::/0", &[], Some("fc00::/7")),
        ("0.0.0.0/0", &["10.0.0.0/9", "10.128.0.0/9", "172.16.0.0/12", "192.168.0.0/16"], None),
        ("10.0.0.0/8", &[], None),
        ("10.1.0.0/16", &[], None),
        ("203.0.113.0/24", &[], None),
    ] {
        let found = egress(&rule(cidr, except, &https));
        let expected = networks.map(|networks| {
            format!(
                "High spec.egress[0].to[0].ipBlock: app=x can reach private networks ({networks}), pods, Services and \
                 nodes among them, on TCP 443"
            )
        });
        assert_eq!(found, expected.into_iter().collect::<Vec<_>>(), "{cidr} {except:?}");
    }
    let with_link_local = [&private[..], &["169.254.0.0/16"]].concat();
    for (cidr, except, ports, expected) in [
        ("0.0.0.0/0", &private[..], &http, true),
        ("169.254.169.254/32", &[], &http, true),
        ("169.254.0.0/16", &[], &http, true),
        ("0.0.0.0/0", &private, &https, false),
        ("0.0.0.0/0", &with_link_local, &http, false),
        ("203.0.113.0/24", &[], &http, false),
    ] {
        let found = egress(&rule(cidr, except, ports));
        assert_eq!(
            found.iter().any(|text| text.contains("metadata service")),
            expected,
            "{cidr} {except:?}: {found:?}"
        );
        assert_eq!(found.len(), usize::from(expected), "{found:?}");
    }
}

#[test]
fn namespaces_are_named_or_else_are_all() {
    let rule = |peer: &Value| json!({ "from": [peer], "ports": [{ "port": 8080 }] });
    let name = labelled("kubernetes.io/metadata.name", "team-b");
    let others = json!({ "matchExpressions": [
        { "key": "kubernetes.io/metadata.name", "operator": "NotIn", "values": ["team-a"] },
    ] });
    for (peer, expected) in [
        (json!({ "namespaceSelector": {} }), Some("Medium all pods of every namespace")),
        (json!({ "namespaceSelector": others }), Some("Medium all pods of every namespace")),
        (
            json!({ "namespaceSelector": labelled(keys::MANAGED_BY, keys::TENTACULAR) }),
            Some("Medium all pods of every other enclave"),
        ),
        (
            json!({ "namespaceSelector": {}, "podSelector": labelled("app", "y") }),
            Some("Low pods of every namespace that give themselves the labels app=y"),
        ),
        (json!({ "namespaceSelector": name }), None),
        (json!({ "namespaceSelector": name, "podSelector": {} }), None),
        (json!({ "podSelector": {} }), None),
    ] {
        let found = ingress(&rule(&peer));
        let expected = expected.map(|text| {
            let (severity, whom) = text.split_once(' ').expect("two parts");
            format!("{severity} spec.ingress[0].from[0].namespaceSelector: {whom} can reach app=x on TCP 8080")
        });
        assert_eq!(found, expected.into_iter().collect::<Vec<_>>(), "{peer}");
    }
}

#[test]
fn ports_left_out_are_all_ports() {
    let pods = json!([{ "podSelector": labelled("app", "y") }]);
    let text = "Low spec.ingress[0].ports: pods app=y of this enclave can reach app=x on every port";
    assert_eq!(ingress(&json!({ "from": pods })), [text]);
    assert_eq!(egress(&json!({ "to": pods })).len(), 1);
    assert!(ingress(&json!({ "from": pods, "ports": [{ "port": 8080 }] })).is_empty());
    let world = json!([{ "ipBlock": {
        "cidr": "0.0.0.0/0", "except": ["10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "169.254.0.0/16"],
    } }]);
    assert!(egress(&json!({ "to": world }))[0].starts_with("Medium spec.egress[0].ports"));
    assert!(egress(&json!({ "to": world, "ports": [{ "port": 443 }] })).is_empty());
}

#[test]
fn a_rule_of_a_direction_that_is_not_governed_allows_nothing() {
    let spec = json!({ "policyTypes": ["Egress"], "ingress": [{}] });
    assert_eq!(policy("team-a", &named("p", &spec)), []);
}

#[test]
fn a_peer_that_is_taken_away_does_not_open_the_rule() {
    let peers = json!([{ "namespaceSelector": {} }, { "podSelector": {} }]);
    let spec = json!({ "policyTypes": ["Ingress"], "ingress": [{ "from": peers, "ports": [{ "port": 8080 }] }] });
    let found = policy("team-a", &named("p", &spec));
    assert_eq!(
        found[0].remedy.patch[1],
        json!({ "op": "replace", "path": "/spec/ingress/0/from", "value": [peers[1]] })
    );
    let spec =
        json!({ "policyTypes": ["Ingress"], "ingress": [{ "from": [peers[0]], "ports": [{ "port": 8080 }] }] });
    let found = policy("team-a", &named("p", &spec));
    assert_eq!(found[0].remedy.patch[1], json!({ "op": "remove", "path": "/spec/ingress/0" }));
    assert_eq!(found[0].remedy.patch[0]["op"], "test");
}
