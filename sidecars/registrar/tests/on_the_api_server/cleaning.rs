//! What becomes of data that is to go with its tentacle, where something goes wrong before it is gone.

use std::sync::atomic::{AtomicBool, Ordering};

use http::Method;
use k8s_openapi::api::{
    apps::v1::Deployment,
    core::v1::{Namespace, Secret},
    rbac::v1::RoleBinding,
};
use serde_json::{Value, json};
use tentacular_cluster::{Delete, Metadata};
use tentacular_contract::Caller;
use tentacular_test_harness::{
    ControlPlane, FaultProxy,
    fault_proxy::{Call, Fault},
    services::Postgres,
};

use crate::{
    backing::{WORKFLOW, call, enclave_of_rob, login, roles, secret, world, world_through},
    world::{World, person, unique, until},
};

/// The installation cleans up.
const CLEANUP: &str = "--exoskeleton-cleanup=true";
/// What is removed of a tentacle.
const DROPPED: &str = "postgres schema dropped";

/// A tentacle of Bob's in an enclave of Rob's.
async fn tentacle_of_bob(world: &World, prefix: &str) -> (String, Value) {
    let enclave = unique(prefix);
    let arguments = json!({ "name": enclave, "owner_email": "rob@x.io", "members": ["bob@x.io"] });
    world.call(&Caller::Bearer, "enclave_provision", arguments).await.unwrap();
    world.call(&person("bob@x.io"), "wf_apply", call(&enclave, "report", WORKFLOW)).await.unwrap();
    let place = json!({ "enclave": enclave, "name": "report" });
    (enclave, place)
}

/// A patch that keeps an object while it is being deleted, or lets it go.
fn kept(is_kept: bool) -> Value {
    json!({ "metadata": { "finalizers": is_kept.then_some(["example.com/kept-by-a-test"]) } })
}

#[tokio::test]
async fn a_removal_that_cannot_clean_up_does_not_begin() {
    let Some(mut postgres) = Postgres::start().await.unwrap() else { return };
    let world = world(&postgres, &[CLEANUP]).await;
    let (enclave, place) = tentacle_of_bob(&world, "unclean").await;
    let bob = person("bob@x.io");
    postgres.server.kill().await.unwrap();
    let error = world.call(&bob, "wf_remove", place.clone()).await.unwrap_err();
    assert!(error.starts_with("nothing was removed: exoskeleton: postgres cleanup: not available: "), "{error}");
    assert!(error.ends_with("; try again"), "{error}");
    let report = world.admin.namespaced::<Deployment>(&enclave).get("report").await.unwrap().unwrap();
    assert_eq!(report.metadata.deletion_timestamp, None);
    postgres.server.restart().await.unwrap();
    let removed = world.call(&bob, "wf_remove", place).await.unwrap();
    assert_eq!((&removed["exo_cleanup_details"], &removed["remaining"]), (&json!(DROPPED), &json!([])), "{removed}");
    assert_eq!(roles(&postgres).await, 0);
}

#[tokio::test]
async fn who_can_go_on_with_a_removal_is_told_when_it_stops_half_way() {
    let Some(mut postgres) = Postgres::start().await.unwrap() else { return };
    let world = world(&postgres, &[CLEANUP]).await;
    let (enclave, place) = tentacle_of_bob(&world, "half-clean").await;
    let bob = person("bob@x.io");
    let deployments = world.admin.namespaced::<Deployment>(&enclave);
    deployments.patch("report", &kept(true)).await.unwrap();
    let removal = world.call(&bob, "wf_remove", place.clone());
    let fails = async {
        let going = async || {
            let report = deployments.get("report").await.unwrap().unwrap();
            report.metadata.deletion_timestamp.map(drop)
        };
        until("the Deployment is being deleted", going).await;
        postgres.server.kill().await.unwrap();
        deployments.patch("report", &kept(false)).await.unwrap();
    };
    let (removed, ()) = tokio::join!(removal, fails);
    let error = removed.unwrap_err();
    assert!(error.starts_with("stopped half way: exoskeleton: postgres cleanup: not available: "), "{error}");
    assert!(error.contains("; the enclave's owner can go on by calling wf_remove again"), "{error}");
    let error = world.call(&bob, "wf_remove", place.clone()).await.unwrap_err();
    assert!(error.contains("it does not exist"), "{error}");
    postgres.server.restart().await.unwrap();
    let removed = world.call(&person("rob@x.io"), "wf_remove", place).await.unwrap();
    assert_eq!((&removed["exo_cleanup_details"], &removed["remaining"]), (&json!(DROPPED), &json!([])), "{removed}");
    assert_eq!(roles(&postgres).await, 0);
}

#[tokio::test]
async fn an_enclave_that_is_being_deleted_already_is_cleaned_up_as_far_as_its_secrets_are_there() {
    let Some(postgres) = Postgres::start().await.unwrap() else { return };
    let world = world(&postgres, &[CLEANUP]).await;
    let enclave = enclave_of_rob(&world, "half-gone").await;
    let rob = person("rob@x.io");
    for name in ["known", "lost"] {
        world.call(&rob, "wf_apply", call(&enclave, name, WORKFLOW)).await.unwrap();
    }
    let (secrets, bindings) =
        (world.admin.namespaced::<Secret>(&enclave), world.admin.namespaced::<RoleBinding>(&enclave));
    let (known, binding) = ("tentacular-exoskeleton-known", "tentacular-enclave-registrar");
    secrets.patch(known, &kept(true)).await.unwrap();
    bindings.patch(binding, &kept(true)).await.unwrap();
    // As by a registrar that ended before it cleaned up.
    world.admin.all::<Metadata<Namespace>>().delete(&enclave, &Delete::default()).await.unwrap();
    let lost = async || secret(&world, &enclave, "tentacular-exoskeleton-lost").await.is_none().then_some(());
    until("a Secret is gone", lost).await;

    let wait = |seconds: u64| json!({ "name": enclave, "wait_seconds": seconds });
    let first = world.call(&rob, "enclave_deprovision", wait(0)).await.unwrap();
    let done = format!("{enclave}/known: {DROPPED}");
    assert_eq!((&first["deleted"], &first["exo_cleanup_details"]), (&json!(false), &json!(done)), "{first}");
    assert_eq!(roles(&postgres).await, 2, "the role and the login of the other");
    // Without the right to look inside.
    bindings.patch(binding, &kept(false)).await.unwrap();
    let release = async { secrets.patch(known, &kept(false)).await.unwrap() };
    let (second, _) = tokio::join!(world.call(&rob, "enclave_deprovision", wait(270)), release);
    let second = second.unwrap();
    assert_eq!(second["deleted"], true, "{second}");
    for answer in [&first, &second] {
        let warned = answer["warnings"][0].as_str().unwrap();
        assert!(warned.contains("was being deleted already") && warned.contains("exo_orphans"), "{answer}");
    }
    let confirmed = json!({ "service": "postgres", "confirm": [format!("{enclave}/lost")] });
    let removed = world.call(&Caller::Bearer, "exo_orphans", confirmed).await.unwrap();
    assert_eq!(removed["removed"], json!([format!("{enclave}/lost: {DROPPED}")]), "{removed}");
    assert_eq!(roles(&postgres).await, 0);
}

/// What `slow` says of the end of an enclave whose name another one has before it looks again.
async fn made_anew(
    proxy: &FaultProxy,
    (slow, world): (&World, &World),
    rob: &Caller,
    enclave: &str,
) -> Result<Value, String> {
    world.call(rob, "wf_apply", call(enclave, "report", WORKFLOW)).await.unwrap();
    let of_namespace = {
        let path = format!("/api/v1/namespaces/{enclave}");
        move |call: &Call, method: &Method| call.path == path && call.method == method
    };
    // From the deletion on it does not see how the enclave goes.
    let is_deletion = of_namespace.clone();
    proxy.fail(0..1, move |call| is_deletion(call, &Method::DELETE), Fault::CloseAfter);
    let (deleted, looks) = (AtomicBool::new(false), of_namespace.clone());
    let unseen = move |call: &Call| {
        let before = deleted.fetch_or(looks(call, &Method::DELETE), Ordering::SeqCst);
        before && looks(call, &Method::GET)
    };
    proxy.fail(0..1000, unseen, Fault::Status(503, None));
    let anew = async {
        proxy.until(|call| of_namespace(call, &Method::DELETE) && call.status.is_some()).await;
        let namespaces = world.admin.all::<Metadata<Namespace>>();
        until("the enclave is gone", async || namespaces.get(enclave).await.unwrap().is_none().then_some(())).await;
        let provision = json!({ "name": enclave, "owner_email": "rob@x.io" });
        world.call(&Caller::Bearer, "enclave_provision", provision).await.unwrap();
        world.call(rob, "wf_apply", call(enclave, "report", WORKFLOW)).await.unwrap();
        proxy.start_afresh();
    };
    let (gone, ()) = tokio::join!(slow.call(rob, "enclave_deprovision", json!({ "name": enclave })), anew);
    gone
}

#[tokio::test]
async fn what_an_enclave_made_anew_has_is_not_cleaned_up_for_the_one_before_it() {
    let Some(postgres) = Postgres::start().await.unwrap() else { return };
    let proxy = FaultProxy::start(ControlPlane::shared().await.unwrap()).unwrap();
    let (slow, world) =
        (world_through(Some(&proxy), &postgres, &[CLEANUP]).await, world(&postgres, &[CLEANUP]).await);
    let rob = person("rob@x.io");
    let (enclave, gone) = loop {
        let enclave = enclave_of_rob(&world, "anew").await;
        let ended = made_anew(&proxy, (&slow, &world), &rob, &enclave).await;
        // That took longer than it looks.
        if !ended.as_ref().is_err_and(|error| error.contains("repeat the call")) {
            break (enclave, ended);
        }
    };
    let gone = gone.unwrap();
    assert_eq!((&gone["deleted"], &gone["exo_cleanup_details"]), (&json!(true), &json!(null)), "{gone}");
    assert!(gone["warnings"][0].as_str().unwrap().contains("was made anew"), "{gone}");
    postgres.connect(&login(&world, &enclave, "report").await).await.unwrap();
}
