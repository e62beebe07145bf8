//! What the watches and patient reads do while the API server is out of reach, and after.

use std::time::Duration;

use k8s_openapi::api::{apps::v1::Deployment, core::v1::ConfigMap};
use serde_json::json;
use tentacular_cluster::STALE_AFTER;
use tokio::time::Instant;

use crate::{
    support::{World, object, until, watch},
    way::Way,
};

#[tokio::test]
async fn an_outage_is_seen_and_heals() {
    let world = World::new().await;
    let name = world.name("outage");
    world.enclave(&name).await;
    world.bind(&name).await;
    world.deploy(&name, "before").await;
    let server = world.control_plane.url();
    let way = Way::to(server).await;
    let cluster = way.cluster(&world.kubeconfig().await, server).await;
    let (enclaves, deployments) = watch::<Deployment>(&cluster).await;
    until("the enclave is watched", async || deployments.has_synced(&name)).await;

    way.open.send_replace(false);
    until("the outage is seen", async || {
        enclaves.freshness().failing_since.is_some() && deployments.freshness(&name).failing_since.is_some()
    })
    .await;
    assert!(deployments.get(&name, "before").is_some(), "what was seen stays");
    assert!(!deployments.freshness(&name).is_stale(Instant::now()));
    assert!(deployments.freshness(&name).is_stale(Instant::now() + STALE_AFTER));
    assert!(cluster.probe().await.unwrap_err().is_unavailable());

    world.deploy(&name, "after").await;
    tokio::time::sleep(Duration::from_millis(500)).await;
    way.open.send_replace(true);
    until("the watches heal", async || {
        deployments.freshness(&name).failing_since.is_none() && deployments.get(&name, "after").is_some()
    })
    .await;
    assert!(deployments.is_ready() && enclaves.is_ready());
}

#[tokio::test]
async fn patient_reads_and_dry_runs_outlast_an_outage_and_writes_do_not() {
    let world = World::new().await;
    let namespace = world.control_plane.namespace("patience").await.unwrap();
    let way = Way::to(world.control_plane.url()).await;
    let usual = way.cluster(world.control_plane.admin_kubeconfig(), world.control_plane.url()).await;
    let maps = usual.patient(Duration::from_mins(1)).namespaced::<ConfigMap>(&namespace);
    let map: ConfigMap = object(json!({ "metadata": { "name": "ledger" } }));
    maps.create(&map).await.unwrap();

    way.open.send_replace(false);
    assert!(maps.patch("ledger", &json!({ "data": { "a": "1" } })).await.unwrap_err().is_unavailable());
    assert!(maps.delete("ledger", &tentacular_cluster::Delete::default()).await.unwrap_err().is_unavailable());
    // One try each, and at most one more of the HTTP client, on a new connection.
    assert!(way.refused() <= 4, "the writes were sent again");
    assert!(usual.namespaced::<ConfigMap>(&namespace).get("ledger").await.unwrap_err().is_unavailable());
    let short = usual.patient(Duration::from_millis(300)).namespaced::<ConfigMap>(&namespace);
    assert!(short.get("ledger").await.unwrap_err().is_unavailable());

    let before = way.refused();
    let read = tokio::spawn({
        let maps = maps.clone();
        async move { maps.get("ledger").await }
    });
    let rehearsed = tokio::spawn(async move { maps.dry_run(true).patch("ledger", &json!({ "data": {} })).await });
    until("both are sent again", async || way.refused() >= before + 4).await;
    assert!(!read.is_finished() && !rehearsed.is_finished());
    way.open.send_replace(true);
    assert!(read.await.unwrap().unwrap().is_some());
    rehearsed.await.unwrap().unwrap();
}
