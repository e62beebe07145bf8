//! What `dry_run` says, and that it writes nothing.

use serde_json::{Value, json};

use super::{
    manifests::{config_map, job, of, six, volume},
    place::{Place, changed, counts},
};

/// The fields of an object of an answer that would change, as `field: before > after`.
fn fields(answer: &Value, kind: &str, name: &str) -> Vec<String> {
    let mut objects = answer["objects"].as_array().unwrap().iter();
    let object = objects.find(|object| object["kind"] == kind && object["name"] == name).unwrap();
    let text = |field: &Value, member: &str| field[member].as_str().unwrap_or("-").to_owned();
    let fields = object["fields"].as_array().into_iter().flatten();
    fields
        .map(|field| format!("{}: {} > {}", text(field, "field"), text(field, "before"), text(field, "after")))
        .collect()
}

#[tokio::test]
async fn e2e_apply_a_dry_run_tells_every_change_and_writes_nothing() -> anyhow::Result<()> {
    let place = Place::new("dry").await?;
    let mut first = six("report");
    first.extend([job("import", "i:1"), volume("data")]);
    place.apply("report", &first).await?;

    let mut next = six("report");
    of(&mut next, "ConfigMap", "-code")["data"] = json!({ "main.ts": "2", "new.ts": "1" });
    of(&mut next, "Secret", "")["stringData"] = json!({ "token": "correcthorse", "fresh": "batterystaple" });
    of(&mut next, "Secret", "")["metadata"]["annotations"] = json!({ "note": "see batterystaple" });
    of(&mut next, "Deployment", "")["spec"]["template"]["spec"]["containers"][0]["image"] =
        json!("localhost/engine:2");
    next.retain(|manifest| manifest["metadata"]["name"] != "report-readme");
    next.extend([job("import", "i:2"), config_map("extra", &json!({ "k": "v" }))]);
    let wishes = |dry_run: bool| json!({ "replace_jobs": true, "prune_volumes": true, "dry_run": dry_run });
    let (before, written) = (place.snapshot().await?, place.writes());
    let planned = place.apply_with("report", &next, &wishes(true)).await?;
    assert_eq!((place.snapshot().await?, place.writes()), (before, written));

    assert_eq!((&planned["dry_run"], &planned["status"]), (&json!(true), &json!("updated")));
    let mut what = changed(&planned);
    what.sort();
    assert_eq!(
        what,
        [
            "ConfigMap/extra: created",
            "ConfigMap/report-code: updated",
            "ConfigMap/report-readme: deleted",
            "Deployment/report: updated",
            "Job/import: replaced",
            "PersistentVolumeClaim/data: deleted",
            "Secret/report-secrets: updated",
        ]
    );
    assert_eq!(
        fields(&planned, "ConfigMap", "report-code"),
        ["data[\"main.ts\"]: 1 > 2", "data[\"new.ts\"]: - > 1", "data[\"old.ts\"]: 1 > -"]
    );
    assert_eq!(
        fields(&planned, "Secret", "report-secrets"),
        [
            "data.fresh: - > (withheld)",
            "data.old: (withheld) > -",
            "data.token: (withheld) > (withheld)",
            "metadata.annotations.note: - > (withheld)",
        ]
    );
    let deployment = fields(&planned, "Deployment", "report");
    let image = "spec.template.spec.containers[engine].image: localhost/engine:1 > localhost/engine:2";
    assert!(deployment.iter().any(|field| field == image), "{deployment:?}");
    for value in ["hunter2", "swordfish", "correcthorse", "batterystaple", "Y29ycmVjdGhvcnNl", "aHVudGVyMg"] {
        assert!(!planned.to_string().contains(value), "{planned}");
    }

    // The apply does just that.
    let applied = place.apply_with("report", &next, &wishes(false)).await?;
    let mut done = changed(&applied);
    done.sort();
    assert_eq!((done, counts(&applied)), (what, counts(&planned)));
    Ok(())
}

#[tokio::test]
async fn e2e_apply_a_dry_run_of_a_new_tentacle_makes_nothing() -> anyhow::Result<()> {
    let place = Place::new("drynew").await?;
    let before = place.snapshot().await?;
    let planned =
        place.apply_with("report", &six("report"), &json!({ "dry_run": true, "wait_seconds": 270 })).await?;
    assert_eq!((counts(&planned), &planned["status"]), ([6, 0, 0, 0], &json!("created")), "{planned}");
    assert_eq!(
        (place.snapshot().await?, place.writes().iter().any(|write| write.contains("report"))),
        (before, false)
    );
    // The API server is asked, too.
    let mut broken = six("report");
    of(&mut broken, "Service", "")["spec"]["ports"][0]["port"] = json!(123_456);
    let refusal = place.refusal("report", &broken, &json!({ "dry_run": true })).await?;
    assert!(refusal.contains("Service") && refusal.contains("spec.ports[0].port"), "{refusal}");
    Ok(())
}

#[tokio::test]
async fn e2e_apply_a_dry_run_is_for_those_who_may_write() -> anyhow::Result<()> {
    let place = Place::new("dryread").await?;
    let ann = place.person("ann").await?;
    ann.call("wf_apply", place.arguments("report", &six("report"), &json!({ "mode": "member-read" }))).await?;
    let arguments = place.arguments("report", &six("report"), &json!({ "dry_run": true }));
    let refusal = place.person("bob").await?.refusal("wf_apply", arguments.clone()).await?;
    assert!(refusal.starts_with("permission denied: write on tentacle"), "{refusal}");
    let refusal = place.person("eve").await?.refusal("wf_apply", arguments).await?;
    assert!(refusal.starts_with("permission denied") && !refusal.contains("rwxr-x---"), "{refusal}");
    Ok(())
}
