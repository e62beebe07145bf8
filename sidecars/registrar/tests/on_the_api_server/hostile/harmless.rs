//! What looks hostile and is harmless, and what is not hostile at all.

use futures::future::join_all;
use k8s_openapi::api::{apps::v1::Deployment, core::v1::Pod};
use serde_json::{Value, json};
use tentacular_cluster::Selector;
use tentacular_contract::Caller;

use super::{claim, ingress, inhabit, own, pod, policy, service, standing, with};
use crate::{
    applying::{call, config_map, deployment},
    world::{INGRESS_DOMAIN, World, person, until},
};

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
    let mut items = own();
    items["items"] = json!([deployment("victim", "evil"), { "kind": "Namespace" }]);
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
        (
            metadata(json!({ "annotations": { "tentacular.io/owner-sub": "sub-of-bob@x.io" } })),
            "annotations[\"tentacular.io/owner-sub",
        ),
        (
            metadata(json!({ "annotations": { "tentacular.io/deployed-by": "ann@x.io" } })),
            "annotations[\"tentacular.io/deployed-by",
        ),
        (metadata(json!({ "generateName": "victim-" })), "metadata.generateName is set by Kubernetes alone"),
        (metadata(json!({ "uid": "u", "resourceVersion": "1" })), "metadata.uid is set by Kubernetes alone"),
        (metadata(json!({ "managedFields": [{ "manager": "tentacular" }] })), "metadata.managedFields is set by"),
        (status, "status is set by Kubernetes alone"),
        (nested, "spec.deep is no field that Kubernetes knows"),
        (items, "items is no field that Kubernetes knows"),
        // What these labels say is the server's to say; they are replaced without a word.
        (metadata(json!({ "labels": { "tentacular.io/release": "victim" } })), ""),
        (metadata(json!({ "labels": { "app.kubernetes.io/managed-by": "Helm" } })), ""),
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
    let of_it = Selector::labels("app=thief,!tentacular.io/release");
    until("there is a pod", async || pods.list(&of_it).await.unwrap().pop()).await;
    let manifests = with(service("thief", &json!({ "selector": { "app": "thief" }, "ports": [{ "port": 80 }] })));
    let applied = world.call(&Caller::Bearer, "wf_apply", call(&enclave, "thief", &manifests)).await.unwrap();
    assert_eq!((&applied["created"], &applied["updated"]), (&json!(1), &json!(1)), "{applied}");
}
