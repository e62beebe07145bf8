//! What of a manifest Kubernetes knows. Each is read as its type and written again: what got lost on the way is
//! unknown. Server-side apply would refuse the whole object for it, so it is dropped and named.

use std::fmt::Write;

use base64::{Engine, engine::general_purpose::STANDARD};
use k8s_openapi::api::{
    apps::v1::Deployment,
    batch::v1::{CronJob, Job},
    core::v1::{ConfigMap, PersistentVolumeClaim, Secret, Service},
    networking::v1::{Ingress, NetworkPolicy},
};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::{Map, Value};
use tentacular_cluster::Kind;

/// Members of an object's metadata that a manifest may decide; the others Kubernetes sets. Of these, the rules refuse
/// owners and finalizers, which are no oversight of a client that sends what it read.
const METADATA: [&str; 6] = ["name", "namespace", "labels", "annotations", "ownerReferences", "finalizers"];

/// Characters of a path that are told.
const PATH: usize = 200;

/// A manifest reduced to what can be applied.
#[derive(Debug, PartialEq)]
pub(crate) struct Typed {
    pub(crate) body: Value,
    /// What was left out, one sentence each.
    pub(crate) dropped: Vec<String>,
}

/// A member that is not of the type it must have.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("{path}: {problem}")]
pub(crate) struct Mistyped {
    path: String,
    problem: String,
}

/// Reads `manifest` as an object of `kind`.
pub(crate) fn read(kind: Kind, manifest: Map<String, Value>) -> Result<Typed, Mistyped> {
    let manifest = Value::Object(manifest);
    let known = match kind {
        Kind::ConfigMap => there_and_back::<ConfigMap>(&manifest),
        Kind::Secret => there_and_back::<Secret>(&manifest).map_err(Mistyped::without_values),
        Kind::PersistentVolumeClaim => there_and_back::<PersistentVolumeClaim>(&manifest),
        Kind::NetworkPolicy => there_and_back::<NetworkPolicy>(&manifest),
        Kind::Service => there_and_back::<Service>(&manifest),
        Kind::Deployment => there_and_back::<Deployment>(&manifest),
        Kind::Job => there_and_back::<Job>(&manifest),
        Kind::CronJob => there_and_back::<CronJob>(&manifest),
        Kind::Ingress => there_and_back::<Ingress>(&manifest),
    }?;
    let mut unknown = Vec::new();
    let mut body = known_part(manifest, &known, "", &mut unknown);
    let mut dropped: Vec<_> = unknown
        .into_iter()
        .map(|path| format!("{} is no field that Kubernetes knows; it was left out", shown(&path)))
        .collect();
    leave_to_kubernetes(&mut body, &mut dropped);
    if kind == Kind::Secret {
        encode_string_data(&mut body);
    }
    Ok(Typed { body, dropped })
}

/// As much of a path as is told: keys are whatever the caller sent.
fn shown(path: &str) -> String {
    match path.char_indices().nth(PATH) {
        Some((end, _)) => format!("{}…", &path[..end]),
        None => path.to_owned(),
    }
}

fn there_and_back<K: DeserializeOwned + Serialize>(manifest: &Value) -> Result<Value, Mistyped> {
    let object: K = serde_path_to_error::deserialize(manifest).map_err(|error| {
        let path = error.path().to_string();
        Mistyped { path, problem: error.into_inner().to_string() }
    })?;
    serde_json::to_value(object).map_err(|error| Mistyped { path: ".".to_owned(), problem: error.to_string() })
}

impl Mistyped {
    /// A message of serde quotes what it found, which in a Secret is nobody's to read.
    fn without_values(self) -> Self {
        Self {
            problem: "is not of the type that it must have there (data is base64, stringData is text)".into(),
            ..self
        }
    }
}

/// The part of `manifest` that is in `known` too. The values stay as they were written. A member that is `null` says
/// nothing and is left out silently.
fn known_part(manifest: Value, known: &Value, path: &str, unknown: &mut Vec<String>) -> Value {
    match (manifest, known) {
        (Value::Object(members), Value::Object(known)) => {
            let mut kept = Map::new();
            for (key, value) in members {
                if value.is_null() {
                    continue;
                }
                let path = member(path, &key);
                match known.get(&key) {
                    Some(known) => drop(kept.insert(key, known_part(value, known, &path, unknown))),
                    None => unknown.push(path),
                }
            }
            Value::Object(kept)
        }
        (Value::Array(items), Value::Array(known)) => {
            let kept = items.into_iter().zip(known).enumerate();
            kept.map(|(index, (item, known))| known_part(item, known, &format!("{path}[{index}]"), unknown)).collect()
        }
        (value, _) => value,
    }
}

/// A path to a member, such as `spec.template["app.kubernetes.io/version"]`.
pub(crate) fn member(path: &str, key: &str) -> String {
    let mut full = path.to_owned();
    let plain = !key.is_empty() && key.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
    // Writing to a String cannot fail.
    let _ = match (plain, path.is_empty()) {
        (true, true) => write!(full, "{key}"),
        (true, false) => write!(full, ".{key}"),
        (false, _) => write!(full, "[{key:?}]"),
    };
    full
}

fn leave_to_kubernetes(body: &mut Value, dropped: &mut Vec<String>) {
    let Some(body) = body.as_object_mut() else { return };
    let mut leave = |path: &str| dropped.push(format!("{path} is set by Kubernetes alone; it was left out"));
    if body.remove("status").is_some() {
        leave("status");
    }
    if let Some(metadata) = body.get_mut("metadata").and_then(Value::as_object_mut) {
        metadata.retain(|key, _| {
            let ours = METADATA.contains(&key.as_str());
            if !ours {
                leave(&member("metadata", key));
            }
            ours
        });
    }
}

/// Turns `stringData` into `data`: it is write-only, so server-side apply would leave keys behind that a later
/// manifest drops.
fn encode_string_data(body: &mut Value) {
    let Some(body) = body.as_object_mut() else { return };
    let Some(Value::Object(texts)) = body.remove("stringData") else { return };
    let data = body.entry("data").or_insert_with(|| Value::Object(Map::new()));
    let Some(data) = data.as_object_mut() else { return };
    for (key, text) in texts {
        let encoded = STANDARD.encode(text.as_str().unwrap_or_default());
        data.insert(key, encoded.into());
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn of(kind: Kind, mut manifest: Value) -> Result<Typed, Mistyped> {
        manifest["apiVersion"] = kind.api_version().into();
        manifest["kind"] = kind.as_str().into();
        match manifest {
            Value::Object(manifest) => read(kind, manifest),
            _ => unreachable!(),
        }
    }

    #[test]
    fn an_unknown_member_is_left_out_and_named_with_its_path() {
        let typed = of(
            Kind::Deployment,
            json!({
                "metadata": { "name": "a" },
                "spec": {
                    "selector": { "matchLabels": { "any.key/x": "1" } },
                    "template": {
                        "app.kubernetes.io/version": "2.1",
                        "spec": { "containers": [{ "name": "c", "image": "i", "imagePulPolicy": "Always" }] },
                    },
                    "replicas": null,
                },
            }),
        )
        .unwrap();
        assert_eq!(
            typed.dropped,
            [
                "spec.template[\"app.kubernetes.io/version\"] is no field that Kubernetes knows; it was left out",
                "spec.template.spec.containers[0].imagePulPolicy is no field that Kubernetes knows; it was left out",
            ]
        );
        assert_eq!(
            typed.body["spec"],
            json!({
                "selector": { "matchLabels": { "any.key/x": "1" } },
                "template": { "spec": { "containers": [{ "name": "c", "image": "i" }] } },
            })
        );
    }

    #[test]
    fn values_stay_as_they_were_written() {
        let spec = json!({
            "resources": { "requests": { "storage": 1_048_576 } }, "accessModes": [], "volumeName": "",
        });
        let typed =
            of(Kind::PersistentVolumeClaim, json!({ "metadata": { "name": "a" }, "spec": spec.clone() })).unwrap();
        assert_eq!((typed.body["spec"].clone(), typed.dropped), (spec, vec![]));
    }

    #[test]
    fn a_member_of_the_wrong_type_is_named() {
        let error = of(Kind::Service, json!({ "spec": { "ports": [{ "port": "http" }] } })).unwrap_err().to_string();
        assert!(error.starts_with("spec.ports[0].port: invalid type"), "{error}");
    }

    #[test]
    fn what_kubernetes_sets_is_left_out() {
        let typed = of(
            Kind::ConfigMap,
            json!({
                "metadata": {
                    "name": "a", "uid": "u", "resourceVersion": "1", "creationTimestamp": null,
                    "generation": 2, "selfLink": "/x",
                },
                "data": { "k": "v" },
            }),
        )
        .unwrap();
        assert_eq!(typed.body["metadata"], json!({ "name": "a" }));
        assert_eq!(typed.dropped.len(), 4, "{:?}", typed.dropped);
        let typed =
            of(Kind::Service, json!({ "metadata": { "name": "a" }, "status": { "loadBalancer": {} } })).unwrap();
        assert_eq!(typed.dropped, ["status is set by Kubernetes alone; it was left out"]);
    }

    #[test]
    fn string_data_becomes_data() {
        let typed = of(
            Kind::Secret,
            json!({ "metadata": { "name": "a" }, "data": { "k": "b2xk", "l": "bA==" }, "stringData": { "k": "new" } }),
        )
        .unwrap();
        assert_eq!(typed.body["data"], json!({ "k": "bmV3", "l": "bA==" }));
        assert_eq!((typed.body.get("stringData"), typed.dropped), (None, vec![]));
    }

    #[test]
    fn an_error_never_quotes_a_secret() {
        for manifest in [
            json!({ "data": { "token": "not base64: hunter2" } }),
            json!({ "stringData": { "token": ["hunter2"] } }),
            json!({ "stringData": "hunter2" }),
        ] {
            let error = of(Kind::Secret, manifest).unwrap_err().to_string();
            assert!(!error.contains("hunter2") && error.contains("ata"), "{error}");
        }
    }
}
