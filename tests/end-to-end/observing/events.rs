//! `wf_events`.

use k8s_openapi::api::core::v1::Event;
use serde_json::{Value, json};

use super::world::{HIDDEN, OPEN, World, each};

/// Lets something have happened.
async fn happen(
    world: &World,
    kind: &str,
    object: &str,
    uid: &str,
    message: &str,
    more: Value,
) -> anyhow::Result<()> {
    let mut event = json!({
        "metadata": { "generateName": "e-" }, "type": "Warning", "reason": "Tested", "message": message,
        "involvedObject": { "kind": kind, "name": object, "namespace": world.team.enclave, "uid": uid },
        "reportingComponent": "example.com/test", "source": { "component": "test" },
    });
    event.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    world.create::<Event>(event).await?;
    Ok(())
}

/// The messages of the events that the test made.
fn told(answer: &Value) -> Vec<&str> {
    let events = answer["events"].as_array().unwrap().iter();
    events.filter(|event| event["reason"] == "Tested").map(|event| event["message"].as_str().unwrap()).collect()
}

#[tokio::test]
async fn e2e_observe_the_newest_events_come_first_in_pages() -> anyhow::Result<()> {
    let world = World::empty("newest").await?;
    let quota = async |message: &str, more: Value| happen(&world, "ResourceQuota", "q", "", message, more).await;
    quota("counted", json!({ "lastTimestamp": "2026-01-01T00:00:01Z", "count": 4 })).await?;
    let series = json!({ "count": 9, "lastObservedTime": "2026-01-01T00:00:03.000000Z" });
    quota(
        "a series",
        json!({ "eventTime": "2026-01-01T00:00:00.000000Z", "series": series, "action": "Test",
        "reportingInstance": "test" }),
    )
    .await?;
    quota("once", json!({ "lastTimestamp": "2026-01-01T00:00:02Z" })).await?;
    quota("password=hunter2 \u{1b}[2J", json!({ "lastTimestamp": "2026-01-01T00:00:00Z" })).await?;
    let (mut seen, mut asked) = (Vec::new(), json!({ "limit": 1 }));
    loop {
        let page = world.ask(world.owner(), "wf_events", asked.clone()).await?;
        assert!(page["events"].as_array().unwrap().len() <= 1 && page["untrusted"].is_string(), "{page}");
        let mine = page["events"].as_array().unwrap().iter().filter(|event| event["reason"] == "Tested").cloned();
        seen.extend(mine);
        assert_eq!(page["truncated"], json!(page.get("next_cursor").is_some()));
        let Some(cursor) = page.get("next_cursor") else { break };
        asked["cursor"] = cursor.clone();
    }
    let told: Vec<_> =
        seen.iter().map(|event| (event["message"].as_str().unwrap(), event["count"].clone())).collect();
    assert_eq!(told, [("a series", json!(9)), ("once", json!(1)), ("counted", json!(4)), ("password=***", json!(1))]);
    assert_eq!(
        (&seen[0]["last_seen"], &seen[0]["object"]),
        (&json!("2026-01-01T00:00:03Z"), &json!("ResourceQuota/q"))
    );
    let refusal = world.refusal(world.owner(), "wf_events", json!({ "cursor": "yesterday" })).await?;
    assert!(refusal.starts_with("invalid cursor"), "{refusal}");
    Ok(())
}

#[tokio::test]
async fn e2e_observe_events_are_for_those_who_may_read_what_they_are_about() -> anyhow::Result<()> {
    let world = World::new("about").await?;
    let pods = world.api::<k8s_openapi::api::core::v1::Pod>();
    for tentacle in [OPEN, HIDDEN] {
        let pod = world.pod(tentacle).await?;
        let uid = pods.get(&pod).await?.metadata.uid.unwrap();
        happen(&world, "Pod", &pod, &uid, &format!("{tentacle}: pod"), json!({})).await?;
        happen(
            &world,
            "Pod",
            &format!("{tentacle}-5d4f8c7b9-x2x4z"),
            "gone",
            &format!("{tentacle}: gone"),
            json!({}),
        )
        .await?;
        happen(&world, "Deployment", tentacle, "other", &format!("{tentacle}: deployment"), json!({})).await?;
    }
    happen(&world, "Pod", "removed-5d4f8c7b9-x2x4z", "gone", "removed", json!({})).await?;
    happen(&world, "Namespace", &world.team.enclave, "n", "enclave", json!({})).await?;
    let sorted = |answer: &Value| {
        let mut told: Vec<_> = told(answer).into_iter().map(str::to_owned).collect();
        told.sort();
        told
    };
    let open = ["open: deployment", "open: gone", "open: pod"];
    let hidden = ["hidden: deployment", "hidden: gone", "hidden: pod"];
    let all = json!({ "limit": 1000 });
    let seen = world.ask(world.owner(), "wf_events", all.clone()).await?;
    assert_eq!(sorted(&seen), [&["enclave"], &hidden[..], &open[..], &["removed"]].concat());
    let seen = world.ask(world.member(), "wf_events", all).await?;
    assert_eq!(sorted(&seen), [&["enclave"], &open[..]].concat());
    assert!(!each(&seen["events"], "tentacle").contains(&HIDDEN), "{seen}");
    // Kubernetes' own events about the pods are there as well, and told apart in the same way.
    let made = |answer: &Value| {
        answer["events"].as_array().unwrap().iter().any(|event| event["reason"] == "ScalingReplicaSet")
    };
    let seen = world.until(world.member(), "wf_events", json!({ "name": OPEN, "limit": 1000 }), made).await?;
    assert_eq!(sorted(&seen), open);
    assert!(each(&seen["events"], "tentacle").iter().all(|tentacle| *tentacle == OPEN), "{seen}");
    let refusal = world.refusal(world.member(), "wf_events", json!({ "name": HIDDEN })).await?;
    assert!(refusal.contains("permission denied: read on tentacle"), "{refusal}");
    Ok(())
}
