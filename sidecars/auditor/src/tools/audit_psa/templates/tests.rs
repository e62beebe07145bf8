use serde_json::{Value, from_value, json};

use super::*;

/// A pod template that `restricted` allows, changed by `with`.
fn template(with: impl FnOnce(&mut Value)) -> Value {
    let mut template = json!({
        "metadata": { "labels": { "app": "x" } },
        "spec": {
            "securityContext": { "runAsNonRoot": true, "seccompProfile": { "type": "RuntimeDefault" } },
            "containers": [{
                "name": "engine",
                "securityContext": { "allowPrivilegeEscalation": false, "capabilities": { "drop": ["ALL"] } },
            }],
        },
    });
    with(&mut template);
    template
}

fn root(template: &mut Value) {
    template["spec"]["securityContext"]["runAsUser"] = json!(0);
}

fn object(kind: &str, spec: &Value, more: &Value) -> Value {
    let mut metadata = json!({ "name": "x", "generation": 7 });
    metadata.as_object_mut().expect("an object").extend(more["metadata"].as_object().cloned().unwrap_or_default());
    json!({ "kind": kind, "metadata": metadata, "spec": spec, "status": more["status"] })
}

fn maker(kind: &str, spec: &Value, more: &Value) -> Maker {
    let object = object(kind, spec, more);
    match kind {
        "Deployment" => from_value(object).map(Maker::Deployment),
        "ReplicaSet" => from_value(object).map(Maker::ReplicaSet),
        "Job" => from_value(object).map(Maker::Job),
        "CronJob" => from_value(object).map(Maker::CronJob),
        _ => from_value(object).map(Maker::Pod),
    }
    .expect("an object")
}

const SERVER: Version = Version::v1(34);

fn findings(maker: &Maker, enforced: Level) -> Vec<Finding> {
    held(maker, Standard { level: enforced, version: SERVER })
}

fn held(maker: &Maker, enforced: Standard) -> Vec<Finding> {
    maker.template().map(|template| template.findings("team-a", enforced, SERVER)).unwrap_or_default()
}

fn controlled_by(kind: &str) -> Value {
    json!({ "metadata": { "ownerReferences": [
        { "apiVersion": "v1", "kind": kind, "name": "o", "uid": "u", "controller": true },
    ] } })
}

#[test]
fn what_runs_is_judged_and_what_does_not_is_not() {
    let bad = template(root);
    let set = json!({ "selector": {}, "template": bad });
    let of = |spec: &Value, more: Value| {
        let mut spec = spec.clone();
        spec.as_object_mut().expect("an object").extend(more.as_object().expect("an object").clone());
        spec
    };
    let cron = json!({ "schedule": "@daily", "jobTemplate": { "spec": { "template": bad } } });
    let nothing = json!({});
    for (kind, spec, more, runs) in [
        ("Deployment", set.clone(), nothing.clone(), true),
        ("Deployment", of(&set, json!({ "replicas": 0 })), nothing.clone(), false),
        ("ReplicaSet", set.clone(), nothing.clone(), true),
        ("ReplicaSet", of(&set, json!({ "replicas": 0 })), nothing.clone(), false),
        ("ReplicaSet", set.clone(), controlled_by("Deployment"), false),
        ("Job", json!({ "template": bad }), nothing.clone(), true),
        ("Job", json!({ "template": bad, "suspend": true }), nothing.clone(), false),
        ("Job", json!({ "template": bad }), controlled_by("CronJob"), false),
        (
            "Job",
            json!({ "template": bad }),
            json!({ "status": { "conditions": [{ "type": "Complete", "status": "True" }] } }),
            false,
        ),
        ("CronJob", cron.clone(), nothing.clone(), true),
        ("CronJob", of(&cron, json!({ "suspend": true })), nothing.clone(), false),
        ("Pod", bad["spec"].clone(), nothing.clone(), true),
        ("Pod", bad["spec"].clone(), controlled_by("StatefulSet"), true),
        ("Pod", bad["spec"].clone(), controlled_by("ReplicaSet"), false),
        ("Pod", bad["spec"].clone(), controlled_by("Job"), false),
        ("Pod", bad["spec"].clone(), json!({ "status": { "phase": "Succeeded" } }), false),
    ] {
        let found = findings(&maker(kind, &spec, &more), Level::Restricted);
        assert_eq!(found.len(), usize::from(runs), "{kind} {spec} {more}");
        let Some(finding) = found.first() else { continue };
        assert!(finding.field.ends_with("spec.securityContext.runAsUser"), "{finding:?}");
        let prefix = match kind {
            "CronJob" => "spec.jobTemplate.spec.template.spec.",
            "Pod" => "spec.securityContext.",
            _ => "spec.template.spec.",
        };
        assert!(finding.field.starts_with(prefix), "{finding:?}");
    }
}

#[test]
fn a_violation_is_worse_where_baseline_has_it_too() {
    let judged = |with: fn(&mut Value), enforced| {
        let spec = json!({ "selector": {}, "template": template(with) });
        let found = findings(&maker("Deployment", &spec, &json!({})), enforced);
        found.into_iter().map(|finding| (finding.severity, finding.message)).collect::<Vec<_>>()
    };
    assert_eq!(judged(|_| {}, Level::Restricted), []);
    let found = judged(root, Level::Restricted);
    assert!(found[0].0 == Severity::Medium && found[0].1.ends_with("refuses such pods here"), "{found:?}");
    let found = judged(root, Level::Baseline);
    assert!(found[0].1.ends_with("so such pods run"), "{found:?}");
    let adds = |template: &mut Value| {
        template["spec"]["containers"][0]["securityContext"]["capabilities"]["add"] = json!(["SYS_ADMIN"]);
    };
    let found = judged(adds, Level::Baseline);
    assert!(found[0].0 == Severity::High && found[0].1.ends_with("refuses such pods here"), "{found:?}");
}

#[test]
fn what_only_an_older_version_forbids_is_found_where_that_is_enforced() {
    let safe_by_now = |template: &mut Value| {
        template["spec"]["securityContext"]["sysctls"] = json!([{ "name": "net.ipv4.tcp_rmem", "value": "1" }]);
    };
    let maker = maker("Deployment", &json!({ "selector": {}, "template": template(safe_by_now) }), &json!({}));
    let pinned = |minor| held(&maker, Standard { level: Level::Baseline, version: Version::v1(minor) });
    assert_eq!(pinned(32), []);
    let found = pinned(31);
    assert_eq!(found.len(), 1, "{found:?}");
    assert!(
        found[0].message.contains("baseline:v1.31 (rule sysctls); the API server refuses such pods here"),
        "{found:?}"
    );
}

#[test]
fn what_an_older_version_does_not_forbid_runs_where_that_is_enforced() {
    let maker = maker("Deployment", &json!({ "selector": {}, "template": template(root) }), &json!({}));
    let message = |minor| {
        let found = held(&maker, Standard { level: Level::Restricted, version: Version::v1(minor) });
        found[0].message.clone()
    };
    assert!(message(22).ends_with("so such pods run"), "{}", message(22));
    assert!(message(23).ends_with("refuses such pods here"), "{}", message(23));
}

#[test]
fn what_cannot_be_changed_is_stopped() {
    let job = maker("Job", &json!({ "template": template(root) }), &json!({}));
    assert_eq!(findings(&job, Level::Restricted)[0].remedy.patch, json!({ "spec": { "suspend": true } }));
    let pod = maker("Pod", &template(root)["spec"], &json!({}));
    assert_eq!(findings(&pod, Level::Restricted)[0].remedy.method, Method::Delete);
}

/// The table of pods at the boundaries of each rule, that the rules themselves are held to.
#[expect(dead_code, reason = "a test on the API server uses the rest of it")]
#[path = "../../../../../../kernel/contract/src/pod_security/cases.rs"]
mod cases;

#[test]
fn every_violation_of_the_table_is_mended_by_its_patch() {
    let mut mended = BTreeSet::new();
    for case in cases::cases() {
        let template = json!({ "metadata": case.pod["metadata"], "spec": case.pod["spec"] });
        let spec = json!({ "selector": {}, "template": template });
        let found = findings(&maker("Deployment", &spec, &json!({})), Level::Restricted);
        assert_eq!(found.len(), case.expected("restricted").len(), "{}", case.title());
        let Some(finding) = found.first() else { continue };
        let mut object = json_of(&from_value::<Deployment>(object("Deployment", &spec, &json!({}))).expect("one"));
        for operation in finding.remedy.patch.as_array().expect("operations") {
            apply(&mut object, operation);
        }
        let after = Maker::Deployment(from_value(object).expect("a Deployment"));
        assert_eq!(findings(&after, Level::Restricted), [], "{}", case.title());
        mended.extend(case.expected("restricted").into_iter().map(|text| text.split(':').next().map(str::to_owned)));
    }
    assert!(mended.len() >= 15, "{mended:?}");
}

/// Applies one operation of a JSON patch (RFC 6902).
fn apply(object: &mut Value, operation: &Value) {
    let path = operation["path"].as_str().expect("a path");
    let (parent, last) = path.rsplit_once('/').expect("a pointer");
    let last = last.replace("~1", "/").replace("~0", "~");
    match operation["op"].as_str().expect("an operation") {
        "test" => assert_eq!(object.pointer(path), Some(&operation["value"]), "{operation}"),
        "replace" => *object.pointer_mut(path).expect(path) = operation["value"].clone(),
        "add" => object.pointer_mut(parent).expect(path)[last.as_str()] = operation["value"].clone(),
        _ => match object.pointer_mut(parent).expect(path) {
            Value::Array(items) => drop(items.remove(last.parse().expect("an index"))),
            Value::Object(members) => drop(members.remove(&last).expect(path)),
            _ => panic!("{operation}"),
        },
    }
}
