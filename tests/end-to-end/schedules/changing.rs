//! What is changed about a schedule counts for the next instant, without a restart. "At once" is told by instants: a
//! schedule that was not taken up would fire for ever beside one that was.

use k8s_openapi::jiff::Timestamp;
use serde_json::{Value, json};

use super::world::{Place, instant, scheduled, time};
use crate::support::unique;

const CRON: &str = "tentacular.io/cron-schedule";
const START: Timestamp = Timestamp::UNIX_EPOCH;

/// The newest instant of a schedule that was fired or skipped.
fn newest(runs: &[Value], schedule: &str) -> Timestamp {
    runs.iter().filter(|run| run["schedule"] == schedule).map(instant).max().unwrap_or(START)
}

/// Waits until a schedule stands still while that of the witness goes on, and returns its newest instant.
async fn stops(place: &Place, schedule: &str, witness: &Place) -> anyhow::Result<Timestamp> {
    let told = newest(&place.runs().await?, schedule);
    loop {
        let stopped = newest(&place.runs().await?, schedule);
        // Usually one is under way, no more; a busy machine is slower to hear of it.
        assert!(stopped.as_second() <= told.as_second() + 10, "it goes on");
        witness.fires("@every 1s", 4, stopped).await?;
        if newest(&place.runs().await?, schedule) == stopped {
            return Ok(stopped);
        }
    }
}

/// Nothing is missed while there is no schedule.
fn nothing_between(stopped: Timestamp, back: Timestamp, runs: &[Value]) {
    let between = runs.iter().find(|run| instant(run) > stopped && time(&run["instant"]) <= back);
    assert_eq!(between, None, "{runs:?}");
}

#[tokio::test]
async fn e2e_schedule_a_change_or_removal_counts_for_the_next_instant() -> anyhow::Result<()> {
    let witness = Place::with("witness", json!({ CRON: "@every 1s" })).await?;
    let place = Place::with("changing", json!({ CRON: "a=@every 1s" })).await?;
    place.fires("a", 1, START).await?;

    place.annotate(json!({ CRON: "b=@every 1s" })).await?;
    place.fires("b", 3, START).await?;
    let runs = place.runs().await?;
    let first = runs.iter().filter(|run| run["schedule"] == "b").map(|run| time(&run["instant"])).min().unwrap();
    assert!(newest(&runs, "a") <= first, "{runs:?}");

    place.annotate(json!({ CRON: null })).await?;
    let stopped = stops(&place, "b", &witness).await?;
    let back = Timestamp::now();
    place.annotate(json!({ CRON: "b=@every 1s" })).await?;
    let runs = place.fires("b", 2, stopped).await?;
    nothing_between(stopped, back, &runs);
    place.annotate(json!({ CRON: null })).await?;
    stops(&place, "b", &witness).await?;
    Ok(())
}

#[tokio::test]
async fn e2e_schedule_stands_still_while_the_enclave_is_frozen() -> anyhow::Result<()> {
    let witness = Place::with("warm", json!({ CRON: "@every 1s" })).await?;
    let place = Place::with("frozen", json!({ CRON: "@every 1s", "tentacular.io/cron-missed": "once" })).await?;
    place.fires("@every 1s", 1, START).await?;

    place.sync("frozen").await?;
    stops(&place, "@every 1s", &witness).await?;
    assert_eq!(place.schedule().await?["frozen"], true);

    place.sync("active").await?;
    let thawed = newest(&place.runs().await?, "@every 1s");
    let runs = place.fires("@every 1s", 2, thawed).await?;
    assert_eq!(place.schedule().await?["frozen"], false);
    let skipped: Vec<_> = runs.iter().filter(|run| run["reason"] == "the enclave was frozen").collect();
    assert_eq!((skipped.len(), &skipped[0]["state"]), (1, &json!("skipped")), "{runs:?}");
    assert!(skipped[0]["count"].as_u64() >= Some(2) && skipped[0]["last_instant"].is_string(), "{}", skipped[0]);
    Ok(())
}

#[tokio::test]
async fn e2e_schedule_begins_anew_with_an_enclave_that_is_made_again() -> anyhow::Result<()> {
    let name = unique("reborn");
    let mut before = START;
    for _ in 0..2 {
        let place = Place::named(name.clone()).await?;
        place.apply(&scheduled(&json!({ CRON: "@every 1s" }))?).await?;
        let runs = place.fires("@every 1s", 2, before).await?;
        assert!(runs.iter().all(|run| time(&run["instant"]) > before), "{runs:?}");
        place.bearer.call("enclave_deprovision", json!({ "name": name })).await?;
        before = newest(&runs, "@every 1s");
    }
    Ok(())
}

#[tokio::test]
async fn e2e_schedule_stops_with_its_tentacle_and_goes_on_from_the_ledger_when_that_is_back() -> anyhow::Result<()> {
    let witness = Place::with("staying", json!({ CRON: "@every 1s" })).await?;
    let place = Place::with("removed", json!({ CRON: "@every 1s" })).await?;
    place.fires("@every 1s", 2, START).await?;
    place.bearer.call("wf_remove", place.arguments(&json!({}))).await?;
    let stopped = stops(&place, "@every 1s", &witness).await?;
    let left = place.runs().await?;

    let applied = Timestamp::now();
    place.apply(&scheduled(&json!({ CRON: "@every 1s" }))?).await?;
    let runs = place.fires("@every 1s", 2, stopped).await?;
    assert!(
        left.iter().all(|old| runs.iter().any(|run| run["run_id"] == old["run_id"])),
        "the ledger stays: {runs:?}"
    );
    nothing_between(stopped, applied, &runs);
    Ok(())
}
