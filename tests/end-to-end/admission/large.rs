//! What takes far more memory than its text is refused, and harms nobody.

use anyhow::{Context as _, ensure};
use serde_json::json;

use super::world::{admin, by, path, world};
use crate::{
    support::stack,
    thief::attempt::{all_possible, create},
};

/// Memory that the chart gives to the webhook, in KiB.
const MEMORY: u32 = 128 * 1024;

/// The most memory that a process ever had, in KiB.
fn most_memory(pid: u32) -> anyhow::Result<u32> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).context("no VmHWM")?;
    Ok(line.split_whitespace().next().context("no figure")?.parse()?)
}

#[tokio::test]
async fn e2e_admission_an_object_of_very_many_values_is_refused_and_harms_nobody() -> anyhow::Result<()> {
    let (world, admin) = (world().await?, admin().await?);
    // A little less than the API server itself takes.
    let spec = json!({ "podSelector": {}, "ingress": [{ "ports": vec![json!({ "port": 1 }); 250_000] }] });
    let policy = json!({ "metadata": { "name": "large" }, "spec": spec });
    let policy = create(path(&world.active, "networking.k8s.io", "networkpolicies"), policy).posing_as(&world.editor);
    let refusal = policy.send(&admin).await.err().context("it was let pass")?.to_string();
    ensure!(refusal.contains("holds more than 10000 values"), "{refusal}");
    let webhook = stack().await?.installation().webhook().context("a webhook")?;
    let memory = most_memory(webhook.pid())?;
    ensure!(memory < MEMORY, "the webhook had {memory} KiB");
    let small = create(path(&world.active, "", "configmaps"), json!({ "metadata": { "name": "small" } }));
    all_possible(&admin, by(&world.editor, &[small])).await
}
