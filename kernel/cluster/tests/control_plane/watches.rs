//! The watches follow the enclaves, each alone.

use std::{sync::Arc, time::Duration};

use k8s_openapi::api::{apps::v1::Deployment, core::v1::Namespace};
use serde_json::json;
use tentacular_cluster::{Enclaves, Error, Metadata, PerEnclave};
use tentacular_contract::{Platform, keys};
use tokio::time::{Instant, timeout};

use crate::support::{World, deployment, until, watch};

#[tokio::test]
async fn a_new_enclaves_deployment_appears() {
    let world = World::new().await;
    let (enclaves, full) = watch::<Deployment>(&world.scoped().await).await;
    let (_, metadata) = watch::<Metadata<Deployment>>(&world.scoped().await).await;
    let mut changes = full.changes();
    let name = world.name("new");
    world.enclave(&name).await;
    world.bind(&name).await;
    world.deploy(&name, "report").await;

    until("the Deployment is seen", async || full.get(&name, "report").is_some()).await;
    until("its metadata is seen", async || metadata.get(&name, "report").is_some()).await;
    timeout(Duration::from_mins(2), changes.changed()).await.unwrap();
    let seen = full.get(&name, "report").unwrap();
    assert_eq!(seen.spec.as_ref().unwrap().replicas, Some(0));
    assert_eq!(seen.metadata.managed_fields, None);
    assert_eq!(metadata.get(&name, "report").unwrap().metadata.uid, seen.metadata.uid);
    assert!(full.has_synced(&name));
    assert!(!full.freshness(&name).is_stale(Instant::now()));

    let enclave = enclaves.get(&name).unwrap();
    assert_eq!(enclave.name, name);
    assert!(enclaves.list().contains(&enclave));
    assert_eq!(enclaves.read(&name).await.unwrap().as_ref(), Some(&*enclave));
    assert_eq!(enclaves.metadata(&name).unwrap().annotations.as_ref().unwrap()[keys::ENCLAVE], name.as_str());
}

#[tokio::test]
async fn who_asks_before_the_first_list_waits_for_it_and_is_not_told_that_there_is_nothing() {
    let world = World::new().await;
    let (enclaves, follow) = Enclaves::new(world.scoped().await, Platform::default());
    assert!(enclaves.trusted(Duration::ZERO).await.is_err());
    let name = world.name("early");
    world.enclave(&name).await;
    tokio::spawn(follow);
    let listed = enclaves.trusted(Duration::from_mins(2)).await.unwrap();
    assert!(listed.iter().any(|enclave| enclave.name == name));
}

#[tokio::test]
async fn a_recreated_enclave_starts_afresh() {
    let world = World::new().await;
    let (enclaves, deployments) = watch::<Deployment>(&world.scoped().await).await;
    let name = world.name("again");
    world.enclave(&name).await;
    world.bind(&name).await;
    world.deploy(&name, "report").await;
    until("the Deployment is seen", async || deployments.get(&name, "report").is_some()).await;
    let before = enclaves.metadata(&name).unwrap().uid.clone();

    world.remove(&name).await;
    until("the enclave is forgotten", async || enclaves.get(&name).is_none() && !deployments.has_synced(&name)).await;
    assert!(deployments.list(&name).is_empty());

    world.enclave(&name).await;
    world.bind(&name).await;
    until("the enclave is watched again", async || deployments.has_synced(&name)).await;
    assert_ne!(enclaves.metadata(&name).unwrap().uid, before);
    assert!(deployments.list(&name).is_empty());
    world.deploy(&name, "report").await;
    until("its Deployment is seen", async || deployments.get(&name, "report").is_some()).await;
}

#[tokio::test]
async fn an_enclave_without_binding_stops_no_other_and_heals_when_the_binding_comes() {
    let world = World::new().await;
    let (bound, unbound) = (world.name("bound"), world.name("unbound"));
    for name in [&bound, &unbound] {
        world.enclave(name).await;
        world.deploy(name, "report").await;
    }
    world.bind(&bound).await;

    let (_, deployments) = watch::<Deployment>(&world.scoped().await).await;
    until("the bound enclave is seen", async || deployments.get(&bound, "report").is_some()).await;
    assert!(!deployments.has_synced(&unbound));
    assert!(deployments.freshness(&unbound).is_stale(Instant::now()));
    assert!(matches!(deployments.read(&unbound, "report").await, Err(Error::Forbidden { .. })));

    world.bind(&unbound).await;
    until("the watch heals", async || deployments.freshness(&unbound).failing_since.is_none()).await;
    assert!(deployments.has_synced(&unbound));
    assert!(deployments.get(&unbound, "report").is_some());
}

#[tokio::test]
async fn a_namespace_that_loses_its_label_is_gone() {
    let world = World::new().await;
    let (enclaves, deployments) = watch::<Deployment>(&world.scoped().await).await;
    let name = world.name("unlabelled");
    world.enclave(&name).await;
    world.bind(&name).await;
    world.deploy(&name, "report").await;
    until("the Deployment is seen", async || deployments.get(&name, "report").is_some()).await;

    let unlabel = json!({ "metadata": { "labels": { keys::MANAGED_BY: null } } });
    world.admin.all::<Namespace>().patch(name.as_str(), &unlabel).await.unwrap();
    until("the enclave is gone", async || enclaves.get(&name).is_none() && !deployments.has_synced(&name)).await;
    assert!(deployments.get(&name, "report").is_none());
    assert_eq!(enclaves.read(&name).await.unwrap(), None);
}

#[tokio::test]
async fn of_an_object_only_what_the_watcher_wants_is_kept() {
    let world = World::new().await;
    let scoped = world.scoped().await;
    let name = world.name("kept");
    world.enclave(&name).await;
    world.bind(&name).await;
    for deployment in ["left-out", "report"] {
        world.deploy(&name, deployment).await;
    }
    let keep = |deployment: Metadata<Deployment>| deployment.metadata.name.filter(|name| name != "left-out");
    let (enclaves, run) = Enclaves::new(scoped.clone(), Platform::default());
    tokio::spawn(run);
    let (names, run) = PerEnclave::keeping(scoped, enclaves, None, keep);
    tokio::spawn(run);

    until("the enclave is listed", async || names.has_synced(&name)).await;
    assert_eq!(names.list(&name), [Arc::new("report".to_owned())]);
    world.deploy(&name, "second").await;
    until("a change is seen", async || names.list(&name).len() == 2).await;
    assert!(names.get_or_read(&name, "left-out").await.unwrap().is_none());
    assert!(names.read(&name, "left-out").await.unwrap().is_some());
}

#[tokio::test]
async fn what_the_watch_has_not_seen_is_read() {
    let world = World::new().await;
    let scoped = world.scoped().await;
    let name = world.name("read");
    world.enclave(&name).await;
    world.bind(&name).await;
    let (_, deployments) = watch::<Metadata<Deployment>>(&scoped).await;
    until("the enclave is watched", async || deployments.has_synced(&name)).await;

    world.deploy(&name, "report").await;
    let read = deployments.get_or_read(&name, "report").await.unwrap().unwrap();
    assert_eq!(read.metadata.name.as_deref(), Some("report"));
    assert!(deployments.get_or_read(&name, "nothing").await.unwrap().is_none());
    assert!(deployments.read(&name, "report").await.unwrap().is_some());
}

#[tokio::test]
async fn a_terminating_enclave_that_may_not_be_read_any_more_is_empty() {
    let world = World::new().await;
    let name = world.name("ending");
    world.enclave(&name).await;
    world.bind(&name).await;
    // A finalizer keeps the Deployment, and so the namespace, after the binding is gone.
    let mut kept = deployment("report");
    kept.metadata.finalizers = Some(vec!["tentacular.io/test".to_owned()]);
    let admin = world.admin.namespaced::<Deployment>(name.as_str());
    admin.create(&kept).await.unwrap();
    let (enclaves, _) = watch::<Deployment>(&world.scoped().await).await;
    world.admin.all::<Namespace>().delete(name.as_str(), &tentacular_cluster::Delete::default()).await.unwrap();
    until("the enclave is terminating", async || enclaves.get(&name).is_some_and(|facts| facts.terminating)).await;

    let bindings = world.admin.namespaced::<k8s_openapi::api::rbac::v1::RoleBinding>(name.as_str());
    until("the binding is gone", async || bindings.get("watcher").await.unwrap().is_none()).await;
    let (_, deployments) = watch::<Deployment>(&world.scoped().await).await;
    until("the watch ends", async || deployments.has_synced(&name)).await;
    assert!(deployments.list(&name).is_empty());
    assert!(deployments.read(&name, "report").await.unwrap().is_none());

    admin.patch("report", &json!({ "metadata": { "finalizers": null } })).await.unwrap();
    until("the enclave is gone", async || !deployments.has_synced(&name)).await;
}
