//! A tentacle that a schedule fires all the time, and the account of its firings.

use std::collections::BTreeMap;

use anyhow::{Context as _, ensure};
use serde_json::{Value, json};
use tentacular_test_harness::mcp::Mcp;

use crate::{
    release::Release,
    support::{apply, until},
};

/// Seconds between two instants. They are multiples of it, counted from 1970.
const SECONDS: u8 = 10;

/// A tentacle `clock` in an enclave.
pub(crate) struct Clock {
    place: Value,
    /// By the instant, in seconds since 1970: the run.
    seen: BTreeMap<i64, Value>,
}

impl Clock {
    /// Applies it and waits for its first firing.
    pub(crate) async fn start(mcp: &Mcp, enclave: &str) -> anyhow::Result<Self> {
        let place = json!({ "enclave": enclave, "name": "clock" });
        let schedule = json!({ "tentacular.io/cron-schedule": format!("@every {SECONDS}s") });
        mcp.call("wf_apply", apply(&place, &schedule)?).await?;
        let clock = Self { place, seen: BTreeMap::new() };
        clock.fired(mcp, 1).await?;
        Ok(clock)
    }

    /// Waits until it fired this often.
    pub(crate) async fn fired(&self, mcp: &Mcp, times: usize) -> anyhow::Result<()> {
        let enough = |runs: &Value| runs["runs"].as_array().is_some_and(|runs| runs.len() >= times);
        until("firings", || mcp.call("wf_runs", self.place.clone()), enough).await?;
        Ok(())
    }

    /// Takes note of the runs so far, of which a ledger keeps the last fifty.
    pub(crate) async fn look(&mut self, release: &Release) -> anyhow::Result<()> {
        let mut ask = self.place.clone();
        ask["limit"] = json!(50);
        let mcp = release.client().await?;
        for run in mcp.call("wf_runs", ask).await?["runs"].as_array().context("runs")? {
            let instant: k8s_openapi::jiff::Timestamp = run["instant"].as_str().context("an instant")?.parse()?;
            let before = self.seen.insert(instant.as_second(), run.clone());
            ensure!(before.is_none_or(|before| before["run_id"] == run["run_id"]), "two runs of one instant: {run}");
        }
        Ok(())
    }

    /// Fails unless every instant since the first one was fired, once, and went well.
    pub(crate) async fn account(mut self, release: &Release) -> anyhow::Result<()> {
        self.look(release).await?;
        let (first, last) = self.seen.keys().next().zip(self.seen.keys().last()).context("no firing")?;
        for instant in (*first..*last).step_by(SECONDS.into()) {
            let run = self.seen.get(&instant).with_context(|| format!("the instant {instant} was not fired"))?;
            ensure!(run["state"] == "succeeded" && run["count"].is_null(), "{run}");
        }
        // What the engine counted: a firing that was called twice shows here. The last one may not have reached it.
        let entries = self.seen.len() as u64;
        let mut ask = self.place.clone();
        ask["detail"] = json!(true);
        let mcp = release.client().await?;
        let health = mcp.call("wf_health", ask).await?;
        let detail: Value = serde_json::from_str(health["detail"].as_str().context("no detail")?)?;
        let ran = detail["totalEvents"].as_u64().with_context(|| detail.to_string())?;
        self.look(release).await?;
        let later = self.seen.len() as u64;
        ensure!((entries - 1..=later).contains(&ran), "{ran} runs by the engine, {entries} to {later} in the ledger");
        Ok(())
    }
}
