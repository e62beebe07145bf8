//! Manifests of a tentacle that reaches for what is not its own: each is refused with the rule named, or harmless, and
//! nothing is written.

mod bytes;
mod harmless;
mod manifests;
mod pods;
mod traffic;

use std::collections::BTreeMap;

use futures::future::join_all;
use k8s_openapi::api::core::v1::{ConfigMap, Pod, Secret};
use serde_json::{Value, json};
use tentacular_cluster::{Kind, Selector};
use tentacular_contract::Caller;

use crate::{
    applying::{call, config_map, deployment},
    world::{INGRESS_DOMAIN, World, person},
};

/// One attempt: what it is, the manifests beside nothing else, and a part of the answer that refuses them.
type Attempt = (&'static str, Vec<Value>, &'static str);

/// The thief's Deployment.
fn own() -> Value {
    deployment("thief", "i:1")
}

/// The thief's Deployment and `other`.
fn with(other: Value) -> Vec<Value> {
    vec![own(), other]
}

/// The thief's Deployment with these members in its pod's spec.
fn pod(members: &Value) -> Vec<Value> {
    let mut deployment = own();
    let spec = deployment["spec"]["template"]["spec"].as_object_mut().unwrap();
    spec.extend(members.as_object().unwrap().clone());
    vec![deployment]
}

fn named(api_version: &str, kind: &str, name: &str, rest: &Value) -> Value {
    let mut object = json!({ "apiVersion": api_version, "kind": kind, "metadata": { "name": name } });
    object.as_object_mut().unwrap().extend(rest.as_object().unwrap().clone());
    object
}

fn service(name: &str, spec: &Value) -> Value {
    named("v1", "Service", name, &json!({ "spec": spec }))
}

fn policy(selector: &Value) -> Value {
    let spec = json!({ "podSelector": selector, "policyTypes": ["Egress"], "egress": [{}] });
    named("networking.k8s.io/v1", "NetworkPolicy", "thief", &json!({ "spec": spec }))
}

/// A claim for a volume with these members in its spec.
fn claim(name: &str, members: &Value) -> Value {
    let mut spec = json!({ "accessModes": ["ReadWriteOnce"], "resources": { "requests": { "storage": "1Gi" } } });
    spec.as_object_mut().unwrap().extend(members.as_object().unwrap().clone());
    named("v1", "PersistentVolumeClaim", name, &json!({ "spec": spec }))
}

/// An Ingress for `host` with the Service `service` behind it.
fn ingress(name: &str, host: &str, service: &str) -> Value {
    let service = json!({ "service": { "name": service, "port": { "number": 80 } } });
    let path = json!({ "path": "/", "pathType": "Prefix", "backend": service });
    let spec = json!({ "rules": [{ "host": host, "http": { "paths": [path] } }] });
    named("networking.k8s.io/v1", "Ingress", name, &json!({ "spec": spec }))
}

/// What the thief would like to have: the tentacle `victim`, and what belongs to nobody.
async fn inhabit(world: &World, enclave: &str) {
    let secret = named("v1", "Secret", "victim-creds", &json!({ "stringData": { "k": "v" } }));
    let victim = [
        deployment("victim", "i:1"),
        config_map("victim-config", "1"),
        secret,
        claim("victim-data", &json!({})),
        service("victim", &json!({ "selector": { "app": "victim" }, "ports": [{ "port": 80 }] })),
        ingress("victim", &format!("victim.{enclave}.{INGRESS_DOMAIN}"), "victim"),
    ];
    world.call(&Caller::Bearer, "wf_apply", call(enclave, "victim", &victim)).await.unwrap();
    let nobodys: ConfigMap = serde_json::from_value(config_map("nobodys", "1")).unwrap();
    world.admin.namespaced(enclave).create(&nobodys).await.unwrap();
    let registry: Secret = serde_json::from_value(named("v1", "Secret", "registry", &json!({}))).unwrap();
    world.admin.namespaced(enclave).create(&registry).await.unwrap();
    let security = json!({
        "allowPrivilegeEscalation": false, "runAsNonRoot": true, "capabilities": { "drop": ["ALL"] },
        "seccompProfile": { "type": "RuntimeDefault" },
    });
    let bare: Pod = serde_json::from_value(json!({
        "metadata": { "name": "bare", "labels": { "app": "bare" } },
        "spec": { "containers": [{ "name": "c", "image": "i", "securityContext": security }] },
    }))
    .unwrap();
    world.admin.namespaced(enclave).create(&bare).await.unwrap();
}

/// Every object of the enclave of a kind that a tentacle may have, as it was asked for, but for what Kubernetes puts into
/// each namespace at some time after it was made.
async fn standing(world: &World, enclave: &str) -> BTreeMap<String, Value> {
    let mut standing = BTreeMap::new();
    for kind in Kind::ALL {
        for object in world.admin.objects(kind, enclave).list(&Selector::all()).await.unwrap() {
            let metadata = object.metadata;
            let name = format!("{kind}/{}", metadata.name.unwrap());
            if name == "ConfigMap/kube-root-ca.crt" {
                continue;
            }
            standing.insert(name, json!([metadata.uid, metadata.generation, metadata.labels, object.data["data"]]));
        }
    }
    standing
}

#[tokio::test]
async fn whatever_is_not_the_tentacles_own_is_refused_with_the_rule_named_and_nothing_is_written() {
    let world = World::start().await.unwrap();
    let enclave = world.provision("hostile").await;
    inhabit(&world, &enclave).await;
    let before = standing(&world, &enclave).await;
    let attempts = [manifests::attempts(), pods::attempts(), traffic::attempts(&enclave)].concat();
    assert!(attempts.len() >= 60, "{}", attempts.len());
    let outcomes = join_all(attempts.iter().map(|(what, manifests, part)| {
        let (world, arguments) = (&world, call(&enclave, "thief", manifests));
        async move {
            match world.call(&person("bob@x.io"), "wf_apply", arguments).await {
                Ok(applied) => Some(format!("{what}: not refused: {applied}")),
                Err(error) if error.len() > 10_000 => Some(format!("{what}: told at length: {} bytes", error.len())),
                Err(error) if error.starts_with("nothing was applied") && error.contains(part) => None,
                Err(error) => Some(format!("{what}: expected {part:?}: {error}")),
            }
        }
    }));
    let surprises: Vec<_> = outcomes.await.into_iter().flatten().collect();
    assert!(surprises.is_empty(), "{}", surprises.join("\n"));
    assert_eq!(standing(&world, &enclave).await, before);
}
