//! A release of six objects, as small as one that a client sends.

use serde_json::{Value, json};

/// How many there are.
pub(super) const OBJECTS: u32 = 6;

/// One release in one enclave.
#[derive(Debug, Clone)]
pub(super) struct Release {
    pub(super) name: String,
    pub(super) objects: [Value; OBJECTS as usize],
}

impl Release {
    /// A release of that name. It has all that is filled in where it is left out, so that both ways write the same.
    pub(super) fn new(name: String) -> Self {
        let own = json!({ "app.kubernetes.io/name": name });
        let object = |api: &str, kind: &str, suffix: &str, what: &str, content: Value| {
            let metadata = json!({ "name": format!("{name}{suffix}"), "labels": own });
            json!({ "apiVersion": api, "kind": kind, "metadata": metadata, what: content })
        };
        let ports = json!([{ "port": 8080, "targetPort": 8080, "protocol": "TCP" }]);
        let server = json!({ "matchLabels": { "kubernetes.io/metadata.name": "tentacular-system" } });
        let policy = json!({
            "podSelector": { "matchLabels": own },
            "policyTypes": ["Ingress", "Egress"],
            "ingress": [{ "from": [{ "namespaceSelector": server }], "ports": [{ "port": 8080, "protocol": "TCP" }] }],
        });
        let rollout = json!({
            "replicas": 1,
            "selector": { "matchLabels": own },
            "strategy": { "type": "Recreate" },
            "template": { "metadata": { "labels": own }, "spec": pod(&name) },
        });
        let objects = [
            object("v1", "ConfigMap", "-code", "data", json!({ "workflow.yaml": format!("name: {name}\n") })),
            object("v1", "ConfigMap", "-import-map", "data", json!({ "deno.json": "{}" })),
            object("v1", "Secret", "-secrets", "data", json!({ "token": "dG9rZW4=" })),
            object("networking.k8s.io/v1", "NetworkPolicy", "-netpol", "spec", policy),
            object("v1", "Service", "", "spec", json!({ "type": "ClusterIP", "selector": own, "ports": ports })),
            object("apps/v1", "Deployment", "", "spec", rollout),
        ];
        Self { name, objects }
    }
}

fn pod(name: &str) -> Value {
    json!({
        "automountServiceAccountToken": false,
        "securityContext": { "runAsNonRoot": true, "seccompProfile": { "type": "RuntimeDefault" } },
        "containers": [{
            "name": "engine",
            "image": "localhost/tentacular-example-engine:0.1.0",
            "ports": [{ "containerPort": 8080, "protocol": "TCP" }],
            "resources": { "requests": { "cpu": "10m", "memory": "16Mi" }, "limits": { "cpu": "40m", "memory": "64Mi" } },
            "securityContext": {
                "allowPrivilegeEscalation": false,
                "runAsNonRoot": true,
                "readOnlyRootFilesystem": true,
                "capabilities": { "drop": ["ALL"] },
                "seccompProfile": { "type": "RuntimeDefault" },
            },
            "volumeMounts": [
                { "name": "code", "mountPath": "/app/workflow", "readOnly": true },
                { "name": "secrets", "mountPath": "/app/secrets", "readOnly": true },
            ],
        }],
        "volumes": [
            { "name": "code", "configMap": { "name": format!("{name}-code") } },
            { "name": "secrets", "secret": { "secretName": format!("{name}-secrets") } },
        ],
    })
}
