use serde_json::{Value, json};

use super::*;

#[test]
fn a_selector_keeps_to_the_own_pods() {
    let policy = |selector: &Value| object("NetworkPolicy", "p", &json!({ "spec": { "podSelector": selector } }));
    let expression =
        |key: &str, operator: &str, values: Value| json!({ "key": key, "operator": operator, "values": values });
    let expressions = |list: &[Value]| json!({ "matchExpressions": list });
    let app = "app.kubernetes.io/name";
    let mut neighbours = Neighbours::default();
    neighbours.add_pod("p", labelled(&[(app, "other"), ("tier", "db")]), Some("other"));
    neighbours.add_pod("q", labelled(&[(app, "report"), ("tier", "db")]), None);
    let own = json!({ "matchLabels": { app: "report", keys::RELEASE: "report" } });
    for (selector, part) in [
        (json!({}), "is empty, which selects every pod"),
        (expressions(&[expression(app, "Exists", json!(null))]), "asks for no label's value"),
        (expressions(&[expression(app, "NotIn", json!(["x"]))]), "app.kubernetes.io/name notin (x) asks for no"),
        (expressions(&[expression("t", "DoesNotExist", json!(null))]), "!t asks for no label's value"),
        (expressions(&[expression(app, "In", json!([]))]), "asks for no label's value"),
        (expressions(&[expression(app, "Like", json!(["x"]))]), "asks for no label's value"),
        (json!({ "matchLabels": { keys::RELEASE: "other" } }), "selects pods of tentacle other"),
        (
            expressions(&[expression(keys::RELEASE, "In", json!(["report", "other"]))]),
            "selects pods of tentacle other",
        ),
        (json!({ "matchLabels": { "tier": "db" } }), "selects pods of Pod/p of tentacle other"),
        (json!({ "matchLabels": { app: "report" } }), "selects pods of Pod/q, which is of no tentacle"),
        (expressions(&[expression(app, "In", json!(["x", "other"]))]), "selects pods of Pod/p of tentacle other"),
        (
            expressions(&[expression("tier", "In", json!(["db"])), expression(app, "NotIn", json!(["x", "report"]))]),
            "selects pods of Pod/p",
        ),
        (
            expressions(&[expression("tier", "In", json!(["db"])), expression("gone", "DoesNotExist", json!(null))]),
            "selects pods of Pod/p",
        ),
    ] {
        let policy = policy(&selector);
        let found: Vec<_> =
            scope(|scope| texts(&scope.alone(&policy))).into_iter().chain(among(&policy, &neighbours)).collect();
        assert!(found.len() == 1 && found[0].contains(part), "{selector} {part}: {found:?}");
        assert!(found[0].starts_with("NetworkPolicy/p spec.podSelector: "), "{found:?}");
    }
    for selector in [
        own,
        expressions(&[expression("tier", "In", json!(["db"])), expression("own", "Exists", json!(null))]),
        expressions(&[expression("tier", "In", json!(["db"])), expression(app, "NotIn", json!(["other", "report"]))]),
    ] {
        let policy = policy(&selector);
        assert_eq!(among(&policy, &neighbours), Vec::<String>::new(), "{selector}");
        assert_eq!(scope(|scope| texts(&scope.alone(&policy))), Vec::<String>::new(), "{selector}");
    }
}

#[test]
fn whatever_chooses_pods_is_held_to_it() {
    let catching = json!({ "tier": "db" });
    let term = json!({ "labelSelector": { "matchLabels": catching }, "topologyKey": "zone" });
    let anti = json!({ "podAntiAffinity": { "requiredDuringSchedulingIgnoredDuringExecution": [term] } });
    let mut wide = deployment(&json!({}));
    wide["spec"]["selector"] = json!({ "matchLabels": catching });
    let mut neighbours = Neighbours::default();
    neighbours.add_pod("p", labelled(&[("tier", "db")]), Some("other"));
    for (kind, body, field) in [
        ("Service", json!({ "spec": { "selector": catching } }), "spec.selector"),
        ("Deployment", wide.clone(), "spec.selector"),
        ("Job", wide.clone(), "spec.selector"),
        ("CronJob", json!({ "spec": { "jobTemplate": wide } }), "spec.jobTemplate.spec.selector"),
        (
            "Deployment",
            deployment(&json!({ "affinity": anti })),
            "spec.template.spec.affinity.podAntiAffinity.requiredDuringSchedulingIgnoredDuringExecution[0].labelSelector",
        ),
    ] {
        let found = among(&object(kind, "a", &body), &neighbours);
        let start = format!("{kind}/a {field}: tier=db selects pods of Pod/p of tentacle other");
        assert!(found.len() == 1 && found[0].starts_with(&start), "{start}: {found:?}");
    }
    for (kind, body) in [
        ("Service", json!({ "spec": { "clusterIP": "None" } })),
        ("NetworkPolicy", json!({ "spec": {} })),
        ("Deployment", json!({ "spec": { "selector": {}, "template": {} } })),
    ] {
        let found = alone(kind, &body);
        assert!(found.len() == 1 && found[0].ends_with("(rule own-selector)"), "{kind}: {found:?}");
    }
    assert_eq!(alone("Job", &json!({ "spec": { "template": {} } })), Vec::<String>::new());
    let mut elsewhere = deployment(&json!({ "affinity": anti }));
    let path = "/spec/template/spec/affinity/podAntiAffinity/requiredDuringSchedulingIgnoredDuringExecution/0";
    elsewhere.pointer_mut(path).unwrap()["namespaceSelector"] = json!({});
    let found = alone("Deployment", &elsewhere);
    assert!(found.len() == 1 && found[0].ends_with("(rule fair-scheduling)"), "{found:?}");
}

#[test]
fn pods_fall_under_no_selector_of_another_tentacle() {
    let service = |selector: Value| object("Service", "s", &json!({ "spec": { "selector": selector } }));
    let policy = |selector: Value| object("NetworkPolicy", "n", &json!({ "spec": { "podSelector": selector } }));
    let mut pod = deployment(&json!({}));
    pod["spec"]["template"]["metadata"]["labels"]["tier"] = json!("db");
    let pod = object("Deployment", "report", &pod);
    for catching in [
        service(json!({ "tier": "db" })),
        policy(json!({ "matchExpressions": [{ "key": "tier", "operator": "In", "values": ["db"] }] })),
        object(
            "Deployment",
            "d",
            &json!({ "spec": { "selector": { "matchLabels": { "tier": "db" } }, "template": {} } }),
        ),
    ] {
        let mut neighbours = Neighbours::default();
        neighbours.add(&catching, Some("other"));
        let found = among(&pod, &neighbours);
        let expected = format!("tier=db is what {} of tentacle other selects", catching.title());
        assert!(found.len() == 1 && found[0].contains(&expected), "{expected}: {found:?}");
        assert!(found[0].starts_with("Deployment/report spec.template.metadata.labels: "), "{found:?}");
    }
    let mut harmless = Neighbours::default();
    // The enclave's own policies are for all pods, and what selects everything is no fault of who is selected.
    harmless.add(&policy(json!({})), None);
    harmless.add(&service(json!({ "tier": "db" })), None);
    harmless.add(&policy(json!({})), Some("other"));
    harmless.add(&service(json!({ "tier": "db", "app": "other" })), Some("other"));
    assert_eq!(among(&pod, &harmless), Vec::<String>::new());
    let mut disguised = deployment(&json!({}));
    disguised["spec"]["template"]["metadata"]["labels"][keys::RELEASE] = json!("other");
    let found = alone("Deployment", &disguised);
    assert!(found.len() == 1 && found[0].ends_with("(rule own-labels)"), "{found:?}");
}
