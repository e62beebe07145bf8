//! The first apply, the same again, and a changed one.

use serde_json::{Value, json};

use super::{
    manifests::{of, six, with_pods},
    place::{Place, changed, counts, managers, time},
};

/// Kind and name of the objects of [`six`].
fn objects(tentacle: &str) -> Vec<(&'static str, String)> {
    let named = |kind, end: &str| (kind, format!("{tentacle}{end}"));
    vec![
        named("ConfigMap", "-code"),
        named("ConfigMap", "-readme"),
        named("Secret", "-secrets"),
        named("NetworkPolicy", "-netpol"),
        named("Service", ""),
        named("Deployment", ""),
    ]
}

/// Fails unless each object's fields are the server's to remove, by one entry.
async fn are_applied(place: &Place, tentacle: &str) -> anyhow::Result<()> {
    for (kind, name) in objects(tentacle) {
        let object = place.get(kind, &name).await?.unwrap();
        assert_eq!(managers(&object), ["tentacular/Apply"], "{kind}/{name}");
        assert_eq!(object.metadata.labels.unwrap()["tentacular.io/release"], tentacle, "{kind}/{name}");
    }
    Ok(())
}

#[tokio::test]
async fn e2e_apply_a_first_apply_makes_all_objects_and_a_repeat_writes_nothing() -> anyhow::Result<()> {
    let place = Place::new("repeat").await?;
    let first = place.apply_with("report", &six("report"), &json!({ "wait_seconds": 60 })).await?;
    assert_eq!((counts(&first), &first["status"]), ([6, 0, 0, 0], &json!("created")), "{first}");
    assert_eq!((&first["rollout"]["ready"], &first["warnings"]), (&json!(true), &json!([])), "{first}");
    are_applied(&place, "report").await?;
    let (before, written) = (place.snapshot().await?, place.writes());
    assert!(!before.keys().any(|name| name.starts_with("Lease/")), "a lock is left: {:?}", before.keys());
    let set = place.replica_sets("report").await?;
    assert_eq!(set.len(), 1, "{set:?}");

    for caller in [&place.bearer, &place.person("ann").await?] {
        let again = caller.call("wf_apply", place.arguments("report", &six("report"), &json!({}))).await?;
        assert_eq!((counts(&again), &again["status"]), ([0, 0, 0, 6], &json!("unchanged")), "{again}");
        assert_eq!(place.snapshot().await?, before);
        assert_eq!(place.writes(), written);
    }
    assert_eq!(place.replica_sets("report").await?, set);
    Ok(())
}

#[tokio::test]
async fn e2e_apply_a_change_reaches_what_changed_alone_and_removes_what_was_dropped() -> anyhow::Result<()> {
    let place = Place::new("change").await?;
    let mut manifests = six("report");
    of(&mut manifests, "Deployment", "")["metadata"]["annotations"] = json!({ "a.io/kept": "1", "a.io/old": "1" });
    place.apply("report", &manifests).await?;
    let before = place.snapshot().await?;
    let deployed = time(place.annotation("report", "deployed-at").await?);

    let mut manifests = six("report");
    of(&mut manifests, "ConfigMap", "-code")["data"] = json!({ "main.ts": "2" });
    of(&mut manifests, "Secret", "")["stringData"] = json!({ "token": "hunter2" });
    of(&mut manifests, "Deployment", "")["metadata"]["annotations"] = json!({ "a.io/kept": "1" });
    let changing = of(&mut manifests, "Deployment", "");
    *changing = with_pods(changing.clone(), |pods| {
        pods["spec"]["containers"][0].as_object_mut().unwrap().remove("env");
    });
    let answer = place.apply("report", &manifests).await?;
    assert_eq!((counts(&answer), &answer["status"]), ([0, 3, 0, 3], &json!("updated")), "{answer}");
    assert_eq!(
        changed(&answer),
        ["ConfigMap/report-code: updated", "Secret/report-secrets: updated", "Deployment/report: updated"]
    );

    assert_eq!(place.live("ConfigMap", "report-code").await?["data"], json!({ "main.ts": "2" }));
    assert_eq!(place.live("Secret", "report-secrets").await?["data"], json!({ "token": "aHVudGVyMg==" }));
    let deployment = place.live("Deployment", "report").await?;
    let annotations = &deployment["metadata"]["annotations"];
    assert_eq!((&annotations["a.io/kept"], annotations.get("a.io/old")), (&json!("1"), None), "{annotations}");
    assert!(time(place.annotation("report", "deployed-at").await?) >= deployed);
    assert!(annotations["tentacular.io/updated-at"].is_string(), "{annotations}");
    let engine = &deployment["spec"]["template"]["spec"]["containers"][0];
    assert_eq!((engine.get("env"), &engine["image"]), (None, &json!("localhost/engine:1")), "{engine}");
    are_applied(&place, "report").await?;
    let after = place.snapshot().await?;
    for untouched in ["ConfigMap/report-readme", "NetworkPolicy/report-netpol", "Service/report"] {
        assert_eq!(after[untouched], before[untouched], "{untouched}");
    }
    let again = place.apply("report", &manifests).await?;
    assert_eq!(counts(&again), [0, 0, 0, 6], "{again}");
    Ok(())
}

#[tokio::test]
async fn e2e_apply_a_strategy_and_other_choices_between_fields_can_be_changed() -> anyhow::Result<()> {
    let place = Place::new("choice").await?;
    let with = |strategy: Option<&str>, volume: Value, probe: Value| {
        let mut deployment = with_pods(super::manifests::deployment("report"), |pods| {
            pods["spec"]["volumes"][0] = volume;
            pods["spec"]["containers"][0]["readinessProbe"] = probe;
        });
        let spec = deployment["spec"].as_object_mut().unwrap();
        spec.remove("strategy");
        if let Some(strategy) = strategy {
            spec.insert("strategy".to_owned(), json!({ "type": strategy }));
        }
        [deployment]
    };
    let map = || json!({ "name": "code", "configMap": { "name": "report-code", "optional": true } });
    let folder = || json!({ "name": "code", "emptyDir": { "sizeLimit": "1Mi" } });
    let (get, run) =
        (json!({ "httpGet": { "path": "/", "port": 8080 } }), json!({ "exec": { "command": ["true"] } }));
    place.apply("report", &with(None, map(), get.clone())).await?;
    // Kubernetes filled in what belongs to the strategy that it chose, and so for each.
    for (strategy, volume, probe) in [
        (None, map(), run.clone()),
        (Some("Recreate"), folder(), get.clone()),
        (Some("RollingUpdate"), map(), run),
        (Some("Recreate"), folder(), get),
    ] {
        let answer = place.apply("report", &with(strategy, volume.clone(), probe.clone())).await?;
        assert_eq!(answer["status"], "updated", "{answer}");
        let spec = place.live("Deployment", "report").await?["spec"].take();
        assert_eq!(spec["strategy"]["type"], json!(strategy.unwrap_or("RollingUpdate")), "{spec}");
        let again = place.apply("report", &with(strategy, volume, probe)).await?;
        assert_eq!(again["status"], "unchanged", "{again}");
    }
    Ok(())
}

/// The arguments without the dependencies on backing services that a contract may have: those are refused.
fn without_services(mut arguments: Value) -> Value {
    let file = &mut arguments["manifests"][0]["data"]["workflow.yaml"];
    let text = file.as_str().unwrap();
    if let (Some(start), Some(end)) = (text.find("    tentacular-postgres:"), text.find("    github-api:")) {
        *file = json!(format!("{}{}", &text[..start], &text[end..]));
    }
    arguments
}

#[tokio::test]
async fn e2e_apply_what_the_real_client_sends_is_unchanged_the_second_time() -> anyhow::Result<()> {
    let place = Place::new("recorded").await?;
    let ann = place.person("ann").await?;
    for line in include_str!("../tntc-wf-apply.jsonl").lines() {
        // The recorded calls name an enclave that only one test could have.
        let mut call: Value = serde_json::from_str(&line.replace("team-a", &place.enclave))?;
        let arguments = without_services(call["arguments"].take());
        let first = ann.call("wf_apply", arguments.clone()).await?;
        let number = arguments["manifests"].as_array().unwrap().len() as u64;
        assert_eq!(counts(&first), [number, 0, 0, 0], "{first}");
        let (before, written) = (place.snapshot().await?, place.writes());
        let again = ann.call("wf_apply", arguments).await?;
        assert_eq!((counts(&again), &again["status"]), ([0, 0, 0, number], &json!("unchanged")), "{again}");
        assert_eq!((place.snapshot().await?, place.writes()), (before, written));
        assert_eq!(again["warnings"], first["warnings"]);
    }
    Ok(())
}
