//! An enclave that goes while a call about it is under way, and another that is made in its name.

use http::Method;
use k8s_openapi::api::{apps::v1::Deployment, core::v1::ConfigMap};
use serde_json::json;
use tentacular_contract::Caller;
use tentacular_test_harness::fault_proxy::Fault;

use crate::{
    applying::{call, config_map, deployment},
    world::{World, person},
};

/// Removes Ann's enclave and makes one of the same name for Eve, in which Bob is nobody.
async fn swap(world: &World, enclave: &str) {
    let gone = json!({ "name": enclave, "wait_seconds": 270 });
    world.call(&person("ann@x.io"), "enclave_deprovision", gone).await.unwrap();
    let anew = json!({ "name": enclave, "owner_email": "eve@x.io" });
    world.call(&Caller::Bearer, "enclave_provision", anew).await.unwrap();
}

/// Whether nothing of Bob's is in the enclave.
async fn is_empty(world: &World, enclave: &str) -> bool {
    let deployments = world.admin.namespaced::<Deployment>(enclave);
    let config_maps = world.admin.namespaced::<ConfigMap>(enclave);
    deployments.get("report").await.unwrap().is_none() && config_maps.get("a").await.unwrap().is_none()
}

#[tokio::test]
async fn a_permit_for_an_enclave_is_none_for_another_that_is_made_in_its_name() {
    let world = World::start().await.unwrap();
    let enclave = world.provision("swapped").await;
    let (ann, bob) = (person("ann@x.io"), person("bob@x.io"));
    let manifests = [config_map("a", "1"), deployment("report", "i:1")];
    world.call(&bob, "wf_apply", call(&enclave, "report", &manifests)).await.unwrap();
    let place = json!({ "enclave": enclave, "name": "report" });
    let mut permits = Vec::new();
    for (caller, tool, arguments) in [
        (&bob, "wf_apply", call(&enclave, "report", &manifests)),
        (&bob, "wf_restart", place.clone()),
        (&bob, "wf_remove", place),
        (&ann, "enclave_sync", json!({ "name": enclave, "new_mode": "open-run" })),
        (&ann, "enclave_deprovision", json!({ "name": enclave })),
    ] {
        permits.push((tool, world.permit(caller, tool, arguments).await.unwrap()));
    }
    swap(&world, &enclave).await;
    for (tool, permit) in permits {
        let error = world.send(&permit).await.unwrap_err();
        assert!(error.contains("permission denied"), "{tool}: {error}");
    }
    assert!(is_empty(&world, &enclave).await);
    assert!(world.enclave(&enclave).await.is_some_and(|enclave| !enclave.terminating));
}

#[tokio::test]
async fn a_write_that_is_tried_again_does_not_end_up_in_another_enclave_of_the_name() {
    let (world, proxy) = World::start_through().await.unwrap();
    let enclave = world.provision("swapped").await;
    let first = |call: &tentacular_test_harness::fault_proxy::Call| {
        call.is_write() && call.method == Method::POST && call.body["metadata"]["name"] == "report"
    };
    proxy.fail(0..10_000, first, Fault::Status(503, None));
    let manifests = [config_map("a", "1"), deployment("report", "i:1")];
    let bob = person("bob@x.io");
    let swapped = async {
        proxy.until(first).await;
        swap(&world, &enclave).await;
        proxy.start_afresh();
    };
    let applied = world.call(&bob, "wf_apply", call(&enclave, "report", &manifests));
    let (applied, ()) = tokio::join!(applied, swapped);
    let error = applied.unwrap_err();
    assert!(!error.is_empty() && is_empty(&world, &enclave).await, "{error}");
}
