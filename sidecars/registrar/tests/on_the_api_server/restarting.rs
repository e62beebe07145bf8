//! `wf_restart`: the pods are replaced, and nothing else happens.

use k8s_openapi::api::{apps::v1::Deployment, core::v1::ConfigMap};
use serde_json::{Value, json};
use tentacular_cluster::Delete;
use tentacular_contract::{Caller, keys};

use crate::{
    applying::{call, config_map, deployment},
    permission::annotate,
    world::{World, person},
};

const RESTARTED_AT: &str = "kubectl.kubernetes.io/restartedAt";

/// The time in the pod template at which it was restarted.
async fn restarted_at(world: &World, enclave: &str, name: &str) -> Option<String> {
    let live = world.admin.namespaced::<Deployment>(enclave).get(name).await.unwrap().unwrap();
    live.spec.unwrap().template.metadata.unwrap().annotations?.remove(RESTARTED_AT)
}

#[tokio::test]
async fn a_restart_rolls_the_pods_once_and_a_later_apply_does_not() {
    let world = World::start().await.unwrap();
    let enclave = world.provision("restart").await;
    let mut arguments = call(&enclave, "report", &[config_map("report-code", "1"), deployment("report", "i:1")]);
    arguments["mode"] = json!("member-run");
    world.call(&person("ann@x.io"), "wf_apply", arguments.clone()).await.unwrap();
    assert_eq!(restarted_at(&world, &enclave, "report").await, None);

    let bob = person("bob@x.io");
    let mut last = None;
    for name in ["name", "deployment"] {
        let done = world.call(&bob, "wf_restart", json!({ "namespace": enclave, name: "report" })).await.unwrap();
        for (member, value) in
            [("enclave", json!(enclave)), ("deployment", json!("report")), ("name", json!("report"))]
        {
            assert_eq!(done[member], value, "{done}");
        }
        assert_eq!(done["restarted"], true);
        let now = restarted_at(&world, &enclave, "report").await;
        assert_eq!(now.as_deref(), done["restarted_at"].as_str());
        assert!(now > last, "{now:?} is not after {last:?}");
        last = now;
    }
    let again = world.call(&person("ann@x.io"), "wf_apply", arguments).await.unwrap();
    assert_eq!(again["status"], "unchanged", "{again}");
    assert_eq!(restarted_at(&world, &enclave, "report").await, last);
}

#[tokio::test]
async fn a_restart_is_decided_again_by_what_stands_there() {
    let world = World::start().await.unwrap();
    let enclave = world.provision("restart-old").await;
    let manifests = [deployment("report", "i:1")];
    world.call(&person("ann@x.io"), "wf_apply", call(&enclave, "report", &manifests)).await.unwrap();
    let place = json!({ "enclave": enclave, "name": "report" });
    let bob = world.permit(&person("bob@x.io"), "wf_restart", place.clone()).await.unwrap();
    let bearer = world.permit(&Caller::Bearer, "wf_restart", place.clone()).await.unwrap();
    let mut private = place;
    private["mode"] = json!("private");
    world.call(&person("ann@x.io"), "permissions_set", private).await.unwrap();
    let error = world.send(&bob).await.unwrap_err();
    assert!(error.contains("needs x for member, mode is rwx------"), "{error}");
    annotate(&world, &enclave, keys::ENCLAVE_STATUS, "frozen").await;
    let error = world.send(&bearer).await.unwrap_err();
    assert!(error.contains("is frozen"), "{error}");
    assert_eq!(restarted_at(&world, &enclave, "report").await, None);
}

#[tokio::test]
async fn what_is_no_tentacles_deployment_is_not_restarted() {
    let world = World::start().await.unwrap();
    let enclave = world.provision("restart-none").await;
    let manifests = [config_map("report-code", "1"), deployment("report", "i:1")];
    world.call(&Caller::Bearer, "wf_apply", call(&enclave, "report", &manifests)).await.unwrap();
    let deployments = world.admin.namespaced::<Deployment>(&enclave);
    deployments.delete("report", &Delete::default()).await.unwrap();
    let by_hand: Deployment = serde_json::from_value(deployment("manual", "i:1")).unwrap();
    deployments.create(&by_hand).await.unwrap();
    for (name, word) in [("report", "has no Deployment"), ("manual", "was not applied as a tentacle of that name")] {
        for tool in ["wf_restart", "permissions_get", "permissions_set"] {
            let mut place = json!({ "enclave": enclave, "name": name });
            if tool == "permissions_set" {
                place["mode"] = json!("open-run");
            }
            let error = world.call(&person("ann@x.io"), tool, place).await.unwrap_err();
            assert!(error.contains(word) && error.contains(&format!("{enclave}/{name}")), "{tool}: {error}");
        }
    }
    let live = deployments.get("manual").await.unwrap().unwrap();
    assert!(!live.metadata.annotations.unwrap_or_default().contains_key(keys::MODE));
    assert_eq!(restarted_at(&world, &enclave, "manual").await, None);
    assert!(world.admin.namespaced::<ConfigMap>(&enclave).get("report-code").await.unwrap().is_some());
}

#[tokio::test]
async fn restarts_among_other_writes_all_happen() {
    let world = World::start().await.unwrap();
    let enclave = world.provision("restart-all").await;
    world.call(&Caller::Bearer, "wf_apply", call(&enclave, "report", &[deployment("report", "i:1")])).await.unwrap();
    let place = json!({ "enclave": enclave, "name": "report" });
    let restart = || world.call(&Caller::Bearer, "wf_restart", place.clone());
    let done = futures::future::join_all((0..12).map(|_| restart())).await;
    let times: Vec<Value> = done.into_iter().map(|done| done.unwrap()["restarted_at"].clone()).collect();
    let at = restarted_at(&world, &enclave, "report").await;
    assert!(times.contains(&json!(at)), "{at:?} is none of {times:?}");
}
