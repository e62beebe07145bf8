//! What becomes of a tentacle when a call about it ends half way.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use http::Method;
use k8s_openapi::api::{
    apps::v1::Deployment,
    coordination::v1::Lease,
    core::v1::{ConfigMap, Namespace},
};
use serde_json::{Value, json};
use tentacular_cluster::{Locks, Metadata};
use tentacular_contract::{Caller, keys};
use tentacular_test_harness::fault_proxy::{Call, Fault};

use crate::{
    applying::{call, config_map, deployment},
    world::{World, person, until},
};

/// The writes of that method about the object of that name.
fn write(method: Method, resource: &'static str, name: &'static str) -> impl Fn(&Call) -> bool + Clone + Send {
    move |call| {
        let named = call.path.ends_with(&format!("/{name}")) || call.body["metadata"]["name"] == name;
        call.is_write() && call.method == method && call.resource() == resource && named
    }
}

#[tokio::test]
async fn whoever_began_a_tentacle_goes_on_with_it_or_removes_it() {
    let (world, proxy) = World::start_through().await.unwrap();
    let enclave = world.provision("begun").await;
    let bob = person("bob@x.io");
    for tool in ["wf_apply", "wf_remove"] {
        let mut scheduled = deployment("report", "i:1");
        scheduled["metadata"]["annotations"][keys::CRON_SCHEDULE] = json!("0 9 * * *");
        let arguments = call(&enclave, "report", &[config_map("a", "1"), scheduled]);
        proxy.fail(0..1, write(Method::POST, "configmaps", "a"), Fault::Status(403, None));
        let error = world.call(&bob, "wf_apply", arguments.clone()).await.unwrap_err();
        assert!(
            error.contains("stopped half way") && error.contains("before that: Deployment/report (paused);"),
            "{error}"
        );
        let deployments = world.admin.namespaced::<Deployment>(&enclave);
        let begun = deployments.get("report").await.unwrap().unwrap();
        assert_eq!(begun.spec.unwrap().paused, Some(true), "no pod starts before all is there");
        let annotations = begun.metadata.annotations.unwrap();
        assert!(!annotations.contains_key(keys::CRON_SCHEDULE), "nothing fires before all is there");
        let eve = world.call(&person("eve@x.io"), "wf_apply", arguments.clone()).await.unwrap_err();
        assert!(eve.contains("permission denied"), "{eve}");
        if tool == "wf_remove" {
            let removed = world.call(&bob, tool, json!({ "enclave": enclave, "name": "report" })).await.unwrap();
            assert_eq!((&removed["deleted"], &removed["remaining"]), (&json!(1), &json!([])), "{removed}");
            continue;
        }
        world.call(&bob, tool, arguments.clone()).await.unwrap();
        let report = deployments.get("report").await.unwrap().unwrap();
        assert_eq!(report.spec.unwrap().paused, None);
        let annotations = report.metadata.annotations.unwrap();
        assert_eq!((&*annotations[keys::OWNER], &*annotations[keys::CRON_SCHEDULE]), ("bob@x.io", "0 9 * * *"));
        let again = world.call(&bob, tool, arguments).await.unwrap();
        assert_eq!(again["status"], "unchanged", "{again}");
        world.call(&bob, "wf_remove", json!({ "enclave": enclave, "name": "report" })).await.unwrap();
    }
}

#[tokio::test]
async fn a_removal_that_lost_its_lock_deletes_nothing_more() {
    let world = World::start().await.unwrap();
    let enclave = world.provision("lost").await;
    let manifests = [config_map("a", "1"), deployment("report", "i:1")];
    world.call(&person("ann@x.io"), "wf_apply", call(&enclave, "report", &manifests)).await.unwrap();
    let deployments = world.admin.namespaced::<Deployment>(&enclave);
    let kept = |finalizers: Value| json!({ "metadata": { "finalizers": finalizers } });
    deployments.patch("report", &kept(json!(["x.io/kept"]))).await.unwrap();
    let ann = person("ann@x.io");
    let arguments = json!({ "enclave": enclave, "name": "report", "wait_seconds": 30 });
    let removal = world.call(&ann, "wf_remove", arguments);
    let somebody_else = async {
        let going = |report: Deployment| report.metadata.deletion_timestamp.is_some();
        let goes = async || deployments.get("report").await.unwrap().is_none_or(going).then_some(());
        until("the Deployment is being deleted", goes).await;
        let leases = world.admin.namespaced::<Lease>(&enclave);
        leases.patch("tentacular-report", &json!({ "spec": { "holderIdentity": "another" } })).await.unwrap();
    };
    let (removed, ()) = tokio::join!(removal, somebody_else);
    let error = removed.unwrap_err();
    assert!(error.contains("the lock was lost") && error.contains("wf_remove again"), "{error}");
    assert!(world.admin.namespaced::<ConfigMap>(&enclave).get("a").await.unwrap().is_some());
    deployments.patch("report", &kept(json!(null))).await.unwrap();
}

fn given_to_ann() -> Value {
    let owner = json!({ keys::OWNER: "ann@x.io", keys::OWNER_EMAIL: "ann@x.io", keys::OWNER_SUB: null });
    json!({ "metadata": { "annotations": owner } })
}

#[tokio::test]
async fn a_right_that_ends_while_a_write_is_tried_again_counts_no_more() {
    let (world, proxy) = World::start_through().await.unwrap();
    let enclave = world.provision("revoked").await;
    let bob = person("bob@x.io");
    let update = |image: &str, mode: &str| {
        let mut arguments = call(&enclave, "report", &[deployment("report", image)]);
        arguments["mode"] = json!(mode);
        arguments
    };
    world.call(&bob, "wf_apply", update("i:1", "private")).await.unwrap();
    let patch = write(Method::PATCH, "deployments", "report");
    proxy.start_afresh();
    proxy.fail(0..1000, patch.clone(), Fault::Status(503, None));
    let arguments = update("i:2", "open-run");
    let deployments = world.admin.namespaced::<Deployment>(&enclave);
    let taken = async {
        proxy.until(patch).await;
        deployments.patch("report", &given_to_ann()).await.unwrap();
        proxy.start_afresh();
    };
    let (applied, ()) = tokio::join!(world.call(&bob, "wf_apply", arguments), taken);
    let error = applied.unwrap_err();
    assert!(error.contains("permission denied"), "{error}");
    let report = deployments.get("report").await.unwrap().unwrap();
    assert_eq!(report.metadata.annotations.unwrap()[keys::MODE], "rwx------");
}

/// What Bob may still write in the end, and set no mode of.
const THE_MODE_IS_ANNS: &str = "permission denied: the mode of a tentacle is for its owner";

#[tokio::test]
async fn who_loses_a_tentacle_while_a_write_is_tried_again_sets_no_mode_of_it() {
    let (world, proxy) = World::start_through().await.unwrap();
    let enclave = world.provision("no-mode").await;
    let bob = person("bob@x.io");
    let update = |image: &str, mode: &str| {
        let mut arguments = call(&enclave, "report", &[deployment("report", image)]);
        arguments["mode"] = json!(mode);
        arguments
    };
    world.call(&bob, "wf_apply", update("i:1", "member-edit")).await.unwrap();
    let patch = write(Method::PATCH, "deployments", "report");
    proxy.start_afresh();
    proxy.fail(0..1000, patch.clone(), Fault::Status(503, None));
    let deployments = world.admin.namespaced::<Deployment>(&enclave);
    let taken = async {
        proxy.until(patch).await;
        deployments.patch("report", &given_to_ann()).await.unwrap();
        proxy.start_afresh();
    };
    let (applied, ()) = tokio::join!(world.call(&bob, "wf_apply", update("i:2", "open-run")), taken);
    let error = applied.unwrap_err();
    assert!(error.contains(THE_MODE_IS_ANNS), "{error}");
    let report = deployments.get("report").await.unwrap().unwrap();
    assert_eq!(report.metadata.annotations.unwrap()[keys::MODE], "rwxrwx---");
    let mut kept = update("i:2", "");
    kept.as_object_mut().unwrap().remove("mode");
    world.call(&bob, "wf_apply", kept).await.unwrap();
}

#[tokio::test]
async fn who_loses_a_right_while_an_apply_waits_for_others_writes_nothing_by_it() {
    let (world, proxy) = World::start_through().await.unwrap();
    let enclave = world.provision("outwaited").await;
    let (ann, bob) = (person("ann@x.io"), person("bob@x.io"));
    let mut editable = call(&enclave, "report", &[deployment("report", "i:1")]);
    editable["mode"] = json!("member-edit");
    world.call(&bob, "wf_apply", editable).await.unwrap();
    let maps = world.admin.namespaced::<ConfigMap>(&enclave);
    let mut plain = config_map("plain", "1");
    plain.as_object_mut().unwrap().remove("kind");
    maps.create(&serde_json::from_value(plain).unwrap()).await.unwrap();

    let manifests = [config_map("plain", "2"), deployment("report", "i:1")];
    let (mut opening, mut adopting) = (call(&enclave, "report", &manifests), call(&enclave, "report", &manifests));
    opening["mode"] = json!("open-run");
    adopting["adopt"] = json!(true);
    let (enclaves, deployments) =
        (world.admin.all::<Metadata<Namespace>>(), world.admin.namespaced::<Deployment>(&enclave));
    let given_to_eve = json!({ "metadata": { "annotations": { keys::ENCLAVE_OWNER: "eve@x.io",
        keys::ENCLAVE_OWNER_SUB: null, keys::ENCLAVE_MEMBERS: "ann@x.io,bob@x.io" } } });
    let others = Locks::new(world.admin.clone(), "another");
    for (caller, arguments, expected) in
        [(&bob, opening, THE_MODE_IS_ANNS), (&ann, adopting, "adopt is for the enclave's owner")]
    {
        let lock = others.take(&enclave, "tentacular.enclave", Duration::from_secs(30)).await.unwrap();
        proxy.start_afresh();
        let taken = async {
            proxy.until(write(Method::POST, "leases", "tentacular.enclave")).await;
            if caller == &bob {
                deployments.patch("report", &given_to_ann()).await.unwrap();
            } else {
                enclaves.patch(&enclave, &given_to_eve).await.unwrap();
            }
            lock.release().await;
        };
        let (applied, ()) = tokio::join!(world.call(caller, "wf_apply", arguments), taken);
        let error = applied.unwrap_err();
        assert!(error.contains(expected), "{error}");
        let plain = maps.get("plain").await.unwrap().unwrap();
        assert_eq!(plain.data.unwrap()["k"], "1", "nothing is written");
    }
}

#[tokio::test]
async fn a_write_that_was_carried_out_is_not_denied_when_a_later_try_of_it_is_refused() {
    let (world, proxy) = World::start_through().await.unwrap();
    let enclave = world.provision("denied").await;
    let bob = person("bob@x.io");
    let update = |image: &str| call(&enclave, "report", &[deployment("report", image)]);
    world.call(&bob, "wf_apply", update("i:1")).await.unwrap();
    let patch = write(Method::PATCH, "deployments", "report");
    let sent = Arc::new(AtomicBool::new(false));
    proxy.start_afresh();
    let (seen, struck) = (Arc::clone(&sent), patch.clone());
    proxy.fail(0..1, move |call| struck(call) && !seen.swap(true, Ordering::SeqCst), Fault::CloseAfter);
    // Not read again before it is Ann's.
    let read = |call: &Call| call.method == Method::GET && call.path.ends_with("/deployments/report");
    proxy.fail(0..1000, move |call| sent.load(Ordering::SeqCst) && read(call), Fault::Status(503, None));
    let deployments = world.admin.namespaced::<Deployment>(&enclave);
    let taken = async {
        proxy.until(patch).await;
        let written = |report: &Deployment| report.metadata.generation == Some(2);
        let is_written = async || deployments.get("report").await.unwrap().filter(written);
        until("the Deployment is written", is_written).await;
        deployments.patch("report", &given_to_ann()).await.unwrap();
        proxy.start_afresh();
    };
    let (applied, ()) = tokio::join!(world.call(&bob, "wf_apply", update("i:2")), taken);
    let error = applied.unwrap_err();
    assert!(error.contains("whether Deployment/report was written is not known: permission denied"), "{error}");
}

#[tokio::test]
async fn who_gives_a_tentacle_away_without_the_lock_writes_nothing() {
    let (world, proxy) = World::start_through().await.unwrap();
    let enclave = world.provision("given").await;
    world.call(&Caller::Bearer, "wf_apply", call(&enclave, "report", &[deployment("report", "i:1")])).await.unwrap();
    let patch = write(Method::PATCH, "deployments", "report");
    proxy.start_afresh();
    proxy.fail(0..1000, patch.clone(), Fault::Status(409, None));
    let arguments = json!({ "enclave": enclave, "name": "report", "owner_email": "bob@x.io" });
    let stolen = async {
        proxy.until(patch).await;
        let leases = world.admin.namespaced::<Lease>(&enclave);
        leases.patch("tentacular.enclave", &json!({ "spec": { "holderIdentity": "another" } })).await.unwrap();
    };
    let (given, ()) = tokio::join!(world.call(&Caller::Bearer, "permissions_set", arguments), stolen);
    let error = given.unwrap_err();
    assert!(error.contains("the lock was lost"), "{error}");
}

#[tokio::test]
async fn names_may_be_as_long_as_kubernetes_allows() {
    let world = World::start().await.unwrap();
    let enclave = world.provision("long").await;
    let name = "a".repeat(63);
    let job = |image: &str| {
        let pod = json!({ "restartPolicy": "Never", "containers": [{ "name": "c", "image": image }] });
        json!({ "apiVersion": "batch/v1", "kind": "Job", "metadata": { "name": name },
            "spec": { "template": { "spec": pod } } })
    };
    let apply = |image: &str| {
        let manifests = [config_map(&format!("{name}-code"), image), deployment(&name, "i:1"), job(image)];
        let mut arguments = call(&enclave, &name, &manifests);
        arguments["replace_jobs"] = json!(true);
        arguments
    };
    let ann = person("ann@x.io");
    world.call(&ann, "wf_apply", apply("i:1")).await.unwrap();
    let replaced = world.call(&ann, "wf_apply", apply("i:2")).await.unwrap();
    let job = replaced["objects"].as_array().unwrap().iter().find(|object| object["kind"] == "Job").unwrap();
    assert_eq!(job["action"], "replaced", "{replaced}");
    let set = json!({ "enclave": enclave, "name": name, "owner_email": "bob@x.io" });
    world.call(&ann, "permissions_set", set).await.unwrap();
    let removed = world.call(&ann, "wf_remove", json!({ "enclave": enclave, "name": name })).await.unwrap();
    assert_eq!((&removed["deleted"], &removed["remaining"]), (&json!(3), &json!([])), "{removed}");
}
