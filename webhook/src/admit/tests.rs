use serde_json::json;

use super::{
    testing::{Rules, create, delete, object, pod, update},
    *,
};

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
        Rules::All,
        &[
            "protected-metadata metadata.annotations[tentacular.io/mode]",
            "protected-metadata metadata.labels[tentacular.io/release]",
            "tentacle-mode metadata.annotations[tentacular.io/mode]",
            "hostNamespaces spec.template.spec.hostNetwork",
            "powerless-account spec.template.spec.serviceAccountName",
        ],
    );
    let unchanged = update(Kind::DEPLOYMENT, deployment.clone(), deployment).judged(Rules::All);
    assert_eq!((unchanged.violations.len(), unchanged.warnings.len()), (0, 3), "{unchanged:?}");
}

#[test]
fn of_what_the_server_writes_unasked_protection_alone_speaks() {
    let (old, new) =
        (object("report", &json!({}), &json!({ "spec": pod() })), object("report", &json!({}), &json!({})));
    for kind in Kind::ALL {
        delete(*kind, old.clone()).allowed(Rules::Validate);
        for part in ["scale", "resize"] {
            update(*kind, old.clone(), new.clone()).through(part).allowed(Rules::Validate);
        }
    }
    for kind in
        [Kind::SERVICE_ACCOUNT, Kind::RESOURCE_QUOTA, Kind::LIMIT_RANGE, Kind::ROLE_BINDING, Kind::POD_AUTOSCALER]
    {
        let released = object("report", &json!({ "labels": { "tentacular.io/release": "No Name" } }), &json!({}));
        create(kind, released.clone()).allowed(Rules::Validate);
        update(kind, old.clone(), released).allowed(Rules::Validate);
    }
}
