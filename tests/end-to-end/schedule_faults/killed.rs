//! The leader is killed at each step of a firing, again and again.

use std::{
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use anyhow::{Context as _, ensure};
use futures::future::try_join_all;
use tentacular_test_harness::{fault_proxy::Fault, until};
use tokio::time::timeout;

use super::{
    account::{Account, writes},
    world::{LONG, TENTACLES, World},
};

/// Rounds, unless `SCHEDULE_ROUNDS` says otherwise.
const ROUNDS: usize = 30;

/// When the leader is killed.
#[derive(Debug, Clone, Copy)]
enum Step {
    BeforeTheClaim,
    AfterTheClaim,
    DuringTheCall,
    BeforeTheOutcome,
    AfterTheOutcome,
}

const STEPS: [Step; 5] =
    [Step::BeforeTheClaim, Step::AfterTheClaim, Step::DuringTheCall, Step::BeforeTheOutcome, Step::AfterTheOutcome];

/// Numbers in no order, the same for the same seed (splitmix64).
struct Random(u64);

impl Random {
    fn next(&mut self, below: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut number = self.0;
        number = (number ^ (number >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        number = (number ^ (number >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        usize::try_from((number ^ (number >> 31)) >> 33).unwrap_or_default() % below
    }
}

/// Kills the leader when it comes to this step, and returns which scheduler that was.
async fn kill(world: &World, step: Step) -> anyhow::Result<usize> {
    let (leader, _) = world.leader(|number| world.schedulers[number].child.is_running()).await?;
    let child = &world.schedulers[leader].child;
    let fail = |state: &'static str, fault| world.proxy.fail(0..1, move |call| writes(call, state), fault);
    match step {
        Step::BeforeTheClaim => fail("claimed", Fault::KillBefore(Arc::clone(child))),
        Step::AfterTheClaim => fail("claimed", Fault::Kill(Arc::clone(child))),
        Step::BeforeTheOutcome => fail("succeeded", Fault::KillBefore(Arc::clone(child))),
        Step::AfterTheOutcome => fail("succeeded", Fault::Kill(Arc::clone(child))),
        Step::DuringTheCall => {
            world.engine.hold(true);
            world.engine.next().await;
            child.kill()?;
        }
    }
    child.wait().await?;
    world.engine.hold(false);
    Ok(leader)
}

/// One round: the leader is killed, and then somebody fires again: the same scheduler, which takes its Lease over at once, or
/// `another`.
async fn round(world: &mut World, step: Step, another: bool, account: &mut Account) -> anyhow::Result<()> {
    let killed = timeout(LONG, kill(world, step)).await.context("the leader was not killed")??;
    if another {
        world.leader(|number| number != killed).await?;
    }
    world.restart(killed)?;
    timeout(LONG, world.engine.next()).await.context("nobody fires any more")?;
    account.gather(world).await
}

/// Closes the accounts: nothing is open, and every instant is there.
async fn closed(world: &World, mut account: Account) -> anyhow::Result<()> {
    let (leader, term) = world.leader(|number| world.schedulers[number].child.is_running()).await?;
    world
        .until(|runs| runs.iter().all(|run| run["state"] != "claimed" || run["term"].as_i64() >= Some(term)))
        .await?;
    account.gather(world).await?;
    let standby = (0..world.schedulers.len()).filter(|number| *number != leader);
    for number in standby.chain([leader]) {
        let child = &world.schedulers[number].child;
        child.terminate()?;
        let status = timeout(LONG, child.wait()).await.context("a scheduler does not end")??;
        ensure!(status.success(), "a scheduler ended with {status}: {}", child.last_lines(5));
    }
    account.holds(world).await?;
    for tentacle in TENTACLES {
        ensure!(account.count(tentacle, "claimed") == 0, "{tentacle}: a claim is left open");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn e2e_schedule_faults_random_kills_lose_no_instant_and_fire_none_twice() -> anyhow::Result<()> {
    let rounds = std::env::var("SCHEDULE_ROUNDS").ok().map(|text| text.parse()).transpose()?.unwrap_or(ROUNDS);
    let seed = u64::try_from(SystemTime::now().duration_since(UNIX_EPOCH)?.as_nanos() & u128::from(u64::MAX))?;
    let (mut world, mut random, mut account) = (World::new(1).await?, Random(seed), Account::default());
    for number in 0..rounds {
        // Each step once, and then any.
        let step = STEPS[if number < STEPS.len() { number } else { random.next(STEPS.len()) }];
        let at = || format!("round {number}, killed {step:?}, seed {seed}");
        // So that it is not always the beginning of a second.
        tokio::time::sleep(Duration::from_millis(random.next(300) as u64)).await;
        round(&mut world, step, false, &mut account).await.with_context(at)?;
    }
    closed(&world, account).await.with_context(|| format!("seed {seed}"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn e2e_schedule_faults_another_goes_on_where_the_killed_leader_was() -> anyhow::Result<()> {
    let (mut world, mut account) = (World::new(1).await?, Account::default());
    for step in [Step::AfterTheClaim, Step::DuringTheCall] {
        round(&mut world, step, true, &mut account).await.with_context(|| format!("killed {step:?}"))?;
        // Whichever of them had a run that was claimed when the leader died.
        until("a run was interrupted", async || {
            let runs = try_join_all(TENTACLES.map(|tentacle| world.ledger(tentacle))).await?;
            ensure!(runs.iter().flatten().any(|run| run["state"] == "interrupted"), "{runs:#?}");
            Ok(())
        })
        .await?;
    }
    closed(&world, account).await
}
