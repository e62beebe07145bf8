use super::*;
use crate::tentacle::tests::deployment;

fn own() -> Deployment {
    let labels = json!({ keys::NAME: "report" });
    let containers = json!([{ "name": "engine", "ports": [{ "name": "http", "containerPort": 8080 }] }]);
    let template = json!({ "metadata": { "labels": labels }, "spec": { "containers": containers } });
    deployment("report", json!({ "spec": { "template": template } }))
}

fn policy(name: &str, spec: &Value) -> NetworkPolicy {
    serde_json::from_value(json!({ "metadata": { "name": name, "namespace": "team-a" }, "spec": spec }))
        .expect("a policy")
}

fn select(key: &str, value: &str) -> Value {
    json!({ "matchLabels": { key: value } })
}

/// What the client makes: three rules in, of which the last is for the platform, and two rules out.
fn clients() -> NetworkPolicy {
    let server = json!({ "namespaceSelector": select(NAMESPACE, "tentacular-system"),
        "podSelector": select(keys::NAME, SERVER) });
    let dns = json!({ "namespaceSelector": select(NAMESPACE, "kube-system"),
        "podSelector": select("k8s-app", "kube-dns") });
    let collector = json!({ "namespaceSelector": select(NAMESPACE, "tentacular-observability") });
    policy(
        "report-netpol",
        &json!({
            "podSelector": select(keys::NAME, "report"), "policyTypes": ["Ingress", "Egress"],
            "ingress": [
                { "from": [{ "podSelector": select("tentacular.dev/role", "trigger") }], "ports": [{ "port": 8080 }] },
                { "from": [server], "ports": [{ "port": "http" }] },
            ],
            "egress": [
                { "to": [dns], "ports": [{ "port": 53, "protocol": "UDP" }] },
                { "to": [{ "ipBlock": { "cidr": "203.0.113.0/24" } }], "ports": [{ "port": 443 }] },
                { "to": [collector], "ports": [{ "port": 4318 }] },
            ],
        }),
    )
}

fn deny() -> NetworkPolicy {
    policy("default-deny", &json!({ "policyTypes": ["Ingress", "Egress"] }))
}

fn ask<T>(what: impl FnOnce(Place<'_>) -> T) -> T {
    let (enclave, tentacle) = ("team-a".parse().expect("a name"), "report".parse().expect("a name"));
    what(Place { enclave: &enclave, tentacle: &tentacle, server_namespace: "tentacular-system" })
}

#[test]
fn rules_are_counted_without_the_enclaves_and_the_platforms() {
    let foreign = policy("other", &json!({ "podSelector": select(keys::NAME, "other"), "ingress": [{}] }));
    let own_and_all = [clients(), deny(), foreign];
    for (policies, expected, status, missing, extra) in [
        (&own_and_all[..], [Some(2), Some(2)], Status::Match, None, None),
        (&own_and_all, [None, None], Status::Match, None, None),
        (&own_and_all, [Some(2), Some(3)], Status::Mismatch, Some("1 of 3 Egress rules"), None),
        (&own_and_all, [Some(1), Some(2)], Status::Mismatch, None, Some("1 of 2 Ingress rules")),
        (&own_and_all[1..2], [Some(2), None], Status::Missing, Some("2 of 2 Ingress rules"), None),
        (&own_and_all[1..2], [Some(0), Some(0)], Status::Match, None, None),
    ] {
        let found = compare(policies, &own(), expected);
        let first = |texts: &[String]| texts.first().cloned();
        assert_eq!(
            (found.status, first(&found.missing).as_deref(), first(&found.extra).as_deref()),
            (status, missing, extra),
            "{expected:?}: {found:?}"
        );
    }
    let found = compare(&own_and_all, &own(), [None, None]);
    assert_eq!((found.ingress_rule_count, found.egress_rule_count, found.details.len()), (2, 2, 5));
}

#[test]
fn a_tentacle_is_cut_off_or_not() {
    let objects = |policies: &[NetworkPolicy]| -> Vec<String> {
        ask(|place| place.cut_off(policies, &own())).into_iter().map(|finding| finding.object).collect()
    };
    let (server, dns) = ("NetworkPolicy/report-from-server".to_owned(), "NetworkPolicy/allow-dns".to_owned());
    assert!(objects(&[]).is_empty());
    assert!(objects(&[deny(), clients()]).is_empty());
    assert_eq!(objects(&[deny()]), [server.clone(), dns.clone()]);
    let mut policies = vec![deny()];
    for (number, left) in [(1, vec![dns]), (2, vec![])] {
        let first = ask(|place| place.cut_off(&policies, &own())).remove(0);
        policies.push(serde_json::from_value(first.remedy.patch).expect("a policy"));
        assert_eq!(objects(&policies), left, "after {number} remedies");
    }
}
