use k8s_openapi::api::core::v1::PodSpec;
use proptest::prelude::*;
use tentacular_contract::pod_security::{Level, Standard, Version};

use super::*;

fn hardened(mut spec: Value) -> Value {
    harden(&mut spec);
    spec
}

#[test]
fn a_bare_pod_becomes_a_restricted_one() {
    let security = json!({
        "allowPrivilegeEscalation": false, "readOnlyRootFilesystem": true, "runAsNonRoot": true,
        "seccompProfile": { "type": "RuntimeDefault" }, "capabilities": { "drop": ["ALL"] },
    });
    let mount = json!([{ "name": "tmp", "mountPath": "/tmp" }]);
    assert_eq!(
        hardened(json!({ "initContainers": [{ "name": "i" }], "containers": [{ "name": "c" }] })),
        json!({
            "securityContext": { "runAsNonRoot": true, "seccompProfile": { "type": "RuntimeDefault" } },
            "initContainers": [{ "name": "i", "securityContext": security, "volumeMounts": mount }],
            "containers": [{ "name": "c", "securityContext": security, "volumeMounts": mount }],
            "volumes": [{ "name": "tmp", "emptyDir": {} }],
        })
    );
}

#[test]
fn what_the_manifest_says_stays() {
    let spec = json!({
        "securityContext": {
            "runAsNonRoot": false, "seccompProfile": { "type": "Localhost", "localhostProfile": "p" },
        },
        "containers": [{
            "name": "c",
            "securityContext": {
                "allowPrivilegeEscalation": true, "readOnlyRootFilesystem": false, "runAsNonRoot": false,
                "seccompProfile": { "type": "Unconfined" }, "capabilities": { "drop": ["NET_RAW"], "add": ["X"] },
            },
        }],
    });
    assert_eq!(hardened(spec.clone()), spec);
}

#[test]
fn a_mount_at_tmp_needs_no_volume_of_ours() {
    let spec = hardened(json!({
        "containers": [{ "name": "c", "volumeMounts": [{ "name": "tmp-c", "mountPath": "/tmp/" }] }],
        "volumes": [{ "name": "tmp-c", "emptyDir": {} }],
    }));
    assert_eq!(spec["volumes"].as_array().unwrap().len(), 1);
    assert_eq!(spec["containers"][0]["volumeMounts"].as_array().unwrap().len(), 1);
}

#[test]
fn a_volume_of_that_name_is_used_and_not_doubled() {
    let spec = hardened(json!({
        "containers": [{ "name": "c" }],
        "volumes": [{ "name": "tmp", "emptyDir": { "sizeLimit": "512Mi" } }],
    }));
    assert_eq!(spec["volumes"], json!([{ "name": "tmp", "emptyDir": { "sizeLimit": "512Mi" } }]));
}

#[test]
fn what_the_pod_says_holds_for_its_containers() {
    let spec = hardened(json!({
        "securityContext": {
            "runAsNonRoot": false, "seccompProfile": { "type": "Localhost", "localhostProfile": "p" },
        },
        "containers": [{ "name": "c" }],
    }));
    let security = spec["containers"][0]["securityContext"].as_object().unwrap();
    assert_eq!((security.get("runAsNonRoot"), security.get("seccompProfile")), (None, None));
    assert_eq!(security["allowPrivilegeEscalation"], false);
}

#[test]
fn a_pod_for_windows_gets_nothing_that_it_may_not_have() {
    assert_eq!(
        hardened(json!({ "os": { "name": "windows" }, "containers": [{ "name": "c" }] })),
        json!({
            "os": { "name": "windows" },
            "securityContext": { "runAsNonRoot": true },
            "containers": [{ "name": "c", "securityContext": { "runAsNonRoot": true } }],
        })
    );
}

#[test]
fn a_volume_without_source_is_an_empty_folder() {
    let spec = hardened(json!({ "containers": [], "volumes": [{ "name": "v" }, { "name": "s", "secret": {} }] }));
    assert_eq!(spec["volumes"], json!([{ "name": "v", "emptyDir": {} }, { "name": "s", "secret": {} }]));
}

/// One of `values`, or nothing.
fn any_of<const N: usize>(values: [Value; N]) -> impl Strategy<Value = Option<Value>> {
    prop::option::of(prop::sample::select(Vec::from(values)))
}

/// An object of the members that are there.
fn object<const N: usize>(members: [(&str, Option<Value>); N]) -> Value {
    members.into_iter().filter_map(|(key, value)| Some((key.to_owned(), value?))).collect::<Map<_, _>>().into()
}

prop_compose! {
    /// What a container may say without breaking a rule, and without satisfying one that it has to.
    fn container()(
        ports in any_of([json!([]), json!([{ "containerPort": 80 }])]),
        mounts in any_of([
            json!(null), json!([]), json!([{ "name": "v", "mountPath": "/tmp" }]), json!([{ "name": "v", "mountPath": "/v" }]),
        ]),
        probe in any_of([json!({ "httpGet": { "port": 80 } }), json!({ "tcpSocket": { "port": 80, "host": "" } })]),
        read_only in any_of([json!(null), json!(true), json!(false)]),
        user in any_of([json!(null), json!(1000)]),
        non_root in any_of([json!(null), json!(true)]),
        profile in any_of([json!(null), json!({ "type": "Localhost", "localhostProfile": "p" })]),
        capabilities in any_of([
            json!(null), json!({}), json!({ "drop": null }), json!({ "add": ["NET_BIND_SERVICE"] }),
            json!({ "drop": ["NET_RAW", "ALL"] }),
        ]),
        security in 0..3,
    ) -> Value {
        let context = object([
            ("readOnlyRootFilesystem", read_only), ("runAsUser", user), ("runAsNonRoot", non_root),
            ("seccompProfile", profile), ("capabilities", capabilities),
        ]);
        let security = match security { 0 => None, 1 => Some(json!(null)), _ => Some(context) };
        object([
            ("name", Some(json!("c"))), ("ports", ports), ("volumeMounts", mounts), ("livenessProbe", probe),
            ("securityContext", security),
        ])
    }
}

prop_compose! {
    fn pod()(
        os in any_of([json!(null), json!({ "name": "linux" }), json!({ "name": "windows" })]),
        security in any_of([
            json!(null), json!({}), json!({ "fsGroup": 1000, "runAsUser": 1 }), json!({ "runAsNonRoot": true }),
            json!({ "seccompProfile": { "type": "Localhost", "localhostProfile": "p" } }),
            json!({ "seccompProfile": null, "runAsNonRoot": null }),
        ]),
        volumes in any_of([
            json!(null), json!([]), json!([{ "name": "v" }]), json!([{ "name": "tmp", "emptyDir": {} }]),
            json!([{ "name": "v", "configMap": { "name": "v" } }, { "name": "tmp" }]),
        ]),
        network in any_of([json!(false)]),
        init in prop::option::of(prop::collection::vec(container(), 0..3)),
        containers in prop::collection::vec(container(), 1..4),
    ) -> Value {
        object([
            ("os", os), ("securityContext", security), ("volumes", volumes), ("hostNetwork", network),
            ("initContainers", init.map(Value::from)), ("containers", Some(containers.into())),
        ])
    }
}

/// Whether all that `before` says is in `after`.
fn is_kept(before: &Value, after: &Value) -> bool {
    match (before, after) {
        (Value::Null, _) => true,
        (Value::Object(before), Value::Object(after)) => {
            before.iter().all(|(key, value)| value.is_null() || after.get(key).is_some_and(|now| is_kept(value, now)))
        }
        (Value::Array(before), Value::Array(after)) => {
            before.len() <= after.len() && before.iter().zip(after).all(|(before, after)| is_kept(before, after))
        }
        (before, after) => before == after,
    }
}

proptest! {
    #[test]
    fn a_hardened_pod_that_asks_for_nothing_is_restricted(spec in pod()) {
        let hardened = hardened(spec.clone());
        prop_assert!(is_kept(&spec, &hardened), "{hardened}");
        let pod: PodSpec = serde_json::from_value(hardened.clone()).unwrap();
        let standard = Standard { level: Level::Restricted, version: Version::NEWEST };
        prop_assert_eq!(standard.violations("", None, &pod), []);
        prop_assert_eq!(self::hardened(hardened.clone()), hardened);
    }
}
