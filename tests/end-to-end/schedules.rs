//! Schedules fire: as their annotations say, once an instant, written down in the ledger. A change counts at once.

mod changing;
mod invalid;
mod named;
mod shown;
pub(crate) mod world;

use std::collections::BTreeSet;

use k8s_openapi::jiff::Timestamp;
use serde_json::json;

use self::world::{Place, instant, time};

#[tokio::test]
async fn e2e_schedule_fires_every_instant_once() -> anyhow::Result<()> {
    let place = Place::with("cron", json!({ "tentacular.io/cron-schedule": "@every 1s" })).await?;
    let runs = place.fires("@every 1s", 5, Timestamp::UNIX_EPOCH).await?;
    let instants: BTreeSet<_> = runs.iter().map(instant).collect();
    assert_eq!(instants.len(), runs.len(), "{runs:?}");
    for run in &runs {
        assert_eq!((&run["by"], run.get("trigger")), (&json!("schedule"), None), "{run}");
        assert!(time(&run["started_at"]) >= time(&run["instant"]) && run["lateness_ms"].is_u64(), "{run}");
    }
    // Nothing lies between two that was neither fired nor skipped.
    let accounted: i64 = runs.iter().map(|run| run["count"].as_i64().unwrap_or(1)).sum();
    let first = runs.iter().map(|run| time(&run["instant"])).min().unwrap();
    let last = instants.last().unwrap();
    assert_eq!(last.as_second() - first.as_second() + 1, accounted, "{runs:?}");
    Ok(())
}

#[tokio::test]
async fn e2e_schedule_jitter_moves_each_schedule_by_its_own_time_and_no_instant() -> anyhow::Result<()> {
    let annotations = json!({ "tentacular.io/cron-schedule": "a=@every 2s,b=@every 2s,c=@every 2s",
        "tentacular.io/cron-jitter": "1", "tentacular.io/cron-overlap": "allow" });
    let place = Place::with("jitter", annotations).await?;
    let shown = place.schedule().await?;
    let jitters: BTreeSet<_> = shown["schedules"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| &one["jitter_ms"])
        .map(|ms| ms.as_i64().unwrap())
        .collect();
    assert!(jitters.len() > 1 && jitters.iter().all(|ms| (0..1000).contains(ms)), "{shown}");
    for one in shown["schedules"].as_array().unwrap() {
        let runs = place.fires(one["id"].as_str().unwrap(), 2, Timestamp::UNIX_EPOCH).await?;
        for run in runs.iter().filter(|run| run["schedule"] == one["id"] && run["state"] != "skipped") {
            assert_eq!(instant(run).as_second() % 2, 0, "{run}");
            let moved = time(&run["started_at"]).as_millisecond() - instant(run).as_millisecond();
            let lateness = run["lateness_ms"].as_i64().unwrap();
            assert_eq!(moved, one["jitter_ms"].as_i64().unwrap() + lateness, "{run}");
        }
    }
    Ok(())
}
