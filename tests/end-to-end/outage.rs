//! Without the API server: nothing is decided on what nobody confirms any more, and what needs no decision goes on.

use std::sync::Arc;

use anyhow::{Context as _, ensure};
use serde_json::json;
use tentacular_test_harness::{ControlPlane, Installation, Stack, background, mcp::Era, tls, until};

use crate::support::{apply_word_count, enclave};

#[tokio::test]
async fn facts_that_nobody_confirms_decide_nothing_after_a_while_and_the_rest_goes_on() -> anyhow::Result<()> {
    let control_plane = ControlPlane::exclusive().await?;
    let start = async { Stack::start(Arc::new(Installation::install(control_plane).await?)).await };
    let stack = background().spawn(start).await??;
    let mcp = stack.client(Era::Stateless).await?;
    let name = enclave(&mcp, "outage").await?;
    apply_word_count(&mcp, &name).await?;
    let status = json!({ "enclave": name, "name": "word-count" });
    mcp.call("wf_status", status.clone()).await?;

    let programs = stack.installation().control_plane().programs();
    let (_, server) = programs.into_iter().find(|(name, _)| *name == "kube-apiserver").context("no API server")?;
    server.kill()?;
    until("facts that nobody confirms decide no more", async || {
        let answer = stack.raw().call("wf_status", &status).await?;
        ensure!(answer.tool_error().contains("authorization data is stale"), "{}", answer.text);
        Ok(())
    })
    .await?;
    assert!(stack.raw().tools().await?.contains(&"wf_status".to_owned()));
    let health = tls::plain().build()?.get(stack.url().replace("/mcp", "/healthz")).send().await?;
    assert_eq!(health.status(), 200);
    Ok(())
}
