//! The end of the tour's waiting: a schedule that fires while nobody calls.

use std::{
    collections::BTreeSet,
    time::{Duration, Instant},
};

use anyhow::ensure;
use serde_json::Value;
use tentacular_test_harness::{mcp::Mcp, provider};
use tokio::time::sleep;

use crate::{shares, story::Story, world::PATIENCE};

/// How often it fires, as cron says it.
pub(crate) const EVERY_MINUTE: &str = "* * * * *";

pub(super) async fn show(story: &mut Story, ann: &Mcp) -> anyhow::Result<()> {
    let until = Instant::now() + PATIENCE;
    let mut waits = false;
    let runs = loop {
        let runs = fired(ann).await?;
        if !runs.is_empty() {
            break runs;
        }
        if !waits {
            let seconds = 60 - provider::now() % 60;
            story.note(&format!("    (waiting for the full minute, {seconds} s from now)"));
            waits = true;
        }
        ensure!(Instant::now() < until, "the schedule of {} does not fire", shares::NAME);
        sleep(Duration::from_millis(100)).await;
    };
    let instants: BTreeSet<_> = runs.iter().map(|run| run["instant"].to_string()).collect();
    ensure!(instants.len() == runs.len(), "an instant was fired twice: {runs:?}");
    let first = &runs[runs.len() - 1];
    ensure!(first["state"] == "succeeded", "the run of the schedule did not succeed: {first}");
    story.step(&format!(
        "{}'s schedule fired for {}, {} ms late and once, while nobody called",
        shares::NAME,
        first["instant"].as_str().unwrap_or_default(),
        first["lateness_ms"]
    ));
    Ok(())
}

/// The runs that the schedule made and that have ended, newest first.
async fn fired(mcp: &Mcp) -> anyhow::Result<Vec<Value>> {
    let shown = mcp.call("wf_runs", shares::place()).await?;
    let runs = shown["runs"].as_array().into_iter().flatten().filter(|run| run["by"] == "schedule");
    // What came while the schedulers changed may have been skipped.
    Ok(runs.filter(|run| run["state"] != "claimed" && run["state"] != "skipped").cloned().collect())
}
