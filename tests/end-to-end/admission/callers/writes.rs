//! Writes in an enclave of every kind that matters to whom the webhook is asked about.

use anyhow::Context as _;
use kube::Client;
use serde_json::{Value, json};

use super::{
    super::world::{path, pod_spec, workloads},
    ENCLAVE, Scope,
};
use crate::thief::attempt::{Attempt, apply, create, delete, get, json_patch, merge, replace, strategic};

const NETWORKING: &str = "networking.k8s.io";
const RBAC_GROUP: &str = "rbac.authorization.k8s.io";

/// An enclave of that name.
pub(super) fn enclave(name: &str) -> Value {
    let labels =
        json!({ "app.kubernetes.io/managed-by": "tentacular", "pod-security.kubernetes.io/enforce": "restricted" });
    json!({ "metadata": { "name": name, "labels": labels, "annotations": { "tentacular.io/enclave": name } } })
}

/// Makes what the writes are of.
pub(super) async fn prepare(admin: &Client) -> anyhow::Result<()> {
    let mut spec = pod_spec();
    spec["containers"][0]["resources"] = json!({ "requests": { "cpu": "10m" } });
    // Of one that runs, the node decides whether it can be resized.
    spec["schedulingGates"] = json!([{ "name": "example.org/held" }]);
    for (_, plural, mut object) in workloads("there", &spec) {
        // Nothing is to be made from them.
        match plural {
            "deployments" => object["spec"]["paused"] = json!(true),
            "pods" => {}
            _ => continue,
        }
        let group = if plural == "pods" { "" } else { "apps" };
        create(path(ENCLAVE, group, plural), object).send_for_real(admin).await?;
    }
    for (group, plural, object) in [
        (
            "",
            "resourcequotas",
            json!({ "metadata": { "name": "tentacular-quota" }, "spec": { "hard": { "pods": "9" } } }),
        ),
        ("", "configmaps", json!({ "metadata": { "name": "there" } })),
        ("", "serviceaccounts", json!({ "metadata": { "name": "there" } })),
        (
            "networking.k8s.io",
            "networkpolicies",
            json!({ "metadata": { "name": "default-deny" }, "spec": { "podSelector": {} } }),
        ),
    ] {
        create(path(ENCLAVE, group, plural), object).send_for_real(admin).await?;
    }
    Ok(())
}

fn in_enclave(group: &str, plural: &str) -> String {
    path(ENCLAVE, group, plural)
}

fn deployment() -> String {
    format!("{}/there", in_enclave("apps", "deployments"))
}

fn pod() -> String {
    format!("{}/there", in_enclave("", "pods"))
}

fn quota() -> String {
    format!("{}/tentacular-quota", in_enclave("", "resourcequotas"))
}

fn note() -> Value {
    json!({ "metadata": { "annotations": { "note": "x" } } })
}

fn named(name: &str, rest: &Value) -> Value {
    let mut object = rest.clone();
    object["metadata"] = json!({ "name": name });
    object
}

fn container(name: &str) -> Value {
    let mut container = pod_spec()["containers"][0].take();
    container["name"] = json!(name);
    container
}

/// Binds the pod, which takes over the labels.
fn binding(labels: &Value) -> Value {
    json!({ "metadata": { "name": "there", "labels": labels }, "target": { "kind": "Node", "name": "node" } })
}

/// What is looked at whoever writes it.
pub(super) async fn everybodys(admin: &Client) -> anyhow::Result<Vec<Attempt>> {
    let rule = json!({ "host": "x.example", "http": { "paths": [{ "path": "/", "pathType": "Prefix",
        "backend": { "service": { "name": "mine", "port": { "number": 80 } } } }] } });
    let claim = json!({ "accessModes": ["ReadWriteOnce"], "resources": { "requests": { "storage": "1Gi" } } });
    let selector = json!({ "matchLabels": { "app": "mine" } });
    let mut all: Vec<_> = workloads("mine", &pod_spec())
        .into_iter()
        .map(|(group, plural, object)| create(in_enclave(group, plural), object))
        .collect();
    for (group, plural, rest) in [
        ("", "services", json!({ "spec": { "ports": [{ "port": 80 }], "selector": { "app": "mine" } } })),
        ("", "configmaps", json!({})),
        ("", "secrets", json!({})),
        ("", "persistentvolumeclaims", json!({ "spec": claim })),
        (NETWORKING, "networkpolicies", json!({ "spec": { "podSelector": selector } })),
        (NETWORKING, "ingresses", json!({ "spec": { "rules": [rule] } })),
    ] {
        all.push(create(in_enclave(group, plural), named("mine", &rest)));
    }
    let unnamed = json!({ "metadata": { "generateName": "mine-" }, "spec": pod_spec() });
    let deployment = deployment();
    let mut stored = get(&*deployment).send(admin).await?;
    stored["metadata"].as_object_mut().context("metadata")?.remove("resourceVersion");
    stored["metadata"]["annotations"]["note"] = json!("x");
    let mut applied = named("there", &json!({ "apiVersion": "apps/v1", "kind": "Deployment" }));
    applied["metadata"]["annotations"] = json!({ "note": "x" });
    all.extend([
        create(in_enclave("", "pods"), unnamed),
        merge(&*deployment, note()),
        strategic(&*deployment, note()),
        json_patch(&*deployment, json!([{ "op": "add", "path": "/metadata/labels", "value": { "a": "b" } }])),
        apply(&*deployment, applied),
        replace(&*deployment, stored),
        merge(format!("{deployment}/status"), note()),
        merge(format!("{}/status", pod()), note()),
        merge(format!("{}/status", quota()), json!({ "status": { "hard": { "pods": "10" } } })),
        strategic(
            format!("{}/ephemeralcontainers", pod()),
            json!({ "spec": { "ephemeralContainers": [container("debug")] } }),
        ),
    ]);
    Ok(all)
}

/// What only the rules of protection and of frozen enclaves look at, and the server writes unasked.
pub(super) fn protected() -> Vec<Attempt> {
    let (deployment, pod, quota) = (deployment(), pod(), quota());
    let role = json!({ "apiGroup": RBAC_GROUP, "kind": "ClusterRole", "name": "view" });
    let target = json!({ "apiVersion": "apps/v1", "kind": "Deployment", "name": "there" });
    let scaler = named("mine", &json!({ "spec": { "scaleTargetRef": target, "maxReplicas": 2 } }));
    let scalers =
        |version: &str| format!("/apis/autoscaling/{version}/namespaces/{ENCLAVE}/horizontalpodautoscalers");
    let mut resized = container("main");
    resized["resources"] = json!({ "requests": { "cpu": "20m" } });
    let release = json!({ "tentacular.io/release": "x" });
    vec![
        create(in_enclave("", "serviceaccounts"), named("mine", &json!({}))),
        create(in_enclave("", "resourcequotas"), named("mine", &json!({}))),
        create(in_enclave("", "limitranges"), named("mine", &json!({}))),
        create(in_enclave(RBAC_GROUP, "rolebindings"), named("mine", &json!({ "roleRef": role, "subjects": [] }))),
        create(scalers("v1"), scaler.clone()),
        create(scalers("v2"), scaler),
        create(in_enclave("apps", "controllerrevisions"), named("mine", &json!({ "revision": 1, "data": {} }))),
        create(in_enclave("", "endpoints"), named("mine", &json!({ "subsets": [] }))),
        create(
            in_enclave("discovery.k8s.io", "endpointslices"),
            named("mine", &json!({ "addressType": "IPv4", "endpoints": [] })),
        ),
        create(format!("{pod}/binding"), binding(&release)),
        create(in_enclave("", "bindings"), binding(&release)),
        merge(format!("{deployment}/scale"), json!({ "spec": { "replicas": 2 } })),
        strategic(format!("{pod}/resize"), json!({ "spec": { "containers": [resized] } })),
        merge(&*quota, note()),
        delete(&*quota),
        delete(in_enclave("", "resourcequotas")),
        delete(in_enclave(NETWORKING, "networkpolicies")),
    ]
}

/// What no rule looks at.
pub(super) fn free() -> Vec<Attempt> {
    let (deployment, pod) = (deployment(), pod());
    let eviction = named("there", &json!({ "apiVersion": "policy/v1", "kind": "Eviction" }));
    vec![
        create(format!("{pod}/binding"), binding(&json!({ "topology.kubernetes.io/zone": "a" }))),
        merge(format!("{deployment}/status"), json!({ "status": { "observedGeneration": 7 } })),
        merge(format!("{pod}/status"), json!({ "status": { "reason": "Tested" } })),
        delete(&*deployment),
        delete(&*pod),
        delete(in_enclave("", "pods")),
        delete(format!("{}/there", in_enclave("", "configmaps"))),
        create(format!("{pod}/eviction"), eviction),
        create(format!("{}/there/token", in_enclave("", "serviceaccounts")), json!({ "spec": { "audiences": [] } })),
        create(in_enclave("coordination.k8s.io", "leases"), named("mine", &json!({}))),
        create(in_enclave(RBAC_GROUP, "roles"), named("mine", &json!({ "rules": [] }))),
    ]
}

/// Writes of the enclave itself.
pub(super) async fn of_namespaces(admin: &Client) -> anyhow::Result<Vec<(Scope, Attempt)>> {
    let namespace = format!("/api/v1/namespaces/{ENCLAVE}");
    let note = json!({ "metadata": { "annotations": { "note": "x" } } });
    let mut stored = get(&*namespace).send(admin).await?;
    stored["metadata"].as_object_mut().context("metadata")?.remove("resourceVersion");
    let owned = json!({ "metadata": { "ownerReferences": [{ "apiVersion": "v1", "kind": "Node", "name": "gone",
        "uid": "705ab4f5-6393-11e8-b7cc-42010a800002" }] } });
    let mut noted = stored.clone();
    noted["metadata"]["annotations"]["note"] = json!("x");
    let mut ended = stored.clone();
    ended["spec"]["finalizers"] = json!([]);
    Ok(vec![
        (Scope::Everybodys, create("/api/v1/namespaces", enclave("another"))),
        (Scope::Everybodys, merge(&*namespace, note.clone())),
        (Scope::Everybodys, merge(format!("{namespace}/status"), note)),
        (Scope::Everybodys, replace(format!("{namespace}/finalize"), noted)),
        (Scope::Everybodys, replace(format!("{namespace}/finalize"), ended)),
        (Scope::Protected, delete(&*namespace)),
        (Scope::Everybodys, merge(format!("{namespace}/status"), owned)),
        (Scope::Free, merge(format!("{namespace}/status"), json!({ "status": { "phase": "Active" } }))),
        (Scope::Free, replace(format!("{namespace}/finalize"), stored)),
        (Scope::Free, create("/api/v1/namespaces", json!({ "metadata": { "name": "outside" } }))),
    ])
}
