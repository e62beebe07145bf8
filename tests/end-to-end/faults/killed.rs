//! The registrar is killed right after each of its writes in turn, and the same call again comes to the full result.

use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};

use anyhow::{Context as _, ensure};
use tentacular_test_harness::{
    Part,
    fault_proxy::{Call, Fault},
};

use super::{
    lane::Lane,
    live::Content,
    scenario::{Point, Scenario, Undisturbed},
};
use crate::support::unique;

/// Kills the registrar at each point of the call in turn.
async fn at_each_write(scenario: Scenario) -> anyhow::Result<()> {
    let lane = Lane::new("killed", 1).await?;
    let Undisturbed { result, points } = scenario.undisturbed(&lane).await?;
    for point in &points {
        let at = || format!("{scenario:?}, killed after {point:?}");
        at_write(&lane, scenario, point, &result).await.with_context(at)?;
    }
    Ok(())
}

async fn at_write(lane: &Lane, scenario: Scenario, point: &Point, result: &Content) -> anyhow::Result<()> {
    let place = scenario.prepare(lane, 0).await?;
    let registrar = lane.stack.process(Part::Registrar)?;
    lane.proxy.start_afresh();
    lane.proxy.fail(point.number()..point.number() + 1, place.is_at(point), Fault::Kill(Arc::clone(&registrar)));
    let answer = scenario.call(lane, &place).await;
    ensure!(lane.proxy.saw(|call| call.struck), "it was not killed: {answer:?}");
    registrar.wait().await?;
    let sentence = answer.err().context("a registrar that was killed reported success")?;
    ensure!(sentence.contains("may have had effect"), "{sentence}");
    lane.stack.restart(Part::Registrar)?;
    scenario.repeat(lane, &place).await?;
    scenario.is_complete(lane, &place, result).await?;
    lane.beside_is_untouched().await?;
    scenario.clear(lane, &place).await
}

/// A lock that nobody renews ends after this time.
const LEASE: Duration = Duration::from_secs(15);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn e2e_faults_another_registrar_goes_on_when_the_lock_of_a_killed_one_has_ended() -> anyhow::Result<()> {
    let lane = Lane::new("successor", 1).await?;
    let scenario = Scenario::FirstApply;
    let Undisturbed { result, points } = scenario.undisturbed(&lane).await?;
    let place = scenario.prepare(&lane, 0).await?;
    let registrar = lane.stack.process(Part::Registrar)?;
    // In the middle of the writes, with the lock held.
    let middle = place.is_at(&points[points.len() / 2]);
    lane.proxy.start_afresh();
    lane.proxy.fail(0..1, middle, Fault::Kill(Arc::clone(&registrar)));
    let refused = scenario.call(&lane, &place).await;
    ensure!(refused.is_err(), "a registrar that was killed reported success");
    registrar.wait().await?;
    let lease = lane.live.lease(&place.enclave, &place.tentacle).await?.context("nothing is locked")?;
    let lease = lease.spec.unwrap_or_default();
    ensure!(lease.lease_duration_seconds == Some(i32::try_from(LEASE.as_secs())?), "{lease:?}");
    let renewed = SystemTime::from(lease.renew_time.context("a lock that was never renewed")?.0);

    lane.proxy.start_afresh();
    lane.stack.restart_with(Part::Registrar, &[format!("--identity={}", unique("successor"))])?;
    // A registrar that begins makes the bindings that are missing.
    let is_of_an_object = |call: &Call| {
        let other = ["leases", "rolebindings"].contains(&call.resource());
        call.is_write() && call.namespace() == Some(&place.enclave) && !other
    };
    let first_write = lane.proxy.until(is_of_an_object);
    let (answer, written) = tokio::join!(scenario.call(&lane, &place), async {
        first_write.await;
        SystemTime::now()
    });
    answer.map_err(anyhow::Error::msg)?;
    ensure!(
        written >= renewed + LEASE,
        "written {:?} after the last renewal of another's lock",
        written.duration_since(renewed)
    );
    scenario.is_complete(&lane, &place, &result).await?;
    lane.beside_is_untouched().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn e2e_faults_a_provision_killed_after_any_write_converges() -> anyhow::Result<()> {
    at_each_write(Scenario::Provision).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn e2e_faults_a_first_apply_killed_after_any_write_converges() -> anyhow::Result<()> {
    at_each_write(Scenario::FirstApply).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn e2e_faults_a_changing_apply_killed_after_any_write_converges() -> anyhow::Result<()> {
    at_each_write(Scenario::Change).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn e2e_faults_a_removal_killed_after_any_write_converges() -> anyhow::Result<()> {
    at_each_write(Scenario::Remove).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn e2e_faults_a_deprovision_killed_after_any_write_converges() -> anyhow::Result<()> {
    at_each_write(Scenario::Deprovision).await
}
