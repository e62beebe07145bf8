use serde_json::json;

use super::{
    testing::{create, object, pod, update},
    *,
};

#[test]
fn an_entry_is_known_by_its_path() {
    for entry in Entry::ALL {
        assert_eq!(Entry::of_path(entry.path()), Some(entry));
    }
    for path in ["", "/", "/admit", "validate", "/validate/", "/Protect"] {
        assert_eq!(Entry::of_path(path), None, "{path}");
    }
}

#[test]
fn what_several_families_find_is_said_at_once() {
    let mut template = pod();
    template["hostNetwork"] = json!(true);
    template["serviceAccountName"] = json!("admin");
    let metadata =
        json!({ "annotations": { "tentacular.io/mode": "777" }, "labels": { "tentacular.io/release": "report" } });
    let spec = json!({ "spec": {
        "selector": { "matchLabels": { "app": "report" } },
        "template": { "metadata": { "labels": { "app": "report" } }, "spec": template },
    } });
    let deployment = object("report", &metadata, &spec);
    create(Kind::DEPLOYMENT, deployment.clone()).refused(
        Entry::Validate,
        &[
            "tentacle-mode metadata.annotations[tentacular.io/mode]",
            "hostNamespaces spec.template.spec.hostNetwork",
            "powerless-account spec.template.spec.serviceAccountName",
        ],
    );
    let unchanged = update(Kind::DEPLOYMENT, deployment.clone(), deployment).judged(Entry::Validate);
    assert_eq!((unchanged.violations.len(), unchanged.warnings.len()), (0, 3), "{unchanged:?}");
}
