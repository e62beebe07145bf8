//! Tentacles as real pods.

use anyhow::ensure;
use k8s_openapi::api::{core::v1::Pod, networking::v1::NetworkPolicy};
use kube::api::{Api, ListParams, PostParams};
use serde_json::json;

use crate::{clock::Clock, release::Release, support::apply};

#[tokio::test]
#[ignore = "needs real nodes: make e2e-node"]
async fn node_a_tentacle_is_applied_run_observed_and_removed() -> anyhow::Result<()> {
    let release = Release::with(&[]).await?;
    let mcp = release.client().await?;
    mcp.call("enclave_provision", json!({ "name": "team", "owner_email": "ann@example.com" })).await?;
    let place = json!({ "enclave": "team", "name": "word-count" });

    let applied = mcp.call("wf_apply", apply(&place, &json!({}))?).await?;
    ensure!(applied["rollout"]["ready"] == true, "{applied}");
    let policies =
        Api::<NetworkPolicy>::namespaced(release.admin.clone(), "team").list(&ListParams::default()).await?;
    let names: Vec<_> = policies.items.iter().filter_map(|policy| policy.metadata.name.as_deref()).collect();
    ensure!(names.contains(&"default-deny") && names.contains(&"word-count-netpol"), "{names:?}");

    let mut run = place.clone();
    run["input"] = json!({ "text": "the cat and the hat" });
    let ran = mcp.call("wf_run", run).await?;
    ensure!(ran["output"]["outputs"]["count"]["words"] == 5, "{ran}");
    let logs = mcp.call("wf_logs", place.clone()).await?;
    ensure!(logs.to_string().contains("0.0.0.0:8080"), "what the engine says first: {logs}");
    let health = mcp.call("wf_health", place.clone()).await?;
    ensure!(health["status"] == "green", "{health}");
    let events = mcp.call("wf_events", place.clone()).await?;
    ensure!(events.to_string().contains("Scheduled"), "{events}");

    let pods = Api::<Pod>::namespaced(release.admin.clone(), "team");
    let privileged = json!({ "metadata": { "name": "tried", "labels": { "a": "b" } }, "spec": { "containers": [{
        "name": "tried", "image": "localhost/pause:1", "securityContext": { "privileged": true } }] } });
    let refused = pods.create(&PostParams::default(), &serde_json::from_value(privileged)?).await;
    let refused = refused.expect_err("restricted is enforced").to_string();
    ensure!(refused.contains("violates PodSecurity"), "{refused}");

    let removed = mcp.call("wf_remove", place.clone()).await?;
    ensure!(removed["deleted"].as_u64() >= Some(4), "{removed}");
    let left = pods.list(&ListParams::default()).await?.items;
    ensure!(left.is_empty(), "{left:?}");
    Ok(())
}

#[tokio::test]
#[ignore = "needs real nodes: make e2e-node"]
async fn node_a_schedule_fires_each_instant_once_over_the_cluster_dns() -> anyhow::Result<()> {
    let release = Release::with(&[]).await?;
    let mcp = release.client().await?;
    mcp.call("enclave_provision", json!({ "name": "team", "owner_email": "ann@example.com" })).await?;
    let clock = Clock::start(&mcp, "team").await?;
    clock.fired(&mcp, 3).await?;
    clock.account(&release).await
}
