//! `wf_runs`: pages and filters.

use std::collections::BTreeSet;

use k8s_openapi::jiff::Timestamp;
use serde_json::{Value, json};

use crate::{
    schedules::world::{Place, time, world},
    wire::ERAS,
};

#[tokio::test]
async fn e2e_run_the_ledger_is_read_page_by_page() -> anyhow::Result<()> {
    let place = Place::with("pages", json!({})).await?;
    let mut made = Vec::new();
    for input in [json!({}), json!({ "fail": "a" }), json!({}), json!({ "fail": "b" }), json!({})] {
        let ran = place.bearer.call("wf_run", place.arguments(&json!({ "input": input }))).await?;
        made.insert(0, ran["run_id"].clone());
    }
    for era in ERAS {
        let mcp = world().await?.client(era).await?;
        for (filter, wanted) in [
            (json!({}), &[0, 1, 2, 3, 4][..]),
            (json!({ "state": "failed" }), &[1, 3]),
            (json!({ "state": "succeeded" }), &[0, 2, 4]),
            (json!({ "state": "interrupted" }), &[]),
            (json!({ "schedule": "@daily" }), &[]),
        ] {
            let (mut seen, mut cursor) = (Vec::new(), Value::Null);
            loop {
                let mut arguments = place.arguments(&filter);
                arguments["limit"] = json!(2);
                if cursor.is_string() {
                    arguments["cursor"] = cursor;
                }
                let page = mcp.call("wf_runs", arguments).await?;
                let runs = page["runs"].as_array().unwrap();
                seen.extend(runs.iter().map(|run| run["run_id"].clone()));
                assert_eq!(
                    (page["truncated"] == true, runs.len()),
                    (page["next_cursor"].is_string(), runs.len().min(2))
                );
                cursor = page["next_cursor"].clone();
                if cursor.is_null() {
                    break;
                }
            }
            let wanted: Vec<_> = wanted.iter().map(|index: &usize| made[*index].clone()).collect();
            assert_eq!(seen, wanted, "{filter}");
        }
        for (wrong, said) in [
            (json!({ "limit": 0 }), "give 1 to 50"),
            (json!({ "limit": 51 }), "give 1 to 50"),
            (json!({ "cursor": "yesterday" }), "cursor"),
            (json!({ "state": "lost" }), "interrupted"),
        ] {
            let refusal = mcp.refusal("wf_runs", place.arguments(&wrong)).await;
            let text = refusal.unwrap_or_else(|error| format!("{error:#}"));
            assert!(text.contains(said), "{wrong}: {text}");
        }
    }
    Ok(())
}

#[tokio::test]
async fn e2e_run_schedules_and_callers_share_a_ledger() -> anyhow::Result<()> {
    let annotations = json!({ "tentacular.io/cron-schedule": "a=@every 1s,b=@every 2s",
        "tentacular.io/cron-overlap": "allow" });
    let place = Place::with("shared", annotations).await?;
    let ran = place.bearer.call("wf_run", place.arguments(&json!({}))).await?;
    place.fires("b", 2, Timestamp::UNIX_EPOCH).await?;
    let runs = place.fires("a", 2, Timestamp::UNIX_EPOCH).await?;
    assert!(runs.iter().any(|run| run["run_id"] == ran["run_id"] && run["by"] == "bearer-token"), "{runs:?}");
    let begun: Vec<_> = runs.iter().filter_map(|run| run.get("started_at")).map(time).collect();
    assert!(begun.is_sorted_by(|newer, older| newer >= older), "newest first: {runs:?}");
    let ids: BTreeSet<_> = runs.iter().map(|run| run["run_id"].to_string()).collect();
    assert_eq!(ids.len(), runs.len(), "{runs:?}");
    for schedule in ["a", "b"] {
        let asked = place.arguments(&json!({ "schedule": schedule }));
        let answer = place.bearer.call("wf_runs", asked).await?;
        let runs = answer["runs"].as_array().unwrap();
        assert!(runs.len() >= 2 && runs.iter().all(|run| run["trigger"] == schedule), "{answer}");
    }
    Ok(())
}
