use serde_json::{Value, json};

use super::{
    super::testing::{
        Rules::{Protect, Validate},
        create, delete, object, update,
    },
    *,
};

const MODE: &str = "protected-metadata metadata.annotations[tentacular.io/mode]";
const RELEASE: &str = "protected-metadata metadata.labels[tentacular.io/release]";

fn annotated(annotations: &Value) -> Value {
    object("team-a", &json!({ "annotations": annotations }), &json!({}))
}

fn labelled(name: &str, release: Option<&str>, rest: &Value) -> Value {
    object(name, &json!({ "labels": { "tentacular.io/release": release, "a": "b" } }), rest)
}

#[test]
fn who_owns_an_enclave_is_set_changed_and_removed_by_nobody_else() {
    let (none, mode) = (annotated(&json!({})), annotated(&json!({ "tentacular.io/mode": "rwx------" })));
    let other = annotated(&json!({ "tentacular.io/mode": "rwxrwxrwx" }));
    for kind in [Kind::NAMESPACE, Kind::DEPLOYMENT] {
        create(kind, mode.clone()).refused(Protect, &[MODE]);
        update(kind, none.clone(), mode.clone()).refused(Protect, &[MODE]);
        update(kind, mode.clone(), other.clone()).refused(Protect, &[MODE]);
        update(kind, mode.clone(), none.clone()).refused(Protect, &[MODE]);
        update(kind, mode.clone(), other.clone()).through("status").refused(Protect, &[MODE]);
        update(kind, mode.clone(), mode.clone()).allowed(Protect);
        update(kind, mode.clone(), other.clone()).allowed(Validate);
    }
    update(Kind::NAMESPACE, mode.clone(), other).through("finalize").refused(Protect, &[MODE]);
    create(Kind::NAMESPACE, none.clone()).allowed(Protect);
    create(Kind::CONFIG_MAP, mode).allowed(Protect);
    // Readers take the empty value for none.
    create(Kind::NAMESPACE, annotated(&json!({ "tentacular.io/enclave-members": " " }))).allowed(Protect);
    for key in ["enclave", "enclave-owner", "enclave-status", "enclave-quota-preset", "owner", "owner-sub"] {
        let key = format!("tentacular.io/{key}");
        let set = annotated(&json!({ &key: "x@example.com" }));
        let expected = format!("protected-metadata metadata.annotations[{key}]");
        update(Kind::NAMESPACE, none.clone(), set.clone()).refused(Protect, &[&expected]);
        update(Kind::DEPLOYMENT, none.clone(), set).refused(Protect, &[&expected]);
    }
    for key in ["tentacular.io/description", "tentacular.io/cron-schedule", "enclave-owner", "team"] {
        update(Kind::NAMESPACE, none.clone(), annotated(&json!({ key: "@daily" }))).allowed(Protect);
        update(Kind::DEPLOYMENT, none.clone(), annotated(&json!({ key: "@daily" }))).allowed(Protect);
    }
}

#[test]
fn the_release_of_an_object_is_set_changed_and_removed_by_nobody_else() {
    let with = |release| labelled("report", release, &json!({}));
    for kind in [Kind::DEPLOYMENT, Kind::SERVICE, Kind::CONFIG_MAP, Kind::SECRET, Kind::POD, Kind::OTHER] {
        create(kind, with(Some("report"))).refused(Protect, &[RELEASE]);
        update(kind, with(None), with(Some("report"))).refused(Protect, &[RELEASE]);
        update(kind, with(Some("report")), with(Some("other"))).refused(Protect, &[RELEASE]);
        update(kind, with(Some("report")), with(None)).refused(Protect, &[RELEASE]);
        update(kind, with(Some("report")), with(None)).through("status").refused(Protect, &[RELEASE]);
        update(kind, with(Some("report")), with(Some("report"))).allowed(Protect);
        create(kind, with(None)).allowed(Protect);
        delete(kind, with(Some("report"))).allowed(Protect);
    }
}

#[test]
fn an_enclave_and_its_level_stay() {
    let at = |level: &str, version: Option<&str>| {
        let labels = json!({ ENFORCE: level, ENFORCE_VERSION: version });
        object("team-a", &json!({ "labels": labels }), &json!({}))
    };
    delete(Kind::NAMESPACE, at("restricted", None)).refused(Protect, &["enclave-deletion metadata.name"]);
    create(Kind::NAMESPACE, at("restricted", Some("latest"))).allowed(Protect);
    let (level, version) = (
        format!("protected-metadata metadata.labels[{ENFORCE}]"),
        format!("protected-metadata metadata.labels[{ENFORCE_VERSION}]"),
    );
    let before = at("restricted", Some("latest"));
    update(Kind::NAMESPACE, before.clone(), at("privileged", Some("latest"))).refused(Protect, &[&level]);
    update(Kind::NAMESPACE, before.clone(), at("restricted", Some("v1.0"))).refused(Protect, &[&version]);
    update(Kind::NAMESPACE, before.clone(), at("restricted", None)).refused(Protect, &[&version]);
    let mut owned = before.clone();
    owned["metadata"]["ownerReferences"] = json!([{ "kind": "Node", "name": "gone", "uid": "u" }]);
    let expected = ["protected-object metadata.ownerReferences"];
    update(Kind::NAMESPACE, before.clone(), owned).refused(Protect, &expected);
    let mut kept = before.clone();
    kept["spec"] = json!({ "finalizers": ["kubernetes"] });
    update(Kind::NAMESPACE, kept.clone(), before.clone())
        .through("finalize")
        .refused(Protect, &["enclave-deletion spec.finalizers"]);
    update(Kind::NAMESPACE, kept.clone(), kept).through("finalize").allowed(Protect);
    let mut team = before.clone();
    team["metadata"]["labels"]["team"] = json!("red");
    update(Kind::NAMESPACE, before, team).allowed(Protect);
}

#[test]
fn what_every_enclave_has_stays_as_it_is() {
    let spec = |value: u32| json!({ "spec": { "hard": { "pods": value } }, "status": { "used": value } });
    for (kind, name) in [
        (Kind::RESOURCE_QUOTA, "tentacular-quota"),
        (Kind::LIMIT_RANGE, "tentacular-limits"),
        (Kind::NETWORK_POLICY, "default-deny"),
        (Kind::NETWORK_POLICY, "allow-dns"),
        (Kind::ROLE_BINDING, "tentacular-enclave-registrar"),
        (Kind::CONFIG_MAP, "tentacular-runs-report"),
        (Kind::SECRET, "tentacular-exoskeleton-report"),
    ] {
        let with = |value| object(name, &json!({}), &spec(value));
        create(kind, with(1)).refused(Protect, &["protected-object metadata.name"]);
        delete(kind, with(1)).refused(Protect, &["protected-object metadata.name"]);
        update(kind, with(1), with(2)).refused(Protect, &["protected-object spec"]);
        let mut same = with(1);
        same["metadata"]["labels"] = json!({ "team": "red" });
        same["status"] = json!({ "used": 7 });
        update(kind, with(1), same.clone()).allowed(Protect);
        same["metadata"]["ownerReferences"] = json!([{ "kind": "Pod", "name": "gone", "uid": "u" }]);
        update(kind, with(1), same).refused(Protect, &["protected-object metadata.ownerReferences"]);
        create(kind, object("mine", &json!({}), &spec(1))).allowed(Protect);
        delete(kind, object("mine", &json!({}), &spec(1))).allowed(Protect);
    }
    create(Kind::CONFIG_MAP, object("default-deny", &json!({}), &json!({}))).allowed(Protect);
}

#[test]
fn a_quota_counts_what_it_counts() {
    let quota = |name: &str, pods: u32| object(name, &json!({}), &json!({ "status": { "hard": { "pods": pods } } }));
    let name = "tentacular-quota";
    let write = update(Kind::RESOURCE_QUOTA, quota(name, 1), quota(name, 2));
    write.through("status").refused(Protect, &["protected-object status"]);
    update(Kind::RESOURCE_QUOTA, quota("mine", 1), quota("mine", 2)).through("status").allowed(Protect);
}

#[test]
fn the_servers_objects_are_known_by_its_labels() {
    let ledger = |name: &str, labels: Value| object(name, &json!({ "labels": labels }), &json!({}));
    let of = |name: &str, labels: Value| {
        update(Kind::CONFIG_MAP, ledger(name, json!({ "tentacular.io/ledger": "true" })), ledger(name, labels))
    };
    let expected = ["protected-metadata metadata.labels[tentacular.io/ledger]"];
    of("tentacular-runs-report", json!({})).refused(Protect, &expected);
    of("mine", json!({})).allowed(Protect);
}

#[test]
fn the_account_of_workflows_gets_no_token() {
    let account = |mount: bool, pull: &str| {
        let members = json!({ "automountServiceAccountToken": mount, "imagePullSecrets": [{ "name": pull }] });
        object("tentacular-workflow", &json!({}), &members)
    };
    let expected = ["protected-object automountServiceAccountToken"];
    update(Kind::SERVICE_ACCOUNT, account(false, "a"), account(true, "a")).refused(Protect, &expected);
    update(Kind::SERVICE_ACCOUNT, account(false, "a"), account(false, "b")).allowed(Protect);
}

#[test]
fn nobody_else_opens_every_pod() {
    let policy = |release: Option<&str>, selector: &Value, rules: &Value| {
        let mut spec = rules.clone();
        spec["podSelector"] = selector.clone();
        labelled("open", release, &json!({ "spec": spec }))
    };
    let (all, open) = (json!({}), json!({ "egress": [{}] }));
    let expected = ["enclave-policies spec.podSelector"];
    create(Kind::NETWORK_POLICY, policy(None, &all, &open)).refused(Protect, &expected);
    let other = json!({ "matchLabels": { "tentacular.io/release": "report" } });
    create(Kind::NETWORK_POLICY, policy(None, &other, &json!({ "ingress": [{}] }))).refused(Protect, &expected);
    let closed = policy(None, &all, &json!({ "policyTypes": ["Egress"] }));
    create(Kind::NETWORK_POLICY, closed.clone()).allowed(Protect);
    update(Kind::NETWORK_POLICY, closed, policy(None, &all, &open)).refused(Protect, &expected);
    let but_tentacles = |labels: Value| {
        let no_release = json!({ "key": "tentacular.io/release", "operator": "DoesNotExist" });
        json!({ "matchLabels": labels, "matchExpressions": [no_release] })
    };
    for theirs in [
        json!({ "matchLabels": { "app.kubernetes.io/name": "report" } }),
        json!({ "matchLabels": { "pod-template-hash": "x" } }),
        json!({ "matchExpressions": [{ "key": "tentacular.io/release", "operator": "NotIn", "values": ["other"] }] }),
        but_tentacles(json!({})),
        json!("odd"),
    ] {
        create(Kind::NETWORK_POLICY, policy(None, &theirs, &open)).refused(Protect, &expected);
    }
    let own = but_tentacles(json!({ "app": "debug" }));
    create(Kind::NETWORK_POLICY, policy(None, &own, &open)).allowed(Protect);
    let stands = policy(None, &all, &open);
    update(Kind::NETWORK_POLICY, stands.clone(), stands).allowed(Protect);
}

#[test]
fn nobody_else_has_a_release_choose_other_pods() {
    let label = |key: &str, value: &str| json!({ key: value });
    let chosen = |labels: Value| json!({ "matchLabels": labels });
    let in_releases = |releases: Value| {
        let one_of = json!({ "key": "tentacular.io/release", "operator": "In", "values": releases });
        json!({ "matchExpressions": [one_of] })
    };
    let own = json!({ "app.kubernetes.io/name": "x", "tentacular.io/release": "report" });
    for (kind, member, before, theirs, ours) in [
        (
            Kind::SERVICE,
            "selector",
            label("app.kubernetes.io/name", "report"),
            vec![label("app.kubernetes.io/name", "vault"), json!({}), json!(null), json!("odd")],
            vec![own.clone()],
        ),
        (
            Kind::NETWORK_POLICY,
            "podSelector",
            chosen(label("app.kubernetes.io/name", "report")),
            vec![
                chosen(label("app.kubernetes.io/name", "vault")),
                in_releases(json!(["report", "vault"])),
                json!({ "matchExpressions": [{ "key": "tentacular.io/release", "operator": "Exists" }] }),
                json!({}),
                json!("odd"),
            ],
            vec![chosen(own), in_releases(json!(["report"]))],
        ),
    ] {
        let of_release = |selector: &Value, more: &Value| {
            let mut spec = json!({ "ingress": more });
            spec[member] = selector.clone();
            labelled("report", Some("report"), &json!({ "spec": spec }))
        };
        let (closed, open) = (json!([]), json!([{}]));
        let stands = of_release(&before, &closed);
        let expected = [&*format!("release-selector spec.{member}")];
        for selector in theirs {
            update(kind, stands.clone(), of_release(&selector, &open)).refused(Protect, &expected);
        }
        for selector in ours {
            update(kind, stands.clone(), of_release(&selector, &open)).allowed(Protect);
        }
        update(kind, stands.clone(), of_release(&before, &open)).allowed(Protect);
    }
}

#[test]
fn nobody_makes_a_revision_past_the_object_that_it_is_of() {
    let revision = |number: u32| object("web-1", &json!({}), &json!({ "revision": number, "data": { "spec": {} } }));
    let expected = ["controller-revision metadata.name"];
    create(Kind::CONTROLLER_REVISION, revision(1)).refused(Protect, &expected);
    update(Kind::CONTROLLER_REVISION, revision(1), revision(2)).allowed(Protect);
    delete(Kind::CONTROLLER_REVISION, revision(1)).allowed(Protect);
    create(Kind::CONTROLLER_REVISION, revision(1)).allowed(Validate);
}

#[test]
fn nobody_leads_a_service_to_pods_that_it_does_not_select() {
    let expected = ["service-addresses metadata.name"];
    for kind in [Kind::ENDPOINTS, Kind::ENDPOINT_SLICE] {
        let with = |address: &str| object("evil", &json!({}), &json!({ "endpoints": [{ "addresses": [address] }] }));
        create(kind, with("10.0.0.7")).refused(Protect, &expected);
        update(kind, with("10.0.0.7"), with("10.0.0.8")).refused(Protect, &expected);
        delete(kind, with("10.0.0.7")).allowed(Protect);
        create(kind, with("10.0.0.7")).allowed(Validate);
    }
}

#[test]
fn no_pod_is_given_a_release_when_it_is_bound() {
    let binding = |release| labelled("one", release, &json!({ "target": { "kind": "Node", "name": "node-1" } }));
    create(Kind::OTHER, binding(Some("report"))).through("binding").refused(Protect, &[RELEASE]);
    create(Kind::OTHER, binding(None)).through("binding").allowed(Protect);
}
