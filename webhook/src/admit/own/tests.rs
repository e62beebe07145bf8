use serde_json::json;

use super::{
    super::testing::{
        Rules::{Protect, Validate},
        Write, create, delete, object, pod, update,
    },
    *,
};

fn of(release: Option<&str>, name: &str, rest: &Value) -> Value {
    object(name, &json!({ "labels": { "tentacular.io/release": release } }), rest)
}

#[test]
fn what_leads_out_of_the_enclave_is_refused_to_everybody() {
    let token = json!({ "type": "kubernetes.io/service-account-token" });
    let host = |host: &str| json!({ "spec": { "rules": [{ "host": host }] } });
    for release in [Some("report"), None] {
        let of = |rest: &Value| of(release, "report", rest);
        for (kind, rest, expected) in [
            (
                Kind::SERVICE,
                json!({ "spec": { "type": "NodePort", "selector": { "app": "a" } } }),
                "internal-service spec.type",
            ),
            (
                Kind::SERVICE,
                json!({ "spec": { "externalIPs": ["192.0.2.1"], "selector": { "app": "a" } } }),
                "internal-service spec.externalIPs",
            ),
            (Kind::SECRET, token.clone(), "no-token type"),
            (Kind::INGRESS, host("bank.example"), "own-host spec.rules[0].host"),
            (Kind::CLAIM, json!({ "spec": { "volumeName": "pv" } }), "own-reference spec.volumeName"),
        ] {
            create(kind, of(&rest)).refused(Validate, &[expected]);
            update(kind, of(&json!({ "spec": { "selector": { "app": "a" } } })), of(&rest))
                .refused(Validate, &[expected]);
            delete(kind, of(&rest)).allowed(Validate);
            create(kind, of(&rest)).at_level("privileged").refused(Validate, &[expected]);
        }
        create(Kind::SERVICE, of(&json!({ "spec": { "selector": { "app": "a" } } }))).allowed(Validate);
        create(Kind::INGRESS, of(&host("x.team-a.apps.example.org"))).allowed(Validate);
        create(Kind::SECRET, of(&json!({ "type": "Opaque" }))).allowed(Validate);
    }
}

#[test]
fn pods_of_every_kind_run_as_nobody_and_ask_for_no_credentials_of_others() {
    let mut spec = pod();
    spec["serviceAccountName"] = json!("builder");
    spec["volumes"] = json!([{ "name": "v", "secret": { "secretName": "tentacular-exoskeleton-other" } }]);
    spec["nodeName"] = json!("node-1");
    for (kind, object, at) in [
        (Kind::POD, json!({ "spec": spec }), ""),
        (Kind::STATEFUL_SET, json!({ "spec": { "template": { "spec": spec } } }), "spec.template."),
        (Kind::REPLICATION_CONTROLLER, json!({ "spec": { "template": { "spec": spec } } }), "spec.template."),
        (Kind::POD_TEMPLATE, json!({ "template": { "spec": spec } }), "template."),
    ] {
        let expected = [
            format!("powerless-account {at}spec.serviceAccountName"),
            format!("fair-scheduling {at}spec.nodeName"),
            format!("own-reference {at}spec.volumes[0].secret.secretName"),
        ];
        create(kind, of(None, "report", &object)).refused(Validate, &expected.each_ref().map(String::as_str));
    }
    let own = json!([{ "name": "v", "secret": { "secretName": "tentacular-exoskeleton-report" } }]);
    let mut spec = pod();
    spec["volumes"] = own;
    let pod = json!({ "spec": spec });
    create(Kind::POD, of(Some("report"), "one", &pod)).allowed(Validate);
    let expected = ["own-reference spec.volumes[0].secret.secretName"];
    create(Kind::POD, of(Some("other"), "one", &pod)).refused(Validate, &expected);
}

#[test]
fn a_release_selects_its_own_pods() {
    let policy = |selector: &Value| json!({ "spec": { "podSelector": selector } });
    let (all, other) = (json!({}), json!({ "matchLabels": { "tentacular.io/release": "other" } }));
    for selector in [&all, &other] {
        let write = create(Kind::NETWORK_POLICY, of(Some("report"), "open", &policy(selector)));
        write.refused(Validate, &["own-selector spec.podSelector"]);
        // Those of nobody are for all, if an administrator makes them, which is a matter of protection.
        create(Kind::NETWORK_POLICY, of(None, "open", &policy(selector))).allowed(Validate);
    }
    let template = json!({ "metadata": { "labels": { "tentacular.io/release": "other" } }, "spec": pod() });
    let set = json!({ "spec": { "selector": { "matchLabels": { "a": "b" } }, "template": template } });
    let expected = ["own-labels spec.template.metadata.labels[\"tentacular.io/release\"]"];
    create(Kind::REPLICA_SET, of(None, "report", &set)).refused(Validate, &expected);
    let expected = ["release metadata.labels[tentacular.io/release]"];
    create(Kind::CONFIG_MAP, of(Some("Report"), "report", &json!({}))).refused(Validate, &expected);
}

#[test]
fn owners_and_finalizers_are_warnings_but_for_those_of_kubernetes() {
    let with = |release: Option<&str>, metadata: &Value| {
        let mut object = of(release, "report", &json!({ "spec": {} }));
        for (key, value) in metadata.as_object().unwrap() {
            object["metadata"][key] = value.clone();
        }
        object
    };
    let kept = json!({ "finalizers": ["kubernetes.io/pvc-protection"] });
    create(Kind::CLAIM, with(Some("report"), &kept)).allowed(Validate);
    let mine = json!({ "finalizers": ["kubernetes.io/pvc-protection", "example.org/mine"] });
    let warned = |write: Write| {
        let verdict = write.judged(Validate);
        assert_eq!(verdict.violations, []);
        verdict.warnings.into_iter().map(|finding| finding.field).collect::<Vec<_>>()
    };
    assert_eq!(warned(create(Kind::CLAIM, with(Some("report"), &mine))), ["metadata.finalizers"]);
    create(Kind::CLAIM, with(None, &mine)).allowed(Validate);
    let owned = json!({ "ownerReferences": [{ "kind": "Pod", "name": "gone", "uid": "u" }] });
    let owned = with(Some("report"), &owned);
    assert_eq!(warned(create(Kind::CONFIG_MAP, owned.clone())), ["metadata.ownerReferences"]);
    update(Kind::CONFIG_MAP, owned.clone(), owned).allowed(Validate);
    let going = json!({ "finalizers": ["foregroundDeletion"], "deletionTimestamp": "2026-01-01T00:00:00Z" });
    update(Kind::CONFIG_MAP, with(Some("report"), &json!({})), with(Some("report"), &going)).allowed(Validate);
}

#[test]
fn a_claim_that_has_its_volume_is_left_alone() {
    let bound = object("data", &json!({}), &json!({ "spec": { "volumeName": "pv" } }));
    let mut labelled = bound.clone();
    labelled["metadata"]["labels"] = json!({ "note": "x" });
    update(Kind::CLAIM, bound, labelled).allowed(Validate);
}

#[test]
fn a_pod_that_runs_is_left_alone() {
    let mut bound = json!({ "spec": pod() });
    bound["spec"]["nodeName"] = json!("node-1");
    let bound = of(Some("report"), "one", &bound);
    let mut labelled = bound.clone();
    labelled["metadata"]["labels"]["note"] = json!("x");
    update(Kind::POD, bound, labelled).allowed(Validate);
}

#[test]
fn names_are_a_matter_of_protection() {
    let ledger = object("tentacular-runs-report", &json!({ "labels": { "tentacular.io/ledger": "1" } }), &json!({}));
    create(Kind::CONFIG_MAP, ledger.clone()).allowed(Validate);
    create(Kind::CONFIG_MAP, ledger).refused(Protect, &["protected-object metadata.name"]);
}
