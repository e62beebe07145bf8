//! The objects of a tentacle, to be varied by the tests.

use serde_json::{Value, json};

/// The labels by which pods of a tentacle are chosen.
pub(super) fn own(tentacle: &str) -> Value {
    json!({ "app.kubernetes.io/name": tentacle })
}

/// A Deployment whose pods read `ConfigMap` `<tentacle>-code` and Secret `<tentacle>-secrets`.
pub(super) fn deployment(tentacle: &str) -> Value {
    json!({
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": { "name": tentacle },
        "spec": {
            "selector": { "matchLabels": own(tentacle) }, "strategy": { "type": "Recreate" },
            "template": { "metadata": { "labels": own(tentacle) }, "spec": {
                "automountServiceAccountToken": false, "terminationGracePeriodSeconds": 0,
                "containers": [{
                    "name": "engine", "image": "localhost/engine:1", "ports": [{ "containerPort": 8080 }],
                    "env": [{ "name": "LEVEL", "value": "info" }],
                    "envFrom": [{ "secretRef": { "name": format!("{tentacle}-secrets"), "optional": true } }],
                    "resources": { "requests": { "cpu": "10m", "memory": "16Mi" } },
                    "volumeMounts": [{ "name": "code", "mountPath": "/code" }],
                }],
                "volumes": [{
                    "name": "code", "configMap": { "name": format!("{tentacle}-code"), "optional": true },
                }],
            } },
        },
    })
}

/// The same with something to be different in its pods.
pub(super) fn with_pods(mut deployment: Value, change: impl FnOnce(&mut Value)) -> Value {
    change(&mut deployment["spec"]["template"]);
    deployment
}

pub(super) fn config_map(name: &str, data: &Value) -> Value {
    json!({ "apiVersion": "v1", "kind": "ConfigMap", "metadata": { "name": name }, "data": data })
}

pub(super) fn secret(name: &str, texts: &Value) -> Value {
    json!({ "apiVersion": "v1", "kind": "Secret", "metadata": { "name": name }, "stringData": texts })
}

pub(super) fn service(tentacle: &str) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Service", "metadata": { "name": tentacle },
        "spec": { "selector": own(tentacle), "ports": [{ "port": 8080 }] },
    })
}

pub(super) fn policy(tentacle: &str) -> Value {
    json!({
        "apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy",
        "metadata": { "name": format!("{tentacle}-netpol") },
        "spec": { "podSelector": { "matchLabels": own(tentacle) }, "policyTypes": ["Ingress"] },
    })
}

pub(super) fn volume(name: &str) -> Value {
    json!({
        "apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": { "name": name },
        "spec": { "accessModes": ["ReadWriteOnce"], "resources": { "requests": { "storage": "1Gi" } } },
    })
}

pub(super) fn job(name: &str, image: &str) -> Value {
    json!({
        "apiVersion": "batch/v1", "kind": "Job", "metadata": { "name": name },
        "spec": { "template": { "spec": {
            "restartPolicy": "Never",
            "containers": [{
                "name": "once", "image": image, "resources": { "requests": { "cpu": "10m", "memory": "16Mi" } },
            }],
        } } },
    })
}

/// Six objects: the Deployment, what its pods read, what leads to them, and a `ConfigMap` that no pod reads.
pub(super) fn six(tentacle: &str) -> Vec<Value> {
    vec![
        config_map(&format!("{tentacle}-code"), &json!({ "main.ts": "1", "old.ts": "1" })),
        config_map(&format!("{tentacle}-readme"), &json!({ "text": "1" })),
        secret(&format!("{tentacle}-secrets"), &json!({ "token": "hunter2", "old": "swordfish" })),
        policy(tentacle),
        service(tentacle),
        deployment(tentacle),
    ]
}

/// One of the manifests, by its kind and the end of its name.
pub(super) fn of<'a>(manifests: &'a mut [Value], kind: &str, end: &str) -> &'a mut Value {
    let is_it = |manifest: &&mut Value| {
        manifest["kind"] == kind && manifest["metadata"]["name"].as_str().is_some_and(|name| name.ends_with(end))
    };
    manifests.iter_mut().find(is_it).unwrap()
}
