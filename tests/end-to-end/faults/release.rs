//! A tentacle of six objects, each of which says which version it is.

use serde_json::{Value, json};

/// The label by which each object of a release says its version.
pub(super) const VERSION: &str = "app.kubernetes.io/version";

/// The six objects of a release. `pods` is 0 for a tentacle whose pods are of no interest.
pub(super) fn six(tentacle: &str, version: usize, pods: u32) -> Vec<Value> {
    let text = version.to_string();
    let metadata = |name: &str| json!({ "name": name, "labels": { VERSION: text } });
    let own = json!({ "app.kubernetes.io/name": tentacle });
    let data = json!({ "of": text });
    vec![
        json!({
            "apiVersion": "apps/v1", "kind": "Deployment", "metadata": metadata(tentacle),
            "spec": {
                "replicas": pods, "selector": { "matchLabels": own }, "strategy": { "type": "Recreate" },
                "template": { "metadata": { "labels": own }, "spec": pod(tentacle, &text) },
            },
        }),
        json!({
            "apiVersion": "v1", "kind": "Service", "metadata": metadata(tentacle),
            "spec": { "selector": own, "ports": [{ "name": format!("v{text}"), "port": 8080 }] },
        }),
        json!({
            "apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy", "metadata": metadata(tentacle),
            "spec": {
                "podSelector": { "matchLabels": own }, "policyTypes": ["Ingress"],
                "ingress": [{ "ports": [{ "port": 8000 + version % 1000, "protocol": "TCP" }] }],
            },
        }),
        json!({
            "apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata(&format!("{tentacle}-code")), "data": data,
        }),
        json!({
            "apiVersion": "v1", "kind": "Secret", "metadata": metadata(&format!("{tentacle}-secrets")),
            "stringData": data,
        }),
        json!({
            "apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata(&format!("{tentacle}-metadata")),
            "data": data,
        }),
    ]
}

/// The next version: some objects are other ones, one is no longer there, and the pods roll.
pub(super) fn changed(tentacle: &str) -> Vec<Value> {
    let (mut now, next) = (six(tentacle, 1, 1), six(tentacle, 2, 1));
    // The last is pruned, and the Service and the network policy stay as they are.
    now.pop();
    for index in [0, 3, 4] {
        now[index] = next[index].clone();
    }
    now
}

fn pod(tentacle: &str, version: &str) -> Value {
    json!({
        "automountServiceAccountToken": false,
        "securityContext": { "runAsNonRoot": true, "runAsUser": 65534, "seccompProfile": { "type": "RuntimeDefault" } },
        "containers": [{
            "name": "engine", "image": format!("localhost/engine:{version}"), "ports": [{ "containerPort": 8080 }],
            "securityContext": { "allowPrivilegeEscalation": false, "capabilities": { "drop": ["ALL"] } },
            "volumeMounts": [{ "name": "code", "mountPath": "/code" }],
            "envFrom": [{ "secretRef": { "name": format!("{tentacle}-secrets") } }],
        }],
        "volumes": [{ "name": "code", "configMap": { "name": format!("{tentacle}-code") } }],
    })
}
