//! The beginning of the tour: an enclave, and a tentacle that is applied, gets ready and runs.

use std::time::{Duration, Instant};

use anyhow::ensure;
use serde_json::{Value, json};
use tentacular_test_harness::mcp::Mcp;
use tokio::time::sleep;

use crate::{
    story::Story,
    world::{self, ENCLAVE, PATIENCE},
};

/// The tentacle.
pub(crate) const NAME: &str = "word-count";

pub(super) async fn show(story: &mut Story, ann: &Mcp) -> anyhow::Result<()> {
    let tools = ann.tools().await?.len();
    story.step(&format!("Ann signs in with an MCP client and sees {tools} tools"));

    let arguments = json!({ "name": ENCLAVE, "members": [world::email("bob")] });
    let made = ann.call("enclave_provision", arguments).await?;
    ensure!(made["owner"] == world::email(world::OWNER), "enclave_provision answers {made}");
    let things = made["resources_created"].as_array().map_or(0, Vec::len);
    story.step(&format!(
        "enclave_provision makes her the enclave {ENCLAVE}: a namespace with {things} things in it, and Bob a member"
    ));

    let arguments = json!({ "enclave": ENCLAVE, "name": NAME, "manifests": world::word_count()? });
    let applied = ann.call("wf_apply", arguments).await?;
    until_ready(ann).await?;
    story.step(&format!("wf_apply makes the tentacle {NAME}: {} objects, and it gets ready", applied["created"]));

    let mut run = place();
    run["input"] = json!({ "text": "one fish two fish red fish blue fish" });
    let ran = ann.call("wf_run", run).await?;
    ensure!(ran["success"] == true, "wf_run answers {ran}");
    let count = &ran["output"]["outputs"]["count"];
    let health = ann.call("wf_health", place()).await?;
    ensure!(health["status"] == "green", "wf_health answers {health}");
    story.step(&format!(
        "wf_run counts {} words, {} different ones, in {} ms; wf_health says green",
        count["words"], count["distinct"], ran["duration_ms"]
    ));
    Ok(())
}

/// Where it is, as tools take it.
pub(crate) fn place() -> Value {
    json!({ "enclave": ENCLAVE, "name": NAME })
}

async fn until_ready(mcp: &Mcp) -> anyhow::Result<()> {
    let until = Instant::now() + PATIENCE;
    loop {
        let status = mcp.call("wf_status", place()).await?;
        if status["ready"] == true {
            return Ok(());
        }
        ensure!(Instant::now() < until, "{NAME} does not get ready: {status}");
        sleep(Duration::from_millis(50)).await;
    }
}
