use serde_json::json;

use super::{
    testing::{Rules, create, delete, object, pod, update},
    *,
};

#[test]
fn a_caller_is_known_by_the_path() {
    for caller in Caller::ALL {
        assert_eq!(Caller::of_path(caller.path()), Some(caller));
    }
    for path in ["", "/", "/admit", "trusted", "/trusted/", "/Ordinary"] {
        assert_eq!(Caller::of_path(path), None, "{path}");
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
fn what_others_might_write_is_forbidden_and_what_nobody_may_is_invalid() {
    let annotated =
        |mode: &str| object("report", &json!({ "annotations": { "tentacular.io/mode": mode } }), &json!({}));
    for (mode, rules, forbidden) in [
        ("rwxrwx---", Rules::All, Some(true)),
        ("777", Rules::All, Some(true)),
        ("777", Rules::Validate, Some(false)),
        ("rwxrwx---", Rules::Validate, None),
    ] {
        let verdict = create(Kind::NAMESPACE, annotated(mode)).judged(rules);
        let told = (!verdict.violations.is_empty()).then_some(verdict.forbidden);
        assert_eq!(told, forbidden, "{mode} {rules:?}: {verdict:?}");
    }
}

#[test]
fn of_what_the_trusted_are_not_asked_about_protection_alone_speaks() {
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
