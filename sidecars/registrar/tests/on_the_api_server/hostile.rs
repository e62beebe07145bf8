//! Manifests of a tentacle that reaches for what is not its own: each is refused with the rule named, or harmless, and
//! nothing is written.

mod manifests;
mod pods;
mod traffic;

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use futures::future::join_all;
use k8s_openapi::api::{
    apps::v1::Deployment,
    core::v1::{ConfigMap, Pod, Secret},
};
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

/// Every object of the enclave of a kind that a tentacle may have, as it was asked for.
async fn standing(world: &World, enclave: &str) -> BTreeMap<String, Value> {
    let mut standing = BTreeMap::new();
    for kind in Kind::ALL {
        for object in world.admin.objects(kind, enclave).list(&Selector::all()).await.unwrap() {
            let metadata = object.metadata;
            let name = format!("{kind}/{}", metadata.name.unwrap());
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
                Err(error) if error.starts_with("nothing was applied") && error.contains(part) => None,
                Err(error) => Some(format!("{what}: expected {part:?}: {error}")),
            }
        }
    }));
    let surprises: Vec<_> = outcomes.await.into_iter().flatten().collect();
    assert!(surprises.is_empty(), "{}", surprises.join("\n"));
    assert_eq!(standing(&world, &enclave).await, before);
}

#[tokio::test]
async fn what_is_not_for_a_manifest_to_say_is_left_out_and_told() {
    let world = World::start().await.unwrap();
    let enclave = world.provision("harmless").await;
    inhabit(&world, &enclave).await;
    let before = standing(&world, &enclave).await;
    let metadata = |members: Value| {
        let mut manifest = own();
        manifest["metadata"].as_object_mut().unwrap().extend(members.as_object().unwrap().clone());
        manifest
    };
    let deep = |depth: usize| (0..depth).fold(json!(1), |inner, _| json!([inner]));
    let mut nested = own();
    nested["spec"]["deep"] = deep(100);
    let mut status = own();
    status["status"] = json!({ "readyReplicas": 7 });
    let attempts = [
        (
            metadata(json!({ "annotations": { "tentacular.io/owner": "bob@x.io" } })),
            "annotations[\"tentacular.io/owner",
        ),
        (
            metadata(json!({ "annotations": { "tentacular.io/mode": "rwxrwxrwx" } })),
            "annotations[\"tentacular.io/mode",
        ),
        (metadata(json!({ "generateName": "victim-" })), "metadata.generateName is set by Kubernetes alone"),
        (metadata(json!({ "uid": "u", "resourceVersion": "1" })), "metadata.uid is set by Kubernetes alone"),
        (metadata(json!({ "managedFields": [{ "manager": "tentacular" }] })), "metadata.managedFields is set by"),
        (status, "status is set by Kubernetes alone"),
        (nested, "spec.deep is no field that Kubernetes knows"),
        // What the release label says is the server's to say; it is replaced without a word.
        (metadata(json!({ "labels": { "tentacular.io/release": "victim" } })), ""),
    ];
    let outcomes = join_all(attempts.iter().map(|(manifest, part)| {
        let mut arguments = call(&enclave, "thief", std::slice::from_ref(manifest));
        arguments["dry_run"] = json!(true);
        let world = &world;
        async move {
            let planned = world.call(&person("bob@x.io"), "wf_apply", arguments).await;
            let told = planned.as_ref().is_ok_and(|planned| {
                let warnings = planned["warnings"].as_array().unwrap();
                part.is_empty() || warnings.iter().any(|warning| warning.as_str().unwrap().contains(part))
            });
            (!told).then(|| format!("{part}: {planned:?}"))
        }
    }));
    let surprises: Vec<_> = outcomes.await.into_iter().flatten().collect();
    assert!(surprises.is_empty(), "{}", surprises.join("\n"));
    assert_eq!(standing(&world, &enclave).await, before);
}

#[tokio::test]
async fn nesting_without_end_is_refused_where_json_is_read_and_ends_nothing() {
    let world = World::start().await.unwrap();
    let enclave = world.provision("nested").await;
    let permitted = world.permit(&Caller::Bearer, "wf_apply", call(&enclave, "thief", &[own()])).await.unwrap();
    for depth in [200, 1_000_000] {
        let deep = format!("{}{}", "[".repeat(depth), "]".repeat(depth));
        let manifest = format!(r#"{{"apiVersion":"v1","kind":"ConfigMap","metadata":{{"name":"c"}},"data":{deep}}}"#);
        let body = format!(
            r#"{{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{{"name":"wf_apply","arguments":{{
                "enclave":"{enclave}","name":"thief","manifests":[{manifest}]}}}}}}"#
        );
        let error = world.send_bytes(&permitted, body).await.unwrap_err().to_string();
        assert!(!error.is_empty(), "{depth}");
    }
    // The registrar lives, and takes what is not nested.
    world.send(&permitted).await.unwrap();
}

#[tokio::test]
async fn two_tentacles_that_keep_to_their_own_do_not_disturb_each_other() {
    let world = World::start().await.unwrap();
    let enclave = world.provision("peaceful").await;
    inhabit(&world, &enclave).await;
    let mut job = own();
    job["apiVersion"] = json!("batch/v1");
    job["kind"] = json!("Job");
    job["metadata"]["name"] = json!("once");
    job["spec"].as_object_mut().unwrap().remove("selector");
    job["spec"]["template"]["spec"]["restartPolicy"] = json!("Never");
    let mut manifests = pod(&json!({ "volumes": [
        { "name": "a", "secret": { "secretName": "thief-secrets", "optional": true } },
        { "name": "b", "configMap": { "name": "settings" } },
        { "name": "c", "persistentVolumeClaim": { "claimName": "data" } },
    ] }));
    manifests.extend([
        config_map("settings", "1"),
        claim("data", &json!({})),
        service("thief", &json!({ "selector": { "app": "thief" }, "ports": [{ "port": 80 }] })),
        policy(&json!({ "matchLabels": { "app": "thief" } })),
        ingress("thief", &format!("thief.{enclave}.{INGRESS_DOMAIN}"), "thief"),
        job,
    ]);
    let bob = person("bob@x.io");
    let applied = world.call(&bob, "wf_apply", call(&enclave, "thief", &manifests)).await.unwrap();
    assert_eq!(applied["created"], 7, "{applied}");
    // The claim is no longer among the manifests, and still the tentacle's.
    manifests.retain(|manifest| manifest["kind"] != "PersistentVolumeClaim");
    let again = world.call(&bob, "wf_apply", call(&enclave, "thief", &manifests)).await.unwrap();
    assert_eq!((&again["deleted"], &again["unchanged"]), (&json!(0), &json!(6)), "{again}");
}

#[tokio::test]
async fn pods_of_an_older_server_without_the_release_label_are_still_their_tentacles_own() {
    let world = World::start().await.unwrap();
    let enclave = world.provision("older").await;
    let mut older = pod(&json!({ "securityContext": {
        "runAsNonRoot": true, "seccompProfile": { "type": "RuntimeDefault" },
    } }))
    .remove(0);
    older["metadata"]["labels"] = json!({ "tentacular.io/release": "thief" });
    older["spec"]["template"]["spec"]["containers"][0]["securityContext"] =
        json!({ "allowPrivilegeEscalation": false, "capabilities": { "drop": ["ALL"] } });
    world.admin.namespaced::<Deployment>(&enclave).create(&serde_json::from_value(older).unwrap()).await.unwrap();
    let pods = world.admin.namespaced::<Pod>(&enclave);
    let deadline = Instant::now() + Duration::from_mins(1);
    while pods.list(&Selector::labels("app=thief,!tentacular.io/release")).await.unwrap().is_empty() {
        assert!(Instant::now() < deadline, "there is no pod");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let manifests = with(service("thief", &json!({ "selector": { "app": "thief" }, "ports": [{ "port": 80 }] })));
    let applied = world.call(&Caller::Bearer, "wf_apply", call(&enclave, "thief", &manifests)).await.unwrap();
    assert_eq!((&applied["created"], &applied["updated"]), (&json!(1), &json!(1)), "{applied}");
}
