//! What is in no manifest any more goes, except volumes.

use serde_json::{Value, json};

use super::{
    manifests::{job, six, volume},
    place::{Place, changed},
};

fn is_listed(inventory: Option<&String>, kind: &str, name: &str) -> bool {
    let listed: Value = serde_json::from_str(inventory.unwrap()).unwrap();
    listed.as_array().unwrap().contains(&json!({ "kind": kind, "name": name }))
}

#[tokio::test]
async fn e2e_apply_what_left_the_manifests_goes_and_a_volume_only_when_that_is_asked_for() -> anyhow::Result<()> {
    let place = Place::new("prune").await?;
    place.apply("other", &six("other")).await?;
    let mut all = six("report");
    all.extend([job("import", "i:1"), volume("data")]);
    place.apply("report", &all).await?;
    let others = |mut snapshot: super::place::Snapshot| {
        // Of what controllers do, not all was done yet.
        snapshot.retain(|name, _| name.contains("/other") && !name.starts_with("ReplicaSet/"));
        snapshot
    };
    let before = others(place.snapshot().await?);

    let fewer: Vec<_> = six("report").into_iter().filter(|manifest| manifest["kind"] != "Service").collect();
    let answer = place.apply("report", &fewer).await?;
    assert_eq!(changed(&answer), ["Deployment/report: updated", "Service/report: deleted", "Job/import: deleted"]);
    let warnings = answer["warnings"].to_string();
    assert!(warnings.contains("PersistentVolumeClaim/data is in no manifest; it stays"), "{warnings}");
    assert!(place.get("Service", "report").await?.is_none());
    assert!(place.get("PersistentVolumeClaim", "data").await?.is_some());
    assert!(is_listed(place.annotation("report", "inventory").await?.as_ref(), "PersistentVolumeClaim", "data"));

    // It is still there to be told of, and nothing else is to be done.
    let again = place.apply("report", &fewer).await?;
    assert_eq!((&again["status"], &again["warnings"]), (&json!("unchanged"), &answer["warnings"]), "{again}");
    let answer = place.apply_with("report", &fewer, &json!({ "prune_volumes": true })).await?;
    assert_eq!(changed(&answer), ["Deployment/report: updated", "PersistentVolumeClaim/data: deleted"]);
    assert_eq!(answer["warnings"], json!([]), "{answer}");
    let claim = place.get("PersistentVolumeClaim", "data").await?;
    assert!(claim.is_none_or(|claim| claim.metadata.deletion_timestamp.is_some()));
    assert!(!is_listed(place.annotation("report", "inventory").await?.as_ref(), "PersistentVolumeClaim", "data"));
    assert_eq!(others(place.snapshot().await?), before);
    Ok(())
}
