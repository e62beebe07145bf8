//! `wf_schedule`: when a tentacle runs next, for whom it may tell.

use anyhow::ensure;
use k8s_openapi::jiff::Timestamp;
use serde_json::json;

use tentacular_test_harness::until;

use super::world::{Place, scheduled, time, world};
use crate::wire::ERAS;

#[tokio::test]
async fn e2e_schedule_is_shown_with_its_next_instants_in_its_zone() -> anyhow::Result<()> {
    let annotations = json!({
        "tentacular.io/cron-schedule": "berlin=0 9 * * *,CRON_TZ=Asia/Tokyo 0 9 * * *,@every 1s",
        "tentacular.io/cron-timezone": "Europe/Berlin",
        "tentacular.io/cron-missed": "once",
    });
    let place = Place::with("shown", annotations).await?;
    for era in ERAS {
        let mcp = world().await?.client(era).await?;
        let shown = mcp.call("wf_schedule", place.arguments(&json!({}))).await?;
        assert_eq!((&shown["enclave"], &shown["name"]), (&json!(place.enclave), &json!("word-count")));
        assert_eq!((&shown["frozen"], &shown["invalid"]), (&json!(false), &json!([])));
        assert_eq!((&shown["missed"], &shown["overlap"]), (&json!("once"), &json!("skip")));
        let schedules = shown["schedules"].as_array().unwrap();
        let ids: Vec<_> = schedules.iter().map(|one| one["id"].as_str().unwrap()).collect();
        assert_eq!(ids, ["berlin", "CRON_TZ=Asia/Tokyo 0 9 * * *", "@every 1s"]);
        for (one, (zone, offsets)) in schedules.iter().zip([
            ("Europe/Berlin", ["+01:00", "+02:00"]),
            ("Asia/Tokyo", ["+09:00", "+09:00"]),
            ("Europe/Berlin", ["+01:00", "+02:00"]),
        ]) {
            assert_eq!(one["timezone"], zone);
            let next = one["next"].as_array().unwrap();
            assert_eq!(next.len(), 5, "{one}");
            let times: Vec<_> = next.iter().map(|instant| time(&instant["utc"])).collect();
            assert!(times.is_sorted() && times[0].as_second() >= Timestamp::now().as_second() - 60, "{one}");
            for instant in next {
                let local = instant["local"].as_str().unwrap();
                assert_eq!(time(&instant["utc"]), time(&instant["local"]), "{instant}");
                assert!(offsets.iter().any(|offset| local.ends_with(offset)), "{instant}");
                assert!(one["id"] == "@every 1s" || local.contains("T09:00:00"), "{instant}");
            }
        }
    }
    // What is accounted for goes on.
    let newest = async || anyhow::Ok(place.schedule().await?["schedules"][2]["newest"].clone());
    until("a firing is shown", async || {
        ensure!(newest().await?.is_string());
        Ok(())
    })
    .await?;
    let first = time(&newest().await?);
    until("the next one is shown", async || {
        ensure!(time(&newest().await?) > first);
        Ok(())
    })
    .await
}

#[tokio::test]
async fn e2e_schedule_is_shown_as_far_as_is_asked_and_to_whom_may_read() -> anyhow::Result<()> {
    let place = Place::new("asked").await?;
    let ann = place.person("ann").await?;
    let manifests = scheduled(&json!({ "tentacular.io/cron-schedule": "@daily" }))?;
    ann.call("wf_apply", place.arguments(&json!({ "manifests": manifests }))).await?;
    for (limit, instants) in [(1, 1), (50, 50)] {
        let shown = place.bearer.call("wf_schedule", place.arguments(&json!({ "limit": limit }))).await?;
        assert_eq!(shown["schedules"][0]["next"].as_array().map(Vec::len), Some(instants));
    }
    for limit in [0, 51] {
        let refusal = place.bearer.refusal("wf_schedule", place.arguments(&json!({ "limit": limit }))).await?;
        assert!(refusal.contains("limit") && refusal.contains("50"), "{refusal}");
    }
    let absent = json!({ "enclave": place.enclave, "name": "absent" });
    let refusal = place.bearer.refusal("wf_schedule", absent.clone()).await?;
    assert!(refusal.contains("does not exist"), "{refusal}");

    // The default mode: members read.
    let (bob, eve) = (place.person("bob").await?, place.person("eve").await?);
    for who in [&ann, &bob] {
        who.call("wf_schedule", place.arguments(&json!({}))).await?;
    }
    for (who, arguments) in [(&eve, place.arguments(&json!({}))), (&bob, absent)] {
        let refusal = who.refusal("wf_schedule", arguments).await?;
        assert!(refusal.starts_with("permission denied: "), "{refusal}");
    }
    Ok(())
}
