//! A schedule with a name, in the annotation or in `workflow.yaml`, sends it to the tentacle.

use std::collections::BTreeMap;

use k8s_openapi::jiff::Timestamp;
use serde_json::{Value, json};

use super::world::{Place, engine, of, scheduled, world};

const CRON: &str = "tentacular.io/cron-schedule";

/// What the engine was told of each run, by its id.
async fn triggers(place: &Place) -> anyhow::Result<BTreeMap<String, Value>> {
    let detail = engine(world().await?, &place.enclave).await?;
    let recent = detail["recentEvents"].as_array().cloned().unwrap_or_default();
    let told = recent.into_iter().filter_map(|run| Some((run["runId"].as_str()?.to_owned(), run["trigger"].clone())));
    Ok(told.collect())
}

/// Compares what the engine was told with what the ledger says of the schedule.
async fn same(place: &Place, schedule: &str, name: &str) -> anyhow::Result<()> {
    place.fires(schedule, 2, Timestamp::UNIX_EPOCH).await?;
    let told = triggers(place).await?;
    for asked in [schedule, name] {
        let arguments = place.arguments(&json!({ "schedule": asked, "state": "succeeded" }));
        let runs = place.bearer.call("wf_runs", arguments).await?;
        let runs = runs["runs"].as_array().unwrap();
        assert!(runs.len() >= 2 && runs.iter().all(|run| run["schedule"] == schedule && run["trigger"] == name));
        let known = runs.iter().filter_map(|run| told.get(run["run_id"].as_str()?));
        let known: Vec<_> = known.collect();
        assert!(known.len() >= 2 && known.iter().all(|trigger| **trigger == name), "{told:?}");
    }
    Ok(())
}

#[tokio::test]
async fn e2e_schedule_sends_its_name_from_the_annotation() -> anyhow::Result<()> {
    let place = Place::with(
        "named",
        json!({ CRON: "one=@every 1s,two=@every 2s",
        "tentacular.io/cron-overlap": "allow" }),
    )
    .await?;
    same(&place, "one", "one").await?;
    same(&place, "two", "two").await
}

#[tokio::test]
async fn e2e_schedule_sends_the_name_that_the_workflow_gives_it() -> anyhow::Result<()> {
    let place = Place::new("workflow").await?;
    let mut manifests = scheduled(&json!({ CRON: "@every 1s" }))?;
    let code = &mut of(&mut manifests, "ConfigMap")?["data"]["workflow.yaml"];
    let yaml = code.as_str().unwrap();
    let triggers = "triggers:\n  - type: cron\n    name: tick\n    schedule: '@every 1s'\n";
    *code = json!(yaml.replace("triggers:\n", triggers));
    place.apply(&manifests).await?;
    same(&place, "@every 1s", "tick").await?;
    let shown = place.schedule().await?;
    assert_eq!((&shown["schedules"][0]["id"], &shown["schedules"][0]["name"]), (&json!("@every 1s"), &json!("tick")));
    Ok(())
}

#[tokio::test]
async fn e2e_schedule_the_workflow_decides_how_an_ambiguous_annotation_is_read() -> anyhow::Result<()> {
    let place = Place::new("ambiguous").await?;
    let mut manifests = scheduled(&json!({ CRON: "0 9 * * 1,5,30 2 * * *" }))?;
    let code = &mut of(&mut manifests, "ConfigMap")?["data"]["workflow.yaml"];
    let yaml = code.as_str().unwrap();
    let triggers = "triggers:\n  - {type: cron, name: week, schedule: '0 9 * * 1,5'}\n  \
                    - {type: cron, schedule: 30 2 * * *}\n";
    *code = json!(yaml.replace("triggers:\n", triggers));
    place.apply(&manifests).await?;
    let shown = place.schedule().await?;
    let schedules: Vec<_> = shown["schedules"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| (one["id"].as_str(), one["expression"].as_str()))
        .collect();
    assert_eq!(schedules, [(Some("week"), Some("0 9 * * 1,5")), (Some("30 2 * * *"), Some("30 2 * * *"))], "{shown}");
    assert_eq!(shown["invalid"], json!([]));
    Ok(())
}

#[tokio::test]
async fn e2e_schedule_names_of_the_workflow_that_are_none_are_told() -> anyhow::Result<()> {
    let place = Place::new("nameless").await?;
    let mut manifests = scheduled(&json!({ CRON: "0 9 * * *,0 10 * * *" }))?;
    let code = &mut of(&mut manifests, "ConfigMap")?["data"]["workflow.yaml"];
    let yaml = code.as_str().unwrap();
    let triggers = "triggers:\n  - {type: cron, name: same, schedule: 0 9 * * *}\n  \
                    - {type: cron, name: same, schedule: 0 10 * * *}\n";
    *code = json!(yaml.replace("triggers:\n", triggers));
    place.apply(&manifests).await?;
    let shown = place.schedule().await?;
    assert_eq!(shown["schedules"].as_array().map(Vec::len), Some(2), "{shown}");
    let [told] = &shown["invalid"].as_array().unwrap()[..] else { panic!("{shown}") };
    assert!(told.as_str().unwrap().contains("the name \"same\""), "{shown}");
    Ok(())
}
