//! What `wf_remove` removes, in which order, and whose.

use kube::api::DynamicObject;
use serde_json::{Value, json};

use super::{
    manifests::{config_map, deployment, job, policy, six, volume},
    place::{Place, Snapshot, changed, ground},
};

/// What stands there of others.
fn without_report(mut snapshot: Snapshot) -> Snapshot {
    snapshot.retain(|name, _| !name.contains("/report") && !name.contains("/data") && !name.contains("/import"));
    snapshot
}

fn sorted(list: &Value) -> Vec<&str> {
    let mut list: Vec<_> = list.as_array().unwrap().iter().filter_map(Value::as_str).collect();
    list.sort_unstable();
    list
}

#[tokio::test]
async fn e2e_apply_a_removal_takes_all_of_the_tentacle_in_a_safe_order() -> anyhow::Result<()> {
    let place = Place::new("remove").await?;
    place.apply_with("other", &six("other"), &json!({ "wait_seconds": 60 })).await?;
    place.create("by-hand", config_map("nobodys", &json!({ "k": "v" }))).await?;
    let before = without_report(place.snapshot().await?);
    let mut all = six("report");
    all.extend([job("import", "i:1"), volume("data")]);
    place.apply_with("report", &all, &json!({ "wait_seconds": 60 })).await?;
    let skip = place.writes().len();

    let removed = place.remove("report").await?;
    assert_eq!(
        (&removed["deleted"], &removed["remaining"], &removed["warnings"]),
        (&json!(8), &json!([]), &json!([]))
    );
    assert_eq!(
        sorted(&removed["removed"]),
        [
            "ConfigMap/report-code",
            "ConfigMap/report-readme",
            "Deployment/report",
            "Job/import",
            "NetworkPolicy/report-netpol",
            "PersistentVolumeClaim/data",
            "Secret/report-secrets",
            "Service/report",
        ]
    );
    assert_eq!(place.snapshot().await?, before, "everything else is as it was, and nothing is left");
    let kinds: Vec<_> =
        place.writes()[skip..].iter().map(|write| write.split('/').rev().nth(1).unwrap().to_owned()).collect();
    assert!(kinds[..2].iter().all(|kind| kind == "deployments" || kind == "jobs"), "what runs goes first: {kinds:?}");
    assert_eq!(kinds.last().unwrap(), "networkpolicies", "what guards goes last: {kinds:?}");

    let bob = place.person("bob").await?;
    let refusal = bob.refusal("wf_remove", json!({ "enclave": place.enclave, "name": "report" })).await?;
    assert!(refusal.starts_with("permission denied"), "{refusal}");
    let again = place.remove("report").await?;
    assert_eq!(again["deleted"], 0);
    assert!(again["warnings"][0].as_str().unwrap().contains("there was nothing of tentacle"), "{again}");
    Ok(())
}

#[tokio::test]
async fn e2e_apply_a_release_without_deployment_is_removed_by_the_enclaves_owner_and_the_bearer() -> anyhow::Result<()>
{
    let place = Place::new("remnant").await?;
    let (ann, bob) = (place.person("ann").await?, place.person("bob").await?);
    let labelled = |mut manifest: Value, release: &str| {
        manifest["metadata"]["labels"] = json!({ "tentacular.io/release": release });
        manifest
    };
    for (release, client) in [("jobs", &ann), ("maps", &place.bearer)] {
        let (kind, manifest) = match release {
            "jobs" => ("Job", job("left", "i:1")),
            _ => ("ConfigMap", config_map("left", &json!({ "k": "v" }))),
        };
        let manifest = labelled(manifest, release);
        place.create("older-server", manifest).await?;
        let arguments = json!({ "enclave": place.enclave, "name": release });
        let refusal = bob.refusal("wf_remove", arguments.clone()).await?;
        assert!(refusal.starts_with("permission denied"), "{refusal}");
        assert!(place.get(kind, "left").await?.is_some());
        let removed = client.call("wf_remove", arguments).await?;
        assert_eq!(removed["removed"], json!([format!("{kind}/left")]), "{removed}");
        assert!(place.get(kind, "left").await?.is_none());
    }
    Ok(())
}

async fn hold(place: &Place, kind: &str, name: &str, finalizers: Value) -> anyhow::Result<()> {
    place.patch("by-hand", kind, name, json!({ "metadata": { "finalizers": finalizers } })).await
}

#[tokio::test]
async fn e2e_apply_a_removal_says_what_remains_and_the_next_one_goes_on() -> anyhow::Result<()> {
    let place = Place::new("held").await?;
    let mut manifests = vec![deployment("report"), policy("report")];
    manifests.extend(["held", "free"].map(|name| config_map(name, &json!({ "k": "v" }))));
    place.apply("report", &manifests).await?;
    let removing = |seconds: u64| {
        place.bearer.call("wf_remove", json!({ "enclave": place.enclave, "name": "report", "wait_seconds": seconds }))
    };
    hold(&place, "Deployment", "report", json!(["example.com/held"])).await?;
    hold(&place, "ConfigMap", "held", json!(["example.com/held"])).await?;

    let answer = removing(1).await?;
    assert_eq!(sorted(&answer["remaining"]), ["ConfigMap/held", "Deployment/report", "NetworkPolicy/report-netpol"]);
    assert_eq!((&answer["removed"], &answer["deleted"]), (&json!(["ConfigMap/free"]), &json!(1)), "{answer}");
    assert!(answer["warnings"][0].as_str().unwrap().contains("call wf_remove again"), "{answer}");
    let is_deleted = |object: &DynamicObject| object.metadata.deletion_timestamp.is_some();
    let policy = place.get("NetworkPolicy", "report-netpol").await?.unwrap();
    assert!(!is_deleted(&policy), "it guards pods that may still be there");
    // Meanwhile nothing of it can be made anew.
    let refusal = place.refusal("report", &manifests, &json!({})).await?;
    assert!(refusal.contains("Deployment/report is still being deleted; try again when it is gone"), "{refusal}");

    hold(&place, "Deployment", "report", json!(null)).await?;
    let answer = removing(1).await?;
    assert_eq!(answer["remaining"], json!(["ConfigMap/held"]), "{answer}");
    assert!(place.get("NetworkPolicy", "report-netpol").await?.is_none());
    hold(&place, "ConfigMap", "held", json!(null)).await?;
    let answer = removing(240).await?;
    assert_eq!((&answer["remaining"], &answer["deleted"]), (&json!([]), &json!(0)), "{answer}");
    let refusal =
        place.bearer.refusal("wf_remove", json!({ "enclave": place.enclave, "name": "report", "wait_seconds": 241 }));
    assert_eq!(refusal.await?, "nothing was removed: wait_seconds 241 is out of range: give 0 to 240");
    Ok(())
}

#[tokio::test]
async fn e2e_apply_applying_and_removing_take_turns() -> anyhow::Result<()> {
    let place = Place::new("turns").await?;
    let raw = ground().await?.stack.raw();
    let applying = place.arguments("report", &six("report"), &json!({}));
    let removing = json!({ "enclave": place.enclave, "name": "report" });
    for _ in 0..2 {
        let calls = (0..6).map(|number| {
            let (tool, arguments) = if number % 2 == 0 { ("wf_apply", &applying) } else { ("wf_remove", &removing) };
            let (raw, tool) = (&raw, tool);
            async move { super::progress::call(raw, tool, arguments).await.map(|(_, answer)| answer) }
        });
        for answer in futures::future::try_join_all(calls).await? {
            // Each of them found all of it, or nothing.
            let all = if answer.get("status").is_some() {
                [json!("created"), json!("unchanged")].contains(&answer["status"])
                    && [0, 6].contains(&changed(&answer).len())
            } else {
                [json!(0), json!(6)].contains(&answer["deleted"]) && answer["remaining"] == json!([])
            };
            assert!(all, "{answer}");
        }
        let left = place
            .snapshot()
            .await?
            .into_keys()
            .filter(|name| name.contains("/report") && !name.starts_with("Replica"));
        let left: Vec<_> = left.collect();
        assert!([0, 6].contains(&left.len()), "{left:?}");
    }
    Ok(())
}
