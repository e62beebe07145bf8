mod ingress;
mod references;
mod selectors;

use serde_json::{Value, json};

use super::{object::Labels, *};

/// A tentacle `report` in the enclave `team-a` of an installation with an ingress domain.
fn scope<T>(look: impl FnOnce(Scope<'_>) -> T) -> T {
    let (enclave, tentacle) = ("team-a".parse().unwrap(), "report".parse().unwrap());
    look(Scope { enclave: &enclave, tentacle: &tentacle, ingress_domain: Some("apps.x.io") })
}

fn object(kind: &str, name: &str, body: &Value) -> Object {
    Object::read(kind, name, body).unwrap()
}

fn texts(violations: &[Violation]) -> Vec<String> {
    violations.iter().map(|violation| format!("{} {violation}", violation.object)).collect()
}

fn alone(kind: &str, body: &Value) -> Vec<String> {
    scope(|scope| texts(&scope.alone(&object(kind, "a", body))))
}

/// What is found in `own` of a release that also has the `ConfigMap`, Secret, claim and Service `mine`.
fn among(own: &Object, neighbours: &Neighbours) -> Vec<String> {
    let mine = ["ConfigMap", "Secret", "PersistentVolumeClaim", "Service"];
    let names = mine.into_iter().map(|kind| (kind.to_owned(), "mine".to_owned())).collect();
    scope(|scope| texts(&scope.among(std::slice::from_ref(own), &names, neighbours)))
}

/// A Deployment with this pod.
fn deployment(pod: &Value) -> Value {
    let labels = json!({ "app.kubernetes.io/name": "report", "tentacular.io/release": "report" });
    let selector = json!({ "matchLabels": { "app.kubernetes.io/name": "report" } });
    let mut spec = json!({ "containers": [] });
    spec.as_object_mut().unwrap().extend(pod.as_object().unwrap().clone());
    json!({ "spec": { "selector": selector, "template": { "metadata": { "labels": labels }, "spec": spec } } })
}

fn labelled(labels: &[(&str, &str)]) -> Labels {
    labels.iter().map(|&(key, value)| (key.to_owned(), value.to_owned())).collect()
}

#[test]
fn names_that_are_kept_for_others_are_not_taken() {
    let mut neighbours = Neighbours::default();
    neighbours.add_name("Deployment", "other", Some("other"));
    neighbours.add_name("ConfigMap", "free", None);
    for (kind, name, refused) in [
        ("Secret", "other-secrets", true),
        ("ConfigMap", "other-code", true),
        ("ConfigMap", "tentacular-exoskeleton-other", true),
        ("Service", "other", true),
        ("Deployment", "other", true),
        ("Deployment", "other-code", false),
        ("ConfigMap", "other", false),
        ("Secret", "others-secrets", false),
    ] {
        let body = json!({ "spec": { "selector": { "matchLabels": { "a": "b" } }, "template": {} } });
        let body = if kind == "Service" { json!({}) } else { body };
        let found = among(&object(kind, name, &body), &neighbours);
        assert_eq!(found.len(), usize::from(refused), "{kind}/{name}: {found:?}");
        assert!(found.iter().all(|text| text.ends_with("choose another (rule own-name)")), "{found:?}");
    }
    for (kind, name, refused) in [
        ("Secret", "tentacular-webhook-tls", true),
        ("ConfigMap", "tentacular-exoskeleton-other", true),
        ("ConfigMap", "kube-root-ca.crt", true),
        ("Secret", "tentacular-exoskeleton-report", false),
        ("Secret", "tentacular", false),
    ] {
        let found = scope(|scope| scope.alone(&object(kind, name, &json!({}))));
        assert_eq!(
            found.iter().filter(|violation| violation.rule == Rule::Name).count(),
            usize::from(refused),
            "{name}"
        );
    }
}

#[test]
fn a_tentacle_is_not_called_at_a_service_of_another() {
    let mut neighbours = Neighbours::default();
    let report = object("Deployment", "report", &deployment(&json!({})));
    neighbours.add_name("Service", "report", None);
    assert_eq!(among(&report, &neighbours), Vec::<String>::new());
    neighbours.add_name("Service", "report", Some("other"));
    let found = among(&report, &neighbours);
    assert!(found.len() == 1 && found[0].contains("would be called at a Service of tentacle other"), "{found:?}");
    let names = [("Service".to_owned(), "report".to_owned())].into();
    // That name is refused where it is applied.
    assert_eq!(scope(|scope| scope.among(&[report], &names, &neighbours)), []);
}

#[test]
fn nothing_else_decides_when_an_object_goes() {
    let owner = json!([{ "apiVersion": "v1", "kind": "ConfigMap", "name": "theirs", "uid": "u" }]);
    let held = json!({ "metadata": { "ownerReferences": owner, "finalizers": ["x.io/hold"] } });
    let mut template = deployment(&json!({}));
    template["spec"]["template"]["metadata"]["finalizers"] = json!(["x.io/hold"]);
    let found = [alone("ConfigMap", &held), alone("Deployment", &template)].concat();
    let expected = [
        "ConfigMap/a metadata.ownerReferences: ConfigMap/theirs would",
        "ConfigMap/a metadata.finalizers: x.io/hold would",
        "Deployment/a spec.template.metadata.finalizers: x.io/hold would",
    ];
    assert_eq!(found.len(), 3, "{found:?}");
    for (text, start) in found.iter().zip(expected) {
        assert!(text.starts_with(start) && text.ends_with("(rule own-lifetime)"), "{text}");
    }
}

#[test]
fn no_token_is_made_no_other_account_used_and_no_place_taken() {
    for (kind, body, start) in [
        ("Secret", json!({ "type": "kubernetes.io/service-account-token" }), "type: kubernetes.io/service-"),
        ("Secret", json!({ "type": "bootstrap.kubernetes.io/token" }), "type: bootstrap.kubernetes.io/token is"),
        (
            "Secret",
            json!({ "metadata": { "annotations": { "kubernetes.io/service-account.name": "root" } } }),
            "metadata.annotations[\"kubernetes.io/service-account.name\"]: root",
        ),
        (
            "Deployment",
            deployment(&json!({ "serviceAccountName": "root" })),
            "spec.template.spec.serviceAccountName: ",
        ),
        ("Job", deployment(&json!({ "serviceAccount": "root" })), "spec.template.spec.serviceAccount: root"),
        ("Deployment", deployment(&json!({ "nodeName": "n1" })), "spec.template.spec.nodeName: n1"),
        (
            "Deployment",
            deployment(&json!({ "priorityClassName": "system-node-critical" })),
            "spec.template.spec.priorityClassName: system-node-critical",
        ),
    ] {
        let found = alone(kind, &body);
        assert!(found.len() == 1 && found[0].starts_with(&format!("{kind}/a {start}")), "{start}: {found:?}");
    }
    let fine = json!({
        "serviceAccountName": "tentacular-workflow", "serviceAccount": "", "automountServiceAccountToken": true,
        "priorityClassName": "batch", "schedulerName": "own", "hostAliases": [{ "ip": "127.0.0.1" }],
    });
    assert_eq!(alone("Deployment", &deployment(&fine)), Vec::<String>::new());
    assert_eq!(alone("Secret", &json!({ "type": "Opaque" })), Vec::<String>::new());
}

#[test]
fn a_service_stays_inside() {
    let with = |more: Value| {
        let mut spec = json!({ "selector": { "app": "report" } });
        spec.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        alone("Service", &json!({ "spec": spec }))
    };
    for (more, start) in [
        (json!({ "type": "NodePort" }), "spec.type: NodePort "),
        (json!({ "type": "LoadBalancer" }), "spec.type: LoadBalancer "),
        (json!({ "type": "ExternalName" }), "spec.type: ExternalName "),
        (json!({ "externalName": "x.io" }), "spec.externalName: x.io "),
        (json!({ "externalIPs": ["1.2.3.4"] }), "spec.externalIPs: 1.2.3.4 "),
        (json!({ "loadBalancerIP": "1.2.3.4" }), "spec.loadBalancerIP: 1.2.3.4 "),
        (json!({ "loadBalancerSourceRanges": ["0.0.0.0/0"] }), "spec.loadBalancerSourceRanges: 0.0.0.0/0 "),
    ] {
        let found = with(more);
        assert!(found.len() == 1 && found[0].starts_with(&format!("Service/a {start}")), "{start}: {found:?}");
    }
    for more in [json!({}), json!({ "externalIPs": [], "clusterIP": "None", "publishNotReadyAddresses": true })] {
        assert_eq!(with(more), Vec::<String>::new());
    }
}

#[test]
fn what_a_tentacle_may_not_consist_of_is_not_read() {
    for kind in ["Pod", "Role", "List", "StatefulSet", "Namespace", ""] {
        let violation = Object::read(kind, "a", &json!({})).unwrap_err();
        assert_eq!((violation.rule, violation.field.as_str()), (Rule::Kind, "kind"));
    }
    let violation = Object::read("Service", "a", &json!({ "spec": { "ports": 1 } })).unwrap_err();
    assert_eq!((violation.rule, violation.field.as_str()), (Rule::Kind, "spec"));
}

#[test]
fn a_message_shows_no_more_of_a_value_than_fits() {
    let long = format!("\n{}", "x".repeat(500));
    let found =
        alone("Secret", &json!({ "metadata": { "annotations": { "kubernetes.io/service-account.name": long } } }));
    assert!(found[0].contains(": \\nxxx") && found[0].len() < 400, "{found:?}");
}
