//! The leader is told to end, or stands still while another leads.

use anyhow::{Context as _, ensure};
use serde_json::Value;
use tentacular_test_harness::fault_proxy::Call;
use tokio::time::timeout;

use super::{
    account::Account,
    world::{LONG, TENTACLES, World},
};

fn count(runs: &[Value], state: &str) -> usize {
    runs.iter().filter(|run| run["state"] == state).count()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn e2e_schedule_faults_a_leader_that_is_told_to_end_hands_over_and_ends_its_runs() -> anyhow::Result<()> {
    let (world, mut account) = (World::new(60).await?, Account::default());
    let (leader, term) = world.leader(|_| true).await?;
    world.engine.hold(true);
    timeout(LONG, world.engine.next()).await.context("nothing is fired")?;
    let run_id = world.engine.calls().last().context("no call")?.run_id.clone();
    world.schedulers[leader].child.terminate()?;
    let (_, next) = world.leader(|number| number != leader).await?;
    // Nobody has to wait for the end of a Lease that was given back.
    let given_back =
        |call: &Call| call.resource() == "leases" && call.is_write() && call.body["spec"]["holderIdentity"] == "";
    ensure!(world.proxy.saw(given_back), "the leader kept its Lease to its end");
    ensure!(next > term, "term {next} after {term}");
    world.engine.hold(false);
    let status = timeout(LONG, world.schedulers[leader].child.wait()).await.context("it does not end")??;
    ensure!(status.success(), "{status}");
    let mut runs = Vec::new();
    for tentacle in TENTACLES {
        runs.extend(world.ledger(tentacle).await?);
    }
    let run = runs.iter().find(|run| run["id"] == run_id.as_str()).context("no ledger has the run")?;
    ensure!(run["state"] == "succeeded", "the run that went on was not ended: {run}");
    let of_the_next = |run: &&Value| run["state"] == "succeeded" && run["term"].as_i64() >= Some(next);
    world.until(|runs| runs.iter().filter(of_the_next).count() > 1).await?;
    account.holds(&world).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn e2e_schedule_faults_a_leader_that_stood_still_fires_nothing_afterwards() -> anyhow::Result<()> {
    let (world, mut account) = (World::new(60).await?, Account::default());
    let (leader, term) = world.leader(|_| true).await?;
    world.until(|runs| count(runs, "succeeded") > 1).await?;
    world.schedulers[leader].child.pause()?;
    let (_, next) = world.leader(|number| number != leader).await?;
    world.until(|runs| runs.iter().any(|run| run["term"].as_i64() == Some(next))).await?;
    let calls = world.proxy.calls().len();
    world.schedulers[leader].child.resume()?;
    let before = world.engine.calls().len();
    while world.engine.calls().len() < before + 6 {
        timeout(LONG, world.engine.next()).await.context("nobody fires any more")?;
    }
    // What it had under way may arrive and is refused; nothing of its term is carried out after the other's.
    let carried_out = |call: &&Call| call.status.is_some_and(|status| status < 300);
    for call in world.proxy.calls().iter().skip(calls).filter(carried_out) {
        let late = super::account::written(call).into_iter().find(|run| run["state"] == "claimed");
        ensure!(late.is_none_or(|run| run["term"].as_i64() > Some(term)), "a claim of term {term}: {call:?}");
    }
    account.holds(&world).await
}
