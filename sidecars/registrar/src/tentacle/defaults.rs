//! What Pod Security (restricted) demands of a pod, added where the manifest says nothing. What it does say stays.

use serde_json::{Map, Value, json};

use super::manifest::object_at;

/// Name of the volume that is added where a container has nowhere to write.
const TMP: &str = "tmp";

/// Adds the defaults to a pod's spec.
pub(crate) fn harden(spec: &mut Value) {
    if let Some(security) = object_at(spec, "securityContext") {
        set_default(security, "runAsNonRoot", true);
        seccomp(security);
    }
    let mut needs_tmp = false;
    for list in ["initContainers", "containers"] {
        for container in spec.get_mut(list).and_then(Value::as_array_mut).into_iter().flatten() {
            needs_tmp |= harden_container(container);
        }
    }
    if needs_tmp {
        add_tmp(spec);
    }
}

/// Returns whether the volume [`TMP`] was mounted.
fn harden_container(container: &mut Value) -> bool {
    let Some(security) = object_at(container, "securityContext") else { return false };
    set_default(security, "allowPrivilegeEscalation", false);
    set_default(security, "readOnlyRootFilesystem", true);
    set_default(security, "runAsNonRoot", true);
    seccomp(security);
    let read_only = security.get("readOnlyRootFilesystem") == Some(&Value::Bool(true));
    let capabilities = security.entry("capabilities").or_insert(Value::Null);
    if capabilities.is_null() {
        *capabilities = json!({});
    }
    if let Some(capabilities) = capabilities.as_object_mut() {
        set_default(capabilities, "drop", json!(["ALL"]));
    }
    read_only && mount_tmp(container)
}

fn set_default(object: &mut Map<String, Value>, key: &str, default: impl Into<Value>) {
    let member = object.entry(key).or_insert(Value::Null);
    if member.is_null() {
        *member = default.into();
    }
}

fn seccomp(security: &mut Map<String, Value>) {
    set_default(security, "seccompProfile", json!({ "type": "RuntimeDefault" }));
}

fn mount_tmp(container: &mut Value) -> bool {
    let Some(container) = container.as_object_mut() else { return false };
    set_default(container, "volumeMounts", json!([]));
    let Some(mounts) = container.get_mut("volumeMounts").and_then(Value::as_array_mut) else { return false };
    let is_tmp = |mount: &Value| {
        let path = mount.get("mountPath").and_then(Value::as_str).unwrap_or_default();
        path.trim_end_matches('/') == "/tmp"
    };
    if mounts.iter().any(is_tmp) {
        return false;
    }
    mounts.push(json!({ "name": TMP, "mountPath": "/tmp" }));
    true
}

fn add_tmp(spec: &mut Value) {
    let Some(spec) = spec.as_object_mut() else { return };
    set_default(spec, "volumes", json!([]));
    let Some(volumes) = spec.get_mut("volumes").and_then(Value::as_array_mut) else { return };
    if !volumes.iter().any(|volume| volume.get("name").and_then(Value::as_str) == Some(TMP)) {
        volumes.push(json!({ "name": TMP, "emptyDir": {} }));
    }
}

#[cfg(test)]
mod tests {
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
}
