//! The API server is gone for a while in the middle of a call.

use std::{pin::pin, time::Duration};

use anyhow::bail;
use tokio::time::sleep;

use super::{
    lane::Lane,
    scenario::{Scenario, Undisturbed},
};

/// Longer than a lease lasts.
const AWAY: Duration = Duration::from_secs(20);

/// Lets the API server be away from the middle of the call's writes on.
async fn in_the_middle(scenario: Scenario) -> anyhow::Result<()> {
    let lane = Lane::new("away", 1).await?;
    let Undisturbed { result, points } = scenario.undisturbed(&lane).await?;
    let place = scenario.prepare(&lane, 0).await?;
    lane.proxy.start_afresh();
    let middle = place.is_at(&points[points.len() / 2]);
    let mut call = pin!(scenario.call(&lane, &place));
    tokio::select! {
        answer = &mut call => bail!("{scenario:?} ended before its middle: {answer:?}"),
        () = lane.proxy.until(|call| middle(call)) => lane.proxy.set_up(false).await?,
    }
    let back = async {
        sleep(AWAY).await;
        lane.proxy.set_up(true).await
    };
    let (answer, back) = tokio::join!(call, back);
    back?;
    if answer.is_err() {
        scenario.repeat(&lane, &place).await?;
    }
    scenario.is_complete(&lane, &place, &result).await?;
    lane.beside_is_untouched().await?;
    scenario.clear(&lane, &place).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn e2e_faults_a_provision_and_an_apply_survive_an_api_server_that_is_gone_for_a_while() -> anyhow::Result<()> {
    tokio::try_join!(in_the_middle(Scenario::Provision), in_the_middle(Scenario::FirstApply))?;
    Ok(())
}
