//! Enclaves are made whole or not at all.

use std::time::Duration;

use http::Method;
use k8s_openapi::api::{
    core::v1::{LimitRange, Namespace, ResourceQuota, ServiceAccount},
    networking::v1::NetworkPolicy,
    rbac::v1::{Role, RoleBinding},
};
use serde_json::json;
use tentacular_cluster::{Delete, Selector};
use tentacular_contract::{Caller, Status, keys};
use tentacular_test_harness::{fault_proxy::Call, installation::SERVER_NAMESPACE};

use crate::{
    refusal::Refusal,
    world::{World, person, unique, until},
};

#[tokio::test]
async fn an_enclave_is_made_with_all_that_belongs_to_it() {
    let world = World::start().await.unwrap();
    let name = unique("made");
    let arguments = json!({
        "name": name, "mode": "open-read", "default_mode": "private", "members": ["Bob@x.io", "made@x.io"],
        "quota_preset": "small", "platform": "slack", "channel_id": "C1", "channel_name": "#made",
    });
    let owner = person("made@x.io");
    let made = world.call(&owner, "enclave_provision", arguments).await.unwrap();
    assert_eq!(
        (&made["status"], &made["owner"], &made["members"], &made["mode"], &made["preset"], &made["default_mode"]),
        (
            &json!("active"),
            &json!("made@x.io"),
            &json!(["bob@x.io"]),
            &json!("rwxrwxr--"),
            &json!("open-read"),
            &json!("rwx------"),
        )
    );

    let admin = &world.admin;
    let namespace = admin.all::<Namespace>().get(&name).await.unwrap().unwrap().metadata;
    let labels = namespace.labels.unwrap();
    for mode in ["enforce", "audit", "warn"] {
        assert_eq!(labels[&format!("pod-security.kubernetes.io/{mode}")], "restricted");
    }
    let annotations = namespace.annotations.unwrap();
    assert_eq!(annotations[keys::ENCLAVE_STATUS], "active");
    assert_eq!(annotations[keys::ENCLAVE_OWNER_SUB], "sub-of-made@x.io");
    let quota = admin.namespaced::<ResourceQuota>(&name).get("tentacular-quota").await.unwrap().unwrap();
    assert_eq!(quota.spec.unwrap().hard.unwrap()["limits.cpu"].0, "16");
    assert!(admin.namespaced::<LimitRange>(&name).get("tentacular-limits").await.unwrap().is_some());
    for policy in ["default-deny", "allow-dns"] {
        assert!(admin.namespaced::<NetworkPolicy>(&name).get(policy).await.unwrap().is_some(), "{policy}");
    }
    let account = admin.namespaced::<ServiceAccount>(&name).get("tentacular-workflow").await.unwrap().unwrap();
    assert_eq!(account.automount_service_account_token, Some(false));
    assert!(admin.namespaced::<Role>(&name).list(&Selector::all()).await.unwrap().is_empty());
    let bindings = admin.namespaced::<RoleBinding>(&name).list(&Selector::all()).await.unwrap();
    assert_eq!(bindings.len(), 3);

    let info = world.call(&owner, "enclave_info", json!({ "name": name })).await.unwrap();
    assert_eq!(
        (&info["caller_role"], &info["tentacle_count"], &info["quota_preset"], &info["channel_name"]),
        (&json!("owner"), &json!(0), &json!("small"), &json!("#made"))
    );
    assert_eq!(info["quota"]["requests.memory"]["hard"], "4Gi", "{info}");
    assert_eq!(info["warnings"], json!([]));
    let error = world.call(&owner, "enclave_provision", json!({ "name": name })).await.unwrap_err();
    assert!(error.contains("already exists"), "{error}");
}

#[tokio::test]
async fn what_was_left_unfinished_is_finished_by_a_repeat_of_its_owner_alone() {
    let world = World::start().await.unwrap();
    let name = unique("unfinished");
    let namespace = json!({ "metadata": {
        "name": name,
        "labels": { keys::MANAGED_BY: keys::TENTACULAR, "pod-security.kubernetes.io/enforce": "restricted" },
        "annotations": {
            keys::ENCLAVE: name, keys::ENCLAVE_OWNER: "carol@x.io", keys::ENCLAVE_STATUS: "provisioning",
            keys::ENCLAVE_CREATED_AT: "2026-01-01T00:00:00Z",
        },
    } });
    world.admin.all::<Namespace>().create(&serde_json::from_value(namespace).unwrap()).await.unwrap();
    let call = |owner: &'static str| {
        let arguments = json!({ "name": name, "quota_preset": "large" });
        let world = &world;
        async move { world.call(&person(owner), "enclave_provision", arguments).await }
    };
    let error = call("dave@x.io").await.unwrap_err();
    assert!(error.contains("already exists"), "{error}");
    let made = call("carol@x.io").await.unwrap();
    assert_eq!((&made["status"], &made["created_at"]), (&json!("active"), &json!("2026-01-01T00:00:00Z")));
    let quota = world.admin.namespaced::<ResourceQuota>(&name).get("tentacular-quota").await.unwrap().unwrap();
    assert_eq!(quota.spec.unwrap().hard.unwrap()["pods"].0, "100");
    let info = world.call(&person("carol@x.io"), "enclave_info", json!({ "name": name })).await.unwrap();
    assert_eq!(info["quota_preset"], "large");
    let error = call("carol@x.io").await.unwrap_err();
    assert!(error.contains("already exists"), "an active enclave is not made again: {error}");
}

#[tokio::test]
async fn an_enclave_that_cannot_be_finished_is_removed() {
    let world = World::start().await.unwrap();
    let name = unique("refused");
    Refusal::of(&world, &name, vec![], "no limits here").await;
    let error = world.call(&person("fay@x.io"), "enclave_provision", json!({ "name": name })).await.unwrap_err();
    assert!(error.contains(&format!("enclave {name} was not made")) && error.contains("no limits here"), "{error}");
    assert!(error.contains("nothing of it is left"), "{error}");
    assert!(world.admin.all::<Namespace>().get(&name).await.unwrap().is_none());
}

#[tokio::test]
async fn what_cannot_be_finished_is_removed_although_the_caller_left() {
    let world = World::start().await.unwrap();
    let name = unique("left-unfinished");
    Refusal::of(&world, &name, vec![], "no limits here").await;
    while !begun_and_left(&world, &name).await {}
    until("it is removed", async || world.enclave(&name).await.is_none().then_some(())).await;
}

#[tokio::test]
async fn an_owner_has_at_most_ten_and_the_bearer_token_may_give_more() {
    let world = World::start().await.unwrap();
    let make = |caller: Caller| {
        let arguments = json!({ "name": unique("many"), "owner_email": "gus@x.io" });
        let world = &world;
        async move { world.call(&caller, "enclave_provision", arguments).await }
    };
    let ten = futures::future::join_all((0..10).map(|_| make(Caller::Bearer))).await;
    assert!(ten.iter().all(Result::is_ok), "{ten:?}");
    let error = make(person("gus@x.io")).await.unwrap_err();
    assert!(error.contains("owner \"gus@x.io\" already has 10 enclaves (limit: 10)"), "{error}");
    make(Caller::Bearer).await.unwrap();
}

#[tokio::test]
async fn an_owner_who_asks_several_times_at_once_gets_no_more_for_it() {
    let (world, other) = tokio::join!(World::start(), World::start());
    let (world, other) = (world.unwrap(), other.unwrap());
    let make = |index: usize, caller: Caller| {
        let arguments = json!({ "name": unique("burst"), "owner_email": "jan@x.io" });
        let world = if index.is_multiple_of(2) { &world } else { &other };
        async move { world.call(&caller, "enclave_provision", arguments).await }
    };
    futures::future::join_all((0..9).map(|index| make(index, Caller::Bearer))).await;
    let burst = futures::future::join_all((0..6).map(|index| make(index, person("jan@x.io")))).await;
    assert_eq!(burst.iter().filter(|made| made.is_ok()).count(), 1, "{burst:?}");
    for refused in burst.iter().filter_map(|made| made.as_ref().err()) {
        assert!(refused.contains("owner \"jan@x.io\" already has 1"), "{refused}");
    }
    let seen = world.call(&person("jan@x.io"), "enclave_list", json!({ "status": "provisioning" })).await.unwrap();
    let left = seen["enclaves"].as_array().unwrap().iter().filter(|entry| entry["owner"] == "jan@x.io").count();
    assert_eq!(left, 0, "{seen}");
}

#[tokio::test]
async fn an_enclave_is_finished_although_the_caller_left() {
    let world = World::start().await.unwrap();
    let name = loop {
        let name = unique("left");
        if begun_and_left(&world, &name).await {
            break name;
        }
    };
    let active = async || world.enclave(&name).await.filter(|enclave| enclave.status == Status::Active);
    until("it is active", active).await;
}

/// Has an enclave made by a caller who leaves as soon as its namespace is there. `false` where the registrar was faster.
async fn begun_and_left(world: &World, name: &str) -> bool {
    let begun = async {
        while world.enclave(name).await.is_none() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    let kim = person("kim@x.io");
    tokio::select! {
        biased;
        () = begun => true,
        _ = world.call(&kim, "enclave_provision", json!({ "name": name })) => false,
    }
}

#[tokio::test]
async fn an_enclave_without_the_servers_bindings_gets_them() {
    let world = World::start().await.unwrap();
    let name = unique("restored");
    let namespace = json!({ "metadata": {
        "name": name,
        "labels": { keys::MANAGED_BY: keys::TENTACULAR, "pod-security.kubernetes.io/enforce": "restricted" },
        "annotations": { keys::ENCLAVE: name, keys::ENCLAVE_OWNER: "ann@x.io" },
    } });
    world.admin.all::<Namespace>().create(&serde_json::from_value(namespace).unwrap()).await.unwrap();
    let bindings = world.admin.namespaced::<RoleBinding>(&name);
    let all = async || Some(bindings.list(&Selector::all()).await.unwrap()).filter(|found| found.len() == 3);
    let found = until("it has its bindings", all).await;
    for binding in found {
        let role = binding.role_ref.name;
        assert!(role.starts_with("tentacular-enclave-") && Some(&role) == binding.metadata.name.as_ref(), "{role}");
        assert_eq!(binding.subjects.unwrap()[0].namespace.as_deref(), Some(SERVER_NAMESPACE));
    }
}

#[tokio::test]
async fn a_registrar_that_begins_makes_no_binding_again_that_is_there() {
    const MISSING: &str = "tentacular-enclave-scheduler";
    let first = World::start().await.unwrap();
    let enclave = first.provision("bound").await;
    first.admin.namespaced::<RoleBinding>(&enclave).delete(MISSING, &Delete::default()).await.unwrap();
    let (world, proxy) = World::start_through().await.unwrap();
    let about = |call: &Call| call.resource() == "rolebindings" && call.namespace() == Some(&enclave);
    // The last of the three.
    proxy
        .until(|call| about(call) && call.path.ends_with("/tentacular-enclave-reader") && call.status.is_some())
        .await;
    let made = proxy.calls().into_iter().filter(|call| about(call) && call.method == Method::POST);
    let made: Vec<_> = made.map(|call| call.body["metadata"]["name"].clone()).collect();
    // A registrar of another test may have begun at the same time.
    assert!(made.iter().all(|name| name == MISSING), "{made:?}");
    assert!(world.admin.namespaced::<RoleBinding>(&enclave).get(MISSING).await.unwrap().is_some());
}
