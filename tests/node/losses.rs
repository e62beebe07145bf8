//! Replicas that go: killed, or moved from a node that is drained.

use anyhow::{Context as _, ensure};
use k8s_openapi::api::core::v1::{Node, Pod};
use kube::{
    ResourceExt as _,
    api::{Api, EvictParams, Patch, PatchParams},
};
use serde_json::json;
use tentacular_test_harness::installation::SERVER_NAMESPACE;

use crate::{
    clock::Clock,
    load::Load,
    release::Release,
    support::{is_ready, until},
};

#[tokio::test]
#[ignore = "needs real nodes: make e2e-node"]
async fn node_a_replica_that_is_killed_costs_a_call_no_more_than_one_repeat() -> anyhow::Result<()> {
    let release = Release::with(&[]).await?;
    let place = release.busy("team").await?;
    let load = Load::start(&release, &place, true).await?;
    for pod in release.pods("tentacular-mcp").await? {
        let restarts = restarts(&pod);
        let node = pod.spec.as_ref().and_then(|spec| spec.node_name.clone()).context("a pod on no node")?;
        let workers = release.cluster.workers();
        let worker = workers.iter().find(|worker| worker.name() == node).context("an unknown node")?;
        let killed = worker.kill_pod(&pod.uid().context("a pod without a uid")?)?;
        ensure!(killed >= 5, "{killed} processes: four parts and what keeps the pod");
        let back =
            |pods: &Vec<Pod>| pods.len() == 2 && pods.iter().all(is_ready) && started_again(pods, &pod, restarts);
        until("the replica", || release.pods("tentacular-mcp"), back).await?;
    }
    let made = load.end().await?;
    ensure!(made.failed.is_empty(), "{} of {} calls: {:#?}", made.failed.len(), made.calls, made.failed);
    Ok(())
}

#[tokio::test]
#[ignore = "needs real nodes: make e2e-node"]
async fn node_both_nodes_are_drained_one_by_one_and_no_firing_is_lost() -> anyhow::Result<()> {
    let release = Release::with(&[]).await?;
    let place = release.busy("team").await?;
    let clock = Clock::start(&release.client().await?, "team").await?;
    let load = Load::start(&release, &place, true).await?;
    for worker in release.cluster.workers() {
        cordon(&release, worker.name(), true).await?;
        let drained = drain(&release, worker.name()).await;
        cordon(&release, worker.name(), false).await?;
        drained?;
    }
    let made = load.end().await?;
    ensure!(made.failed.is_empty(), "{} of {} calls: {:#?}", made.failed.len(), made.calls, made.failed);
    clock.account(&release).await
}

async fn cordon(release: &Release, node: &str, on: bool) -> anyhow::Result<()> {
    let nodes = Api::<Node>::all(release.admin.clone());
    let patch = Patch::Merge(json!({ "spec": { "unschedulable": on } }));
    nodes.patch(node, &PatchParams::default(), &patch).await?;
    Ok(())
}

/// Evicts the product's pods from a node, as `kubectl drain` does: again where their budget does not allow it yet.
async fn drain(release: &Release, node: &str) -> anyhow::Result<()> {
    let pods = Api::<Pod>::namespaced(release.admin.clone(), SERVER_NAMESPACE);
    for deployment in ["tentacular-mcp", "tentacular-webhook"] {
        for pod in release.pods(deployment).await? {
            if is_on(&pod, node) {
                let evict = async || Ok(pods.evict(&pod.name_any(), &EvictParams::default()).await?);
                until("an eviction", evict, |_| true).await?;
            }
        }
        let moved = |pods: &Vec<Pod>| pods.len() == 2 && pods.iter().all(|pod| is_ready(pod) && !is_on(pod, node));
        until("the replicas elsewhere", || release.pods(deployment), moved).await?;
    }
    Ok(())
}

fn is_on(pod: &Pod, node: &str) -> bool {
    pod.spec.as_ref().and_then(|spec| spec.node_name.as_deref()) == Some(node)
}

/// Of all containers.
fn restarts(pod: &Pod) -> i32 {
    let status = pod.status.as_ref();
    let containers = status.into_iter().flat_map(|status| {
        status.container_statuses.iter().flatten().chain(status.init_container_statuses.iter().flatten())
    });
    containers.map(|container| container.restart_count).sum()
}

fn started_again(pods: &[Pod], before: &Pod, restarts_before: i32) -> bool {
    let same = pods.iter().find(|pod| pod.uid() == before.uid());
    same.is_none_or(|pod| restarts(pod) > restarts_before)
}
