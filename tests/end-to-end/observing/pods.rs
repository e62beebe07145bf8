//! `wf_pods`.

use k8s_openapi::api::{apps::v1::Deployment, core::v1::Pod};
use serde_json::{Value, json};

use super::world::{HIDDEN, OPEN, World, each, restricted};

#[tokio::test]
async fn e2e_observe_pods_of_a_tentacle_are_for_those_who_may_read_it() -> anyhow::Result<()> {
    let world = World::new("pods").await?;
    let mut of_nobody = restricted(&["main"]);
    world.create::<Pod>(json!({ "metadata": { "name": "bare" }, "spec": of_nobody.take() })).await?;
    let of = |answer: &Value| each(&answer["pods"], "tentacle").into_iter().map(str::to_owned).collect::<Vec<_>>();
    let everything = json!({});
    let seen = world.ask(world.owner(), "wf_pods", everything.clone()).await?;
    assert_eq!(of(&seen), ["-", HIDDEN, OPEN], "in the order of the names bare, hidden-…, open-…: {seen}");
    let seen = world.ask(world.member(), "wf_pods", everything.clone()).await?;
    assert_eq!(of(&seen), ["-", OPEN]);
    let of_one = world.ask(world.member(), "wf_pods", json!({ "name": OPEN })).await?;
    assert_eq!(of(&of_one), [OPEN]);
    let refusal = world.refusal(world.member(), "wf_pods", json!({ "name": HIDDEN })).await?;
    assert!(refusal.contains("permission denied: read on tentacle"), "{refusal}");
    let refusal = world.refusal(&world.team.other.here, "wf_pods", everything).await?;
    assert!(refusal.contains("permission denied: read on enclave"), "{refusal}");

    let pod = &of_one["pods"][0];
    let expected = json!({ "phase": "Running", "ready": true, "restarts": 0,
        "images": ["localhost/engine:1", "localhost/thumbs:1"], "nodeName": "harness-node" });
    for (member, value) in expected.as_object().unwrap() {
        assert_eq!(&pod[member], value, "{pod}");
    }
    assert!(pod["age"].as_str().unwrap().ends_with('s') && of_one["untrusted"].is_string(), "{of_one}");
    Ok(())
}

#[tokio::test]
async fn e2e_observe_a_pod_without_release_belongs_to_the_deployment_that_made_it() -> anyhow::Result<()> {
    let world = World::empty("kin").await?;
    // As the older server left it: managed, and nothing on its pods.
    let labels = json!({ "app": "old" });
    let annotations = json!({ "tentacular.io/owner": world.team.owner.email, "tentacular.io/mode": "rwx------" });
    world
        .create::<Deployment>(json!({
            "metadata": { "name": "old", "labels": { "app.kubernetes.io/managed-by": "tentacular" },
                "annotations": annotations },
            "spec": { "selector": { "matchLabels": labels },
                "template": { "metadata": { "labels": labels }, "spec": restricted(&["main"]) } },
        }))
        .await?;
    let has_one = |answer: &Value| answer["pods"].as_array().unwrap().len() == 1;
    let seen = world.until(world.owner(), "wf_pods", json!({ "name": "old" }), has_one).await?;
    assert_eq!(each(&seen["pods"], "tentacle"), ["old"]);
    let seen = world.ask(world.member(), "wf_pods", json!({})).await?;
    assert_eq!(seen["pods"], json!([]));
    Ok(())
}

#[tokio::test]
async fn e2e_observe_pods_come_in_pages() -> anyhow::Result<()> {
    let world = World::empty("pages").await?;
    for name in ["c", "a", "b"] {
        world.create::<Pod>(json!({ "metadata": { "name": name }, "spec": restricted(&["main"]) })).await?;
    }
    let first = world.ask(world.owner(), "wf_pods", json!({ "limit": 2 })).await?;
    assert_eq!((each(&first["pods"], "name"), &first["truncated"]), (vec!["a", "b"], &json!(true)));
    let next = json!({ "limit": 2, "cursor": first["next_cursor"] });
    let last = world.ask(world.owner(), "wf_pods", next).await?;
    assert_eq!((each(&last["pods"], "name"), &last["truncated"]), (vec!["c"], &json!(false)));
    assert!(last.get("next_cursor").is_none(), "{last}");
    let refusal = world.refusal(world.owner(), "wf_pods", json!({ "limit": 1001 })).await?;
    assert_eq!(refusal, "limit 1001 is out of range: give 1 to 1000");
    Ok(())
}
