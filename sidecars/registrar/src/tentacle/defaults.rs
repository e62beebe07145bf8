//! What Pod Security (restricted) demands of a pod, added where the manifest says nothing. What it does say stays.

use serde_json::{Map, Value, json};

use super::manifest::object_at;

/// Name of the volume that is added where a container has nowhere to write.
const TMP: &str = "tmp";

/// Adds the defaults to a pod's spec.
pub(crate) fn harden(spec: &mut Value) {
    // Kubernetes takes no pod for Windows with a field that means something on Linux alone.
    let linux = spec.pointer("/os/name").and_then(Value::as_str) != Some("windows");
    let mut shared = vec![("runAsNonRoot", json!(true))];
    if linux {
        shared.push(("seccompProfile", json!({ "type": "RuntimeDefault" })));
    }
    if let Some(security) = object_at(spec, "securityContext") {
        for (key, default) in &shared {
            set_default(security, key, default.clone());
        }
        // What the pod says instead is meant for its containers too.
        shared.retain(|(key, default)| security.get(*key) == Some(default));
    }
    let mut needs_tmp = false;
    for list in ["initContainers", "containers"] {
        for container in spec.get_mut(list).and_then(Value::as_array_mut).into_iter().flatten() {
            let Some(security) = object_at(container, "securityContext") else { continue };
            for (key, default) in &shared {
                set_default(security, key, default.clone());
            }
            needs_tmp |= linux && confine(security) && mount_tmp(container);
        }
    }
    if needs_tmp {
        add_tmp(spec);
    }
    name_sources(spec);
}

/// Adds what a container has for itself. Returns whether its root is read-only.
fn confine(security: &mut Map<String, Value>) -> bool {
    set_default(security, "allowPrivilegeEscalation", false);
    set_default(security, "readOnlyRootFilesystem", true);
    set_default(security, "capabilities", json!({}));
    if let Some(capabilities) = security.get_mut("capabilities").and_then(Value::as_object_mut) {
        set_default(capabilities, "drop", json!(["ALL"]));
    }
    security.get("readOnlyRootFilesystem") == Some(&Value::Bool(true))
}

/// To Kubernetes a volume that does not say where it comes from is an empty folder. It is said here, since server-side
/// apply removes only what an earlier apply said, and a volume comes from one place alone.
fn name_sources(spec: &mut Value) {
    let volumes = spec.get_mut("volumes").and_then(Value::as_array_mut);
    for volume in volumes.into_iter().flatten().filter_map(Value::as_object_mut) {
        if volume.keys().all(|key| key == "name") {
            volume.insert("emptyDir".to_owned(), json!({}));
        }
    }
}

fn set_default(object: &mut Map<String, Value>, key: &str, default: impl Into<Value>) {
    let member = object.entry(key).or_insert(Value::Null);
    if member.is_null() {
        *member = default.into();
    }
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
mod tests;
