//! What `enclave_deprovision` leaves: nothing of the enclave, everything of others, and the truth about what is not gone.

use k8s_openapi::api::{
    apps::v1::Deployment,
    core::v1::{ConfigMap, Namespace},
};
use serde_json::json;
use tentacular_cluster::{Delete, Metadata};
use tentacular_contract::{Caller, keys};

use crate::{
    applying::{call, config_map, deployment},
    world::{World, person, unique},
};

/// Keeps an object while it is being deleted.
const FINALIZER: &str = "example.com/kept-by-a-test";

#[tokio::test]
async fn an_enclave_is_gone_with_its_tentacles_when_the_call_ends() {
    let world = World::start().await.unwrap();
    let (enclave, other) = (world.provision("doomed").await, world.provision("spared").await);
    let ann = person("ann@x.io");
    for place in [&enclave, &other] {
        let manifests = [config_map("report-code", "1"), deployment("report", "i:1")];
        world.call(&ann, "wf_apply", call(place, "report", &manifests)).await.unwrap();
    }
    let wrong = json!({ "name": enclave, "confirm": other });
    let error = world.call(&ann, "enclave_deprovision", wrong).await.unwrap_err();
    assert!(error.contains("nothing was removed: confirm is"), "{error}");
    assert!(!world.enclave(&enclave).await.unwrap().terminating);

    let arguments = json!({ "name": enclave, "confirm": enclave });
    let gone = world.call(&ann, "enclave_deprovision", arguments.clone()).await.unwrap();
    assert_eq!(
        gone,
        json!({ "name": enclave, "deleted": true, "tentacles_removed": 1, "remaining": [], "warnings": [] })
    );
    assert!(world.admin.all::<Namespace>().get(&enclave).await.unwrap().is_none());
    assert!(world.admin.namespaced::<Deployment>(&other).get("report").await.unwrap().is_some());
    let error = world.call(&ann, "enclave_deprovision", arguments).await.unwrap_err();
    assert!(error.contains(&format!("there is no enclave {enclave}")), "{error}");
    // The name is free. Ann may have as many enclaves as she can from other tests.
    world.call(&person("next-owner@x.io"), "enclave_provision", json!({ "name": enclave })).await.unwrap();
}

#[tokio::test]
async fn what_is_not_gone_in_time_is_told_and_the_next_call_goes_on() {
    let world = World::start().await.unwrap();
    let enclave = world.provision("kept").await;
    let maps = world.admin.namespaced::<ConfigMap>(&enclave);
    let kept = json!({ "metadata": { "name": "kept", "finalizers": [FINALIZER] } });
    maps.create(&serde_json::from_value(kept).unwrap()).await.unwrap();
    let with = |seconds: u64| json!({ "enclave": enclave, "wait_seconds": seconds });
    let ann = person("ann@x.io");
    let error = world.call(&ann, "enclave_deprovision", with(271)).await.unwrap_err();
    assert!(error.contains("nothing was removed: wait_seconds 271"), "{error}");
    assert!(!world.enclave(&enclave).await.unwrap().terminating);

    let first = world.call(&ann, "enclave_deprovision", with(0)).await.unwrap();
    assert_eq!((&first["deleted"], &first["tentacles_removed"]), (&json!(false), &json!(0)), "{first}");
    assert!(first["warnings"].to_string().contains("call again"), "{first}");
    // One that is terminating already, perhaps without the right to look inside.
    let mut second = first;
    for _ in 0..60 {
        second = world.call(&ann, "enclave_deprovision", with(1)).await.unwrap();
        assert_eq!(second["deleted"], false, "{second}");
        if second["remaining"].to_string().contains(FINALIZER) {
            break;
        }
    }
    assert!(second["remaining"].to_string().contains(FINALIZER), "it says what keeps it: {second}");
    let error = world.call(&ann, "enclave_provision", json!({ "name": enclave })).await.unwrap_err();
    assert!(error.contains("is still being deleted"), "{error}");
    let release = json!({ "metadata": { "finalizers": null } });
    let (third, _) = tokio::join!(world.call(&ann, "enclave_deprovision", with(270)), async {
        maps.patch("kept", &release).await.unwrap()
    });
    assert_eq!(third.unwrap()["deleted"], true);
    assert!(world.admin.all::<Namespace>().get(&enclave).await.unwrap().is_none());
}

#[tokio::test]
async fn nothing_but_an_enclave_of_the_caller_is_removed() {
    let world = World::start().await.unwrap();
    let enclave = world.provision("foreign").await;
    for caller in [person("bob@x.io"), person("eve@x.io")] {
        let error = world.call(&caller, "enclave_deprovision", json!({ "name": enclave })).await.unwrap_err();
        assert!(error.contains("is for its owner alone"), "{error}");
    }
    // The kernel's decision is out of date: somebody else owns it by now, and later it is no enclave at all.
    let namespaces = world.admin.all::<Metadata<Namespace>>();
    let set = |key: &'static str, value: Option<&'static str>| {
        let patch = json!({ "metadata": { "annotations": { key: value } } });
        let (namespaces, enclave) = (&namespaces, &enclave);
        async move { namespaces.patch(enclave, &patch).await.unwrap() }
    };
    let arguments = json!({ "name": enclave });
    let of_ann = world.permit(&person("ann@x.io"), "enclave_deprovision", arguments.clone()).await.unwrap();
    let of_bearer = world.permit(&Caller::Bearer, "enclave_deprovision", arguments).await.unwrap();
    set(keys::ENCLAVE_OWNER, Some("eve@x.io")).await;
    let error = world.send(&of_ann).await.unwrap_err();
    assert!(error.contains("is for its owner alone"), "{error}");
    set(keys::ENCLAVE, None).await;
    let error = world.send(&of_bearer).await.unwrap_err();
    assert!(error.contains("there is no enclave"), "{error}");

    let plain = unique("plain");
    let namespace = json!({ "metadata": { "name": plain } });
    world.admin.all::<Namespace>().create(&serde_json::from_value(namespace).unwrap()).await.unwrap();
    for name in [plain.as_str(), "default", "kube-system"] {
        let error = world.call(&Caller::Bearer, "enclave_deprovision", json!({ "name": name })).await.unwrap_err();
        assert!(error.contains("there is no enclave") || error.contains("is protected"), "{error}");
    }
    for name in [enclave.as_str(), plain.as_str()] {
        let found = world.admin.all::<Namespace>().get(name).await.unwrap().unwrap();
        assert_eq!(found.metadata.deletion_timestamp, None, "{name}");
    }
    namespaces.delete(&enclave, &Delete::default()).await.unwrap();
}
