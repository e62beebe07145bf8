//! `wf_jobs`.

use k8s_openapi::api::batch::v1::{CronJob, Job};
use serde_json::{Value, json};

use super::world::{HIDDEN, OPEN, World, deployment, each, restricted};

fn template() -> Value {
    let mut spec = restricted(&["main"]);
    spec["restartPolicy"] = json!("Never");
    json!({ "spec": spec })
}

fn release(tentacle: &str) -> Value {
    json!({ "tentacular.io/release": tentacle })
}

#[tokio::test]
async fn e2e_observe_jobs_have_their_state_and_are_for_those_who_may_read_them() -> anyhow::Result<()> {
    let world = World::empty("jobs").await?;
    world.apply(OPEN, "member-read", &[deployment(OPEN)]).await?;
    world.apply(HIDDEN, "private", &[deployment(HIDDEN)]).await?;
    let suspended = json!({ "suspend": true, "template": template() });
    for (name, tentacle, spec) in [
        ("done", Some(OPEN), json!({ "template": template() })),
        (
            "late",
            None,
            json!({ "activeDeadlineSeconds": 1, "suspend": false,
            "template": { "metadata": { "annotations": { "harness.tentacular.io/ready": "false" } },
                "spec": template()["spec"] } }),
        ),
        ("secret", Some(HIDDEN), json!({ "template": template() })),
        ("waits", Some(OPEN), suspended),
    ] {
        let labels = tentacle.map(release);
        world.create::<Job>(json!({ "metadata": { "name": name, "labels": labels }, "spec": spec })).await?;
    }
    for (name, tentacle) in [("nightly", OPEN), ("private", HIDDEN)] {
        let spec = json!({ "schedule": "0 2 * * *", "timeZone": "Europe/Berlin", "suspend": true,
            "jobTemplate": { "spec": { "template": template() } } });
        world
            .create::<CronJob>(json!({ "metadata": { "name": name, "labels": release(tentacle) }, "spec": spec }))
            .await?;
    }
    let states = |answer: &Value| {
        let jobs = answer["jobs"].as_array().unwrap().iter();
        jobs.map(|job| format!("{} {}", job["name"].as_str().unwrap(), job["status"].as_str().unwrap()))
            .collect::<Vec<_>>()
    };
    let all = ["done Complete", "late Failed", "secret Complete", "waits Suspended"];
    let seen = world.until(world.owner(), "wf_jobs", json!({}), |answer| states(answer) == all).await?;
    assert_eq!(each(&seen["cronjobs"], "name"), ["nightly", "private"]);
    assert_eq!(each(&seen["jobs"], "tentacle"), [OPEN, "-", HIDDEN, OPEN]);
    let (done, late) = (&seen["jobs"][0], &seen["jobs"][1]);
    assert!(done["start"].is_string() && done["completion"].is_string() && done["duration"].is_string(), "{done}");
    assert!(late["reason"].as_str().unwrap().starts_with("DeadlineExceeded: "), "{late}");
    let nightly = json!({ "name": "nightly", "tentacle": OPEN, "schedule": "0 2 * * *", "timezone": "Europe/Berlin",
        "active": 0, "suspended": true });
    assert_eq!(seen["cronjobs"][0], nightly);

    let seen = world.ask(world.member(), "wf_jobs", json!({})).await?;
    assert_eq!(
        (each(&seen["jobs"], "name"), each(&seen["cronjobs"], "name")),
        (vec!["done", "late", "waits"], vec!["nightly"])
    );
    let seen = world.ask(world.member(), "wf_jobs", json!({ "name": OPEN, "limit": 2 })).await?;
    assert_eq!((each(&seen["jobs"], "name"), each(&seen["cronjobs"], "name")), (vec!["done"], vec!["nightly"]));
    let next = json!({ "name": OPEN, "limit": 2, "cursor": seen["next_cursor"] });
    let seen = world.ask(world.member(), "wf_jobs", next).await?;
    assert_eq!(
        (each(&seen["jobs"], "name"), &seen["cronjobs"], &seen["truncated"]),
        (vec!["waits"], &json!([]), &json!(false))
    );
    let refusal = world.refusal(world.member(), "wf_jobs", json!({ "name": HIDDEN })).await?;
    assert!(refusal.contains("permission denied: read on tentacle"), "{refusal}");
    Ok(())
}
