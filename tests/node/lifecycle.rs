//! What outlives an upgrade, a rollback and an uninstall.

use anyhow::ensure;
use kube::api::{Patch, PatchParams};
use serde_json::{Value, json};
use tentacular_test_harness::{chart::CHART, mcp::Raw};

use crate::{release::Release, support::until};

#[tokio::test]
#[ignore = "needs real nodes: make e2e-node"]
async fn node_an_upgrade_that_fails_hurts_nobody_and_is_rolled_back() -> anyhow::Result<()> {
    let release = Release::with(&[]).await?;
    let (token, images) = (release.token().await?, release.images().await?);
    let absent = ["upgrade", "tentacular-mcp", CHART, "--reuse-values", "--wait"];
    let absent: Vec<_> = absent.into_iter().chain(["--timeout=20s", "--set=auditor.image.tag=absent"]).collect();
    let error = release.helm(&absent).await.expect_err("there is no such image").to_string();
    ensure!(error.contains("timed out") || error.contains("deadline"), "{error}");
    release.client().await?.call("wf_list", json!({})).await?;

    release.helm(&["rollback", "tentacular-mcp", "1", "--wait", "--timeout=5m"]).await?;
    let same = |now: &Vec<String>| *now == images;
    until("the images of before", || release.images(), same).await?;
    ensure!(release.token().await? == token, "a rollback made another token");
    release.client().await?.call("wf_list", json!({})).await?;
    Ok(())
}

#[tokio::test]
#[ignore = "needs real nodes: make e2e-node"]
async fn node_after_a_reinstall_the_token_counts_and_tentacles_are_there() -> anyhow::Result<()> {
    let release = Release::with(&[]).await?;
    let place = release.busy("team").await?;
    let token = release.token().await?;
    let before = release.client().await?.call("wf_status", place.clone()).await?;
    release.upgrade(&["kernel.logLevel=debug"]).await?;
    ensure!(release.token().await? == token, "an upgrade made another token");
    release.uninstall().await?;
    release.install(&[]).await?;
    ensure!(release.token().await? == token, "the token did not outlive the uninstall");
    let mcp = release.client().await?;
    let info = mcp.call("enclave_info", json!({ "name": "team" })).await?;
    ensure!(info["owner"] == "ann@example.com" && info["status"] == "active", "{info}");
    let after = mcp.call("wf_status", place.clone()).await?;
    ensure!(after["ready"] == true && after["pods"] == before["pods"], "{before} became {after}");
    let ran = mcp.call("wf_run", place).await?;
    ensure!(ran["output"]["success"] == true, "{ran}");
    Ok(())
}

#[tokio::test]
#[ignore = "needs real nodes: make e2e-node"]
async fn node_a_changed_token_counts_without_a_restart() -> anyhow::Result<()> {
    let release = Release::none().await?;
    release.secret("mine", &json!({ "token": "the first token of this test" })).await?;
    release.install(&["auth.existingSecret=mine"]).await?;
    until("the first token", || statuses(&release, "the first token of this test"), |all| all == &[200; 2]).await?;
    let pods = names(&release).await?;
    let changed = Patch::Merge(json!({ "stringData": { "token": "the second token of this test" } }));
    release.secrets().patch("mine", &PatchParams::default(), &changed).await?;
    until("the second token", || statuses(&release, "the second token of this test"), |all| all == &[200; 2]).await?;
    until(
        "the end of the first token",
        || statuses(&release, "the first token of this test"),
        |all| all == &[401; 2],
    )
    .await?;
    ensure!(names(&release).await? == pods, "pods were replaced");
    Ok(())
}

async fn names(release: &Release) -> anyhow::Result<Vec<Value>> {
    let pods = release.pods("tentacular-mcp").await?;
    let mut pods: Vec<_> = pods.iter().map(|pod| json!([pod.metadata.name, pod.metadata.uid])).collect();
    pods.sort_by_key(ToString::to_string);
    Ok(pods)
}

/// How each replica answers to this token.
async fn statuses(release: &Release, token: &str) -> anyhow::Result<Vec<u16>> {
    let mut statuses = Vec::new();
    for pod in release.pods("tentacular-mcp").await? {
        let address = pod.status.and_then(|status| status.pod_ip).unwrap_or_default();
        let url = format!("http://{address}:8080/mcp");
        statuses.push(Raw::new(&url, Some(token)).call("enclave_list", &json!({})).await?.status);
    }
    Ok(statuses)
}
