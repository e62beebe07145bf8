//! `wf_run`: what it answers, what goes on without its caller, and what it writes down.

use anyhow::Context as _;
use k8s_openapi::{api::core::v1::ConfigMap, jiff::Timestamp};
use kube::{Api, api::PostParams};
use serde_json::{Value, json};

use crate::{
    schedules::world::{Place, time, world},
    wire::{ERAS, Message},
};

/// The most that is read of a run's output, in bytes.
const OUTPUT: usize = 4 << 20;

#[tokio::test]
async fn e2e_run_is_answered_and_in_the_ledger_well_or_not() -> anyhow::Result<()> {
    let place = Place::with("run", json!({})).await?;
    for era in ERAS {
        let mcp = world().await?.client(era).await?;
        for (input, success) in [(json!({ "text": "a b b" }), true), (json!({ "fail": "no luck" }), false)] {
            let ran = mcp.call("wf_run", place.arguments(&json!({ "input": input, "timeout_seconds": 60 }))).await?;
            assert_eq!((&ran["enclave"], &ran["name"]), (&json!(place.enclave), &json!("word-count")));
            assert_eq!((&ran["success"], &ran["output"]["success"]), (&json!(success), &json!(success)), "{ran}");
            assert_eq!((&ran["output"]["outputs"]["metadata"]["runId"], ran.get("warnings")), (&ran["run_id"], None));
            assert_eq!(ran["output"]["errors"]["count"].as_str(), (!success).then_some("no luck"));

            let runs = place.runs().await?;
            let (run, state) = (&runs[0], if success { "succeeded" } else { "failed" });
            assert_eq!((&run["run_id"], &run["state"]), (&ran["run_id"], &json!(state)), "{run}");
            assert_eq!((&run["by"], run.get("schedule"), run.get("instant")), (&json!("bearer-token"), None, None));
            assert_eq!((&run["duration_ms"], run["reason"].is_string()), (&ran["duration_ms"], !success), "{run}");
            assert!(!run.to_string().contains("no luck"), "the ledger holds no output: {run}");
            assert!(time(&run["started_at"]) <= time(&run["ended_at"]), "{run}");
        }
    }
    assert_eq!(place.runs().await?.len(), 4);
    Ok(())
}

#[tokio::test]
async fn e2e_run_goes_on_when_its_caller_has_left_and_its_end_is_in_the_ledger() -> anyhow::Result<()> {
    let place = Place::with("left", json!({})).await?;
    for (era, runs) in ERAS.into_iter().zip(1..) {
        let arguments = place.arguments(&json!({ "input": { "sleep_ms": 2000 } }));
        let request = Message::call(era, "wf_run", &arguments).to(&world().await?.raw());
        let caller = tokio::spawn(request.send());
        let begun = place.until(|all| all.len() == runs && all[0]["state"] == "claimed").await?;
        assert_eq!((begun[0].get("ended_at"), begun[0].get("duration_ms")), (None, None), "{}", begun[0]);
        caller.abort();
        let _ = caller.await;
        let ended = place.until(|all| all[0]["state"] != "claimed").await?;
        assert_eq!((&ended[0]["state"], &ended[0]["run_id"]), (&json!("succeeded"), &begun[0]["run_id"]));
        assert!(ended[0]["duration_ms"].as_u64() >= Some(2000), "{}", ended[0]);
    }
    Ok(())
}

#[tokio::test]
async fn e2e_run_may_take_longer_than_the_older_server_waited_and_says_that_it_goes_on() -> anyhow::Result<()> {
    let place = Place::with("long", json!({})).await?;
    let arguments = place.arguments(&json!({ "input": { "sleep_ms": 31_000 } }));
    let (told, result) = told(&arguments).await?;
    assert_eq!(result["success"], true, "{result}");
    assert!(result["duration_ms"].as_u64() >= Some(31_000), "{result}");
    assert!(told.len() >= 3, "{told:?}");
    for word in &told {
        let message = word["message"].as_str().unwrap_or_default();
        assert!(message.contains(result["run_id"].as_str().unwrap()), "{word}");
        assert_eq!(word["total"], 120.0, "{word}");
    }
    Ok(())
}

/// Calls `wf_run` and returns the notifications of progress, and the result.
async fn told(arguments: &Value) -> anyhow::Result<(Vec<Value>, Value)> {
    let params = json!({ "name": "wf_run", "arguments": arguments, "_meta": { "progressToken": "t" } });
    let body = json!({ "jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params });
    let answer = world().await?.raw().post(body.to_string(), &[]).await?;
    let events = answer.text.lines().filter_map(|line| line.strip_prefix("data:"));
    let messages: Vec<Value> = events.filter_map(|event| serde_json::from_str(event).ok()).collect();
    let (told, mut results): (Vec<_>, Vec<_>) =
        messages.into_iter().partition(|message| message["method"] == "notifications/progress");
    let result = results.pop().with_context(|| answer.text.clone())?["result"]["structuredContent"].take();
    Ok((told.into_iter().map(|mut message| message["params"].take()).collect(), result))
}

#[tokio::test]
async fn e2e_run_output_is_read_to_its_limit() -> anyhow::Result<()> {
    let place = Place::with("output", json!({})).await?;
    let run = |bytes: usize| place.arguments(&json!({ "input": { "echo_bytes": bytes } }));
    let ran = place.bearer.call("wf_run", run(OUTPUT)).await?;
    assert_eq!(ran["output"]["raw"].as_str().map(str::len), Some(OUTPUT));
    let refusal = place.bearer.refusal("wf_run", run(OUTPUT + 1)).await?;
    assert!(refusal.contains("longer than 4194304 bytes"), "{refusal}");
    let runs = place.runs().await?;
    assert_eq!((&runs[0]["state"], &runs[1]["state"]), (&json!("failed"), &json!("succeeded")));
    assert!(runs[0]["reason"].as_str().unwrap().contains("longer than 4194304 bytes"), "{}", runs[0]);
    assert!(refusal.contains(runs[0]["run_id"].as_str().unwrap()), "{refusal}");
    Ok(())
}

#[tokio::test]
async fn e2e_run_is_made_although_the_ledger_cannot_be_written() -> anyhow::Result<()> {
    let place = Place::with("unwritten", json!({})).await?;
    let admin = world().await?.installation().control_plane().admin()?;
    // Without the label of a ledger it is a person's, which the scheduler may not write.
    let map = serde_json::from_value(json!({ "metadata": { "name": "tentacular-runs-word-count" } }))?;
    Api::<ConfigMap>::namespaced(admin, &place.enclave).create(&PostParams::default(), &map).await?;
    let ran = place.bearer.call("wf_run", place.arguments(&json!({ "input": { "text": "a b" } }))).await?;
    assert_eq!((&ran["success"], &ran["output"]["outputs"]["count"]["words"]), (&json!(true), &json!(2)));
    let warning = ran["warnings"][0].as_str().unwrap_or_default();
    assert!(warning.contains("ledger") && warning.contains("tentacular.io/ledger"), "{ran}");
    assert_eq!(place.runs().await?.len(), 0);
    Ok(())
}

#[tokio::test]
async fn e2e_run_counts_as_a_run_that_schedules_do_not_overlap() -> anyhow::Result<()> {
    let place = Place::with("overlap", json!({ "tentacular.io/cron-schedule": "@every 1s" })).await?;
    place.fires("@every 1s", 1, Timestamp::UNIX_EPOCH).await?;
    let arguments = place.arguments(&json!({ "input": { "sleep_ms": 8000 } }));
    let another = client_of_its_own().await?;
    let running = tokio::spawn(async move { another.call("wf_run", arguments).await });
    let is_running = |run: &Value| run["by"] == "bearer-token" && run["state"] == "claimed";
    place.until(|runs| runs.iter().any(is_running)).await?;
    let claimed = Timestamp::now();
    running.await??;
    let runs = place.fires("@every 1s", 2, Timestamp::now()).await?;
    let run = runs.iter().find(|run| run["by"] == "bearer-token").context("the run")?;
    let meanwhile = |run: &&Value| run.get("started_at").is_some_and(|at| time(at) > claimed);
    let fired: Vec<_> = runs.iter().filter(|fired| fired["by"] == "schedule").filter(meanwhile).collect();
    assert!(fired.iter().all(|fired| time(&fired["started_at"]) >= time(&run["ended_at"])), "{runs:?}");
    let skipped: Vec<_> = runs.iter().filter(|run| run["state"] == "skipped").collect();
    assert!(skipped.iter().any(|run| run["reason"] == "the run before it was still going on"), "{runs:?}");
    let count: u64 = skipped.iter().filter_map(|run| run["count"].as_u64()).sum();
    assert!(count >= 2, "{runs:?}");
    Ok(())
}

async fn client_of_its_own() -> anyhow::Result<tentacular_test_harness::mcp::Mcp> {
    world().await?.client(tentacular_test_harness::mcp::Era::Stateless).await
}

#[tokio::test]
async fn e2e_run_what_is_refused_is_not_in_the_ledger() -> anyhow::Result<()> {
    let place = Place::with("refused", json!({})).await?;
    place.sync("frozen").await?;
    let refusal = place.bearer.refusal("wf_run", place.arguments(&json!({}))).await?;
    assert!(refusal.contains("frozen"), "{refusal}");
    let absent = json!({ "enclave": place.enclave, "name": "absent" });
    for tool in ["wf_run", "wf_runs"] {
        let refusal = place.bearer.refusal(tool, absent.clone()).await?;
        assert!(refusal.contains("does not exist") || refusal.contains("frozen"), "{refusal}");
    }
    assert_eq!(place.runs().await?.len(), 0);
    let admin = world().await?.installation().control_plane().admin()?;
    let maps = Api::<ConfigMap>::namespaced(admin, &place.enclave).list(&kube::api::ListParams::default()).await?;
    let ledgers = maps.items.iter().filter_map(|map| map.metadata.name.as_deref());
    assert_eq!(ledgers.filter(|name| name.starts_with("tentacular-runs-")).count(), 0);
    Ok(())
}
