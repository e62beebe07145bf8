//! The API server fails at each write in turn, in each way: the call is a full success or an error that says so, and the
//! same call again comes to the full result.

use anyhow::{Context as _, ensure};
use futures::future::try_join_all;
use tentacular_test_harness::fault_proxy::Fault;

use super::{
    lane::Lane,
    live::Content,
    scenario::{Point, Scenario, Undisturbed},
};

const FAULTS: [Fault; 5] = [
    Fault::Status(409, None),
    Fault::Status(429, Some(1)),
    Fault::Status(500, None),
    Fault::CloseBefore,
    Fault::CloseAfter,
];
/// Calls at the same time, each in another enclave. With many more, those of all these tests would keep the renewals of each
/// other's locks waiting on a slow machine.
const AT_ONCE: usize = 2;
/// Enclaves that each of them uses in turn: an apply reads all that its enclave holds, and each round leaves a tentacle.
const IN_TURN: usize = 3;

/// Lets each write of the call fail in each way.
async fn at_each_write(scenario: Scenario) -> anyhow::Result<()> {
    let lane = &Lane::new("failing", AT_ONCE * IN_TURN).await?;
    let Undisturbed { result, points } = &scenario.undisturbed(lane).await?;
    let runs: Vec<_> = points.iter().flat_map(|point| FAULTS.map(|fault| (point, fault))).collect();
    let runs = &runs;
    let slots = (0..AT_ONCE).map(|slot| async move {
        let enclaves = (0..IN_TURN).map(|turn| slot + turn * AT_ONCE).cycle();
        for ((point, fault), slot) in runs.iter().skip(slot).step_by(AT_ONCE).zip(enclaves) {
            let at = || format!("{scenario:?}, {fault:?} at {point:?}");
            at_write((lane, slot), scenario, (point, fault), result).await.with_context(at)?;
        }
        anyhow::Ok(())
    });
    try_join_all(slots).await?;
    lane.beside_is_untouched().await
}

async fn at_write(
    (lane, slot): (&Lane, usize),
    scenario: Scenario,
    (point, fault): (&Point, &Fault),
    result: &Content,
) -> anyhow::Result<()> {
    let place = scenario.prepare(lane, slot).await?;
    let before = scenario.stands(lane, &place).await?;
    let is_at = place.is_at(point);
    lane.proxy.fail(point.number()..point.number() + 1, place.is_at(point), fault.clone());
    let answer = scenario.call(lane, &place).await;
    let struck = lane.proxy.saw(|call| call.struck && is_at(call));
    ensure!(struck, "nothing failed");
    if let Err(sentence) = answer {
        ensure!(says_why(&sentence), "an error that does not say why: {sentence}");
        if sentence.contains("nothing was") {
            ensure!(scenario.stands(lane, &place).await? == before, "something was: {sentence}");
        }
        scenario.repeat(lane, &place).await.context(sentence)?;
    }
    scenario.is_complete(lane, &place, result).await?;
    scenario.clear(lane, &place).await
}

/// Whether the sentence tells what became of the request to the API server.
fn says_why(sentence: &str) -> bool {
    ["a fault that a test asked for", "unavailable", "somebody else", "exists already"]
        .iter()
        .any(|why| sentence.contains(why))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn e2e_faults_a_provision_is_never_a_half_truth_when_a_write_fails() -> anyhow::Result<()> {
    at_each_write(Scenario::Provision).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn e2e_faults_a_first_apply_is_never_a_half_truth_when_a_write_fails() -> anyhow::Result<()> {
    at_each_write(Scenario::FirstApply).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn e2e_faults_a_changing_apply_is_never_a_half_truth_when_a_write_fails() -> anyhow::Result<()> {
    at_each_write(Scenario::Change).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn e2e_faults_a_removal_is_never_a_half_truth_when_a_write_fails() -> anyhow::Result<()> {
    at_each_write(Scenario::Remove).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn e2e_faults_a_deprovision_is_never_a_half_truth_when_a_write_fails() -> anyhow::Result<()> {
    at_each_write(Scenario::Deprovision).await
}
