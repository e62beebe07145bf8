//! `permissions_get` and `permissions_set`.

use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::api::{apps::v1::Deployment, core::v1::Namespace, rbac::v1::RoleBinding};
use serde_json::{Value, json};
use tentacular_cluster::Delete;
use tentacular_contract::{Caller, keys};

use crate::{
    applying::{call, deployment},
    permission::annotate,
    world::{World, person},
};

/// The binding that lets the registrar look into an enclave.
const REGISTRAR: &str = "tentacular-enclave-registrar";

/// What the server wrote on it.
async fn live(world: &World, enclave: &str) -> BTreeMap<String, String> {
    let live = world.admin.namespaced::<Deployment>(enclave).get("report").await.unwrap().unwrap();
    let mut annotations = live.metadata.annotations.unwrap();
    annotations.retain(|key, _| key.starts_with("tentacular.io/"));
    annotations
}

/// An enclave of Ann's with Bob and Cid, in which `caller` applied a tentacle.
async fn with_tentacle(world: &World, prefix: &str, caller: &Caller) -> String {
    let enclave = world.provision(prefix).await;
    annotate(world, &enclave, keys::ENCLAVE_MEMBERS, "bob@x.io,cid@x.io").await;
    world.call(caller, "wf_apply", applied(&enclave)).await.unwrap();
    enclave
}

fn applied(enclave: &str) -> Value {
    call(enclave, "report", &[deployment("report", "i:1")])
}

/// Arguments about the tentacle, with `more`.
fn about(enclave: &str, more: &Value) -> Value {
    let mut arguments = json!({ "namespace": enclave, "name": "report" });
    arguments.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    arguments
}

#[tokio::test]
async fn the_enclaves_owner_adopts_and_gives_and_everybody_sees_what_they_may() {
    let world = World::start().await.unwrap();
    let enclave = with_tentacle(&world, "adopt", &Caller::Bearer).await;
    let (ann, bob, cid) = (person("ann@x.io"), person("bob@x.io"), person("cid@x.io"));
    let get = |caller: Caller| {
        let (world, arguments) = (&world, about(&enclave, &json!({})));
        async move { world.call(&caller, "permissions_get", arguments).await }
    };
    let set = |caller: &Caller, more: Value| {
        let (world, arguments, caller) = (&world, about(&enclave, &more), caller.clone());
        async move { world.call(&caller, "permissions_set", arguments).await }
    };
    assert!(get(bob.clone()).await.unwrap_err().contains("resource has no owner"));
    let nobodys = get(ann.clone()).await.unwrap();
    assert_eq!((&nobodys["owner"], &nobodys["mode"]), (&json!(""), &json!("rwxr-x---")), "{nobodys}");

    let adopted = set(&ann, json!({ "owner_email": "Ann@x.io" })).await.unwrap();
    assert_eq!(
        adopted["changed"],
        json!([
            { "what": "owner", "from": "", "to": "ann@x.io" },
            { "what": "owner_sub", "from": "", "to": "sub-of-ann@x.io" },
        ])
    );
    let given = set(&ann, json!({ "owner_email": "bob@x.io", "mode": "rwx--x--x" })).await.unwrap();
    assert_eq!(
        (&given["owner"], &given["owner_sub"], &given["mode"]),
        (&json!("bob@x.io"), &json!(""), &json!("rwx--x--x"))
    );
    let annotations = live(&world, &enclave).await;
    assert_eq!((&*annotations[keys::OWNER], &*annotations[keys::OWNER_EMAIL]), ("bob@x.io", "bob@x.io"));
    assert_eq!((annotations.get(keys::OWNER_SUB), &*annotations[keys::MODE]), (None, "rwx--x--x"));
    assert_eq!(annotations[keys::UPDATED_BY_EMAIL], "ann@x.io");

    // The same again writes nothing, not even when: an older time stays. An apply keeps it.
    let deployments = world.admin.namespaced::<Deployment>(&enclave);
    let patch = json!({ "metadata": { "annotations": { keys::UPDATED_AT: "2026-01-01T00:00:00Z" } } });
    deployments.patch("report", &patch).await.unwrap();
    let annotations = live(&world, &enclave).await;
    let again = set(&ann, json!({ "owner_email": "bob@x.io", "mode": "rwx--x--x" })).await.unwrap();
    assert_eq!((&again["changed"], &live(&world, &enclave).await), (&json!([]), &annotations));
    let again = world.call(&ann, "wf_apply", applied(&enclave)).await.unwrap();
    assert_eq!((&again["status"], live(&world, &enclave).await), (&json!("unchanged"), annotations));

    set(&bob, json!({ "mode": "member-read" })).await.unwrap();
    let may = |read, write, execute, own| json!({ "read": read, "write": write, "execute": execute, "own": own });
    for (caller, role, class, may) in [
        (ann, "owner", json!("owner"), may(true, true, true, true)),
        (bob, "member", json!("owner"), may(true, true, true, true)),
        (cid, "member", json!("member"), may(true, false, true, false)),
        (Caller::Bearer, "bearer", Value::Null, may(true, true, true, true)),
    ] {
        let seen = get(caller).await.unwrap();
        assert_eq!((&seen["caller_role"], &seen["caller_class"], &seen["caller_may"]), (&json!(role), &class, &may));
        assert_eq!((&seen["owner"], &seen["preset"]), (&json!("bob@x.io"), &json!("member-read")), "{seen}");
        let of_enclave = ["enclave_owner", "enclave_mode", "enclave_preset", "enclave_status"].map(|key| &seen[key]);
        assert_eq!(of_enclave, ["ann@x.io", "rwxrwx---", "member-edit", "active"]);
    }
}

#[tokio::test]
async fn who_may_not_changes_nothing() {
    let world = World::start().await.unwrap();
    let bob = person("bob@x.io");
    let enclave = with_tentacle(&world, "refuse", &bob).await;
    let before = live(&world, &enclave).await;
    let open = about(&enclave, &json!({ "mode": "open-run" }));
    for caller in [person("cid@x.io"), person("eve@x.io")] {
        let error = world.call(&caller, "permissions_set", open.clone()).await.unwrap_err();
        assert!(error.contains("permission denied"), "{error}");
    }
    let to_eve = about(&enclave, &json!({ "owner_email": "eve@x.io", "mode": "open-run" }));
    for caller in [&bob, &person("ann@x.io")] {
        let error = world.call(caller, "permissions_set", to_eve.clone()).await.unwrap_err();
        assert!(error.contains("the new owner neither owns enclave"), "{error}");
    }
    let nothing = world.call(&bob, "permissions_set", about(&enclave, &json!({}))).await.unwrap_err();
    assert!(nothing.contains("mode, owner_email or owner_sub"), "{nothing}");

    // Permitted while a member, sent when no longer.
    let permitted = world.permit(&bob, "permissions_set", open).await.unwrap();
    annotate(&world, &enclave, keys::ENCLAVE_MEMBERS, "cid@x.io").await;
    let error = world.send(&permitted).await.unwrap_err();
    assert!(error.contains("permission denied: own on tentacle"), "{error}");
    let with_sub = about(&enclave, &json!({ "owner_email": "cid@x.io", "owner_sub": "sub-of-eve@x.io" }));
    let error = world.call(&person("ann@x.io"), "permissions_set", with_sub).await.unwrap_err();
    assert!(error.contains("leave out owner_sub"), "{error}");
    assert_eq!(live(&world, &enclave).await, before);

    let given = world.call(&Caller::Bearer, "permissions_set", to_eve).await.unwrap();
    assert_eq!((&given["owner"], &given["mode"]), (&json!("eve@x.io"), &json!("rwxrwxr-x")));
}

#[tokio::test]
async fn changes_at_the_same_time_follow_one_another() {
    let world = World::start().await.unwrap();
    let enclave = with_tentacle(&world, "chain", &person("bob@x.io")).await;
    let modes = ["--x", "-w-", "-wx", "r--", "r-x", "rw-", "rwx"].map(|other| format!("rwx---{other}"));
    let set = |mode: &String| {
        let (world, arguments) = (&world, about(&enclave, &json!({ "mode": mode })));
        async move { world.call(&Caller::Bearer, "permissions_set", arguments).await.unwrap() }
    };
    let done = futures::future::join_all(modes.iter().map(set)).await;
    let from: BTreeSet<_> = done.iter().filter_map(|done| done["changed"][0]["from"].as_str()).collect();
    let last = live(&world, &enclave).await[keys::MODE].clone();
    let mut wanted: BTreeSet<_> = modes.iter().map(String::as_str).chain(["rwxr-x---"]).collect();
    wanted.remove(last.as_str());
    assert_eq!(from, wanted, "each began where another ended, and {last} was the last");
}

#[tokio::test]
async fn a_frozen_enclave_allows_both_and_one_on_its_way_out_lets_look() {
    let world = World::start().await.unwrap();
    let enclave = with_tentacle(&world, "frozen", &person("bob@x.io")).await;
    annotate(&world, &enclave, keys::ENCLAVE_STATUS, "frozen").await;
    let (bob, private) = (person("bob@x.io"), about(&enclave, &json!({ "mode": "private" })));
    let set = world.call(&bob, "permissions_set", private.clone()).await.unwrap();
    assert_eq!(set["preset"], "private");

    // Kept from going, with the right to look at it.
    let deployments = world.admin.namespaced::<Deployment>(&enclave);
    let bindings = world.admin.namespaced::<RoleBinding>(&enclave);
    let keep = |finalizers: Value| json!({ "metadata": { "finalizers": finalizers } });
    deployments.patch("report", &keep(json!(["tentacular.io/test"]))).await.unwrap();
    bindings.patch(REGISTRAR, &keep(json!(["tentacular.io/test"]))).await.unwrap();
    world.admin.all::<Namespace>().delete(&enclave, &Delete::default()).await.unwrap();
    let seen = world.call(&bob, "permissions_get", about(&enclave, &json!({}))).await.unwrap();
    assert_eq!((&seen["enclave_status"], &seen["caller_may"]["write"]), (&json!("frozen"), &json!(false)));
    let error = world.call(&bob, "permissions_set", private).await.unwrap_err();
    assert!(error.contains("is being deleted"), "{error}");
    deployments.patch("report", &keep(Value::Null)).await.unwrap();
    bindings.patch(REGISTRAR, &keep(Value::Null)).await.unwrap();
}
