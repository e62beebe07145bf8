//! What became of every instant: gathered from the ledgers as long as they remember it, from the writes that went through
//! the proxy, and from the calls that reached the engine.

use std::collections::BTreeMap;

use anyhow::{Context as _, ensure};
use k8s_openapi::jiff::Timestamp;
use serde_json::Value;
use tentacular_test_harness::fault_proxy::Call;

use super::world::{ENCLAVE, TENTACLES, World};

/// The last that the ledgers said of each run, by tentacle and id.
#[derive(Default)]
pub(super) struct Account(BTreeMap<(&'static str, String), Value>);

/// A run as a write to a ledger has it.
pub(super) fn written(call: &Call) -> Vec<Value> {
    let is_ledger = call.is_write() && call.resource() == "configmaps";
    let data = call.body["data"].as_object().filter(|_| is_ledger);
    let runs = data.into_iter().flatten().filter(|(key, _)| key.starts_with("run."));
    runs.filter_map(|(_, text)| serde_json::from_str(text.as_str()?).ok()).collect()
}

/// Whether a call writes a run in this state.
pub(super) fn writes(call: &Call, state: &str) -> bool {
    written(call).iter().any(|run| run["state"] == state)
}

impl Account {
    /// Takes over what the ledgers say. Must be called before they have forgotten it, which takes 50 instants.
    pub(super) async fn gather(&mut self, world: &World) -> anyhow::Result<()> {
        for tentacle in TENTACLES {
            for run in world.ledger(tentacle).await? {
                let id = run["id"].as_str().context("a run without an id")?.to_owned();
                self.0.insert((tentacle, id), run);
            }
        }
        Ok(())
    }

    /// How many runs ended in this state.
    pub(super) fn count(&self, tentacle: &str, state: &str) -> usize {
        self.0.iter().filter(|((of, _), run)| *of == tentacle && run["state"] == state).count()
    }

    /// Fails unless every instant was claimed or skipped once, and called at most as often as it may be.
    pub(super) async fn holds(&mut self, world: &World) -> anyhow::Result<()> {
        // Whatever was called by now has been claimed.
        let so_far = world.engine.calls();
        self.gather(world).await?;
        for tentacle in TENTACLES {
            self.has_each_instant_once(tentacle)?;
        }
        let (calls, writes) = (world.engine.calls(), world.proxy.calls());
        for ((tentacle, id), run) in &self.0 {
            let path = format!("/{ENCLAVE}/{tentacle}/run");
            let called = calls.iter().filter(|call| call.run_id == *id && call.path == path).count();
            let carried_out = writes.iter().filter(|call| call.status.is_some_and(|status| status < 300));
            let claims = carried_out
                .filter(|call| call.path.contains(&format!("/{ENCLAVE}/")))
                .flat_map(written)
                // One that is handed over has no term any more.
                .filter(|run| run["id"] == id.as_str() && run["state"] == "claimed" && !run["term"].is_null())
                .count();
            ensure!(called <= claims, "{tentacle}: {called} calls, {claims} claims: {run}");
            ensure!(*tentacle == "once" || claims <= 1, "{tentacle}: claimed {claims} times: {run}");
            let state = run["state"].as_str().unwrap_or_default();
            ensure!(state != "succeeded" || called > 0, "{tentacle}: never called: {run}");
            ensure!(state != "skipped" || claims == 0, "{tentacle}: claimed and skipped: {run}");
        }
        for call in &so_far {
            let known = self
                .0
                .keys()
                .any(|(tentacle, id)| *id == call.run_id && call.path == format!("/{ENCLAVE}/{tentacle}/run"));
            ensure!(known, "no ledger knows of the call {call:?}");
        }
        Ok(())
    }

    fn has_each_instant_once(&self, tentacle: &str) -> anyhow::Result<()> {
        let mut spans = Vec::new();
        for run in self.0.iter().filter(|((of, _), _)| *of == tentacle).map(|(_, run)| run) {
            let at = |key: &str| run[key].as_str().map(str::parse::<Timestamp>).transpose();
            let first = at("instant")?.context("a run without an instant")?.as_second();
            let last = at("last_instant")?.map_or(first, Timestamp::as_second);
            ensure!(run["count"].as_i64().unwrap_or(1) == last - first + 1, "{tentacle}: a wrong count: {run}");
            spans.push((first, last, run));
        }
        spans.sort_unstable_by_key(|(first, last, _)| (*first, *last));
        for pair in spans.windows(2) {
            let [(_, last, one), (next, _, other)] = pair else { continue };
            ensure!(last + 1 == *next, "{tentacle}: instants are lost, or there twice, between {one} and {other}");
        }
        ensure!(spans.len() > 2, "{tentacle}: nothing was fired");
        Ok(())
    }
}
