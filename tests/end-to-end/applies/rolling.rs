//! Pods follow what they read, and the record of the tentacle follows what it consists of.

use serde_json::{Value, json};

use super::{
    manifests::{of, six, volume},
    place::{Place, changed},
};

#[tokio::test]
async fn e2e_apply_pods_roll_when_what_they_read_changes_and_not_for_anything_else() -> anyhow::Result<()> {
    let place = Place::new("roll").await?;
    place.apply("report", &six("report")).await?;
    let (first, sets) = (place.checksum("report").await?.unwrap(), place.replica_sets("report").await?);
    assert_eq!(sets.len(), 1);

    let mut manifests = six("report");
    of(&mut manifests, "ConfigMap", "-readme")["data"] = json!({ "text": "2" });
    let answer = place.apply("report", &manifests).await?;
    assert_eq!(changed(&answer), ["ConfigMap/report-readme: updated", "Deployment/report: updated"]);
    assert_eq!(place.checksum("report").await?.unwrap(), first);
    assert_eq!(place.replica_sets("report").await?, sets, "no pod reads it");

    let mut seen = vec![first.clone()];
    for (kind, change) in [
        ("ConfigMap", json!({ "data": { "main.ts": "2", "old.ts": "1" } })),
        ("Secret", json!({ "stringData": { "token": "other", "old": "swordfish" } })),
    ] {
        let end = if kind == "Secret" { "-secrets" } else { "-code" };
        of(&mut manifests, kind, end).as_object_mut().unwrap().extend(change.as_object().unwrap().clone());
        let answer = place.apply("report", &manifests).await?;
        assert_eq!(
            changed(&answer),
            [format!("{kind}/report{end}: updated"), "Deployment/report: updated".to_owned()]
        );
        let checksum = place.checksum("report").await?.unwrap();
        assert!(!seen.contains(&checksum), "{kind}");
        seen.push(checksum);
        assert_eq!(place.replica_sets("report").await?.len(), seen.len(), "{kind}");
    }

    place.apply("report", &six("report")).await?;
    assert_eq!(place.checksum("report").await?.unwrap(), first, "the old content is the old checksum");
    let again = place.apply("report", &six("report")).await?;
    assert_eq!(again["status"], "unchanged", "{again}");
    Ok(())
}

#[tokio::test]
async fn e2e_apply_the_checksum_tells_nobody_that_two_secrets_are_the_same() -> anyhow::Result<()> {
    let (one, other) = (Place::new("salt").await?, Place::new("salt").await?);
    let of_config_maps = |manifests: Vec<Value>| {
        let maps = manifests.into_iter().filter(|manifest| manifest["kind"] != "Secret");
        maps.collect::<Vec<_>>()
    };
    let mut checksums = Vec::new();
    for place in [&one, &other] {
        place.apply("report", &of_config_maps(six("report"))).await?;
        let without = place.checksum("report").await?.unwrap();
        place.apply("report", &six("report")).await?;
        checksums.push((without, place.checksum("report").await?.unwrap()));
    }
    assert_eq!(checksums[0].0, checksums[1].0, "the same ConfigMap");
    assert_ne!(checksums[0].1, checksums[1].1, "the same Secret");
    Ok(())
}

#[tokio::test]
async fn e2e_apply_the_inventory_names_objects_and_keys_and_no_value() -> anyhow::Result<()> {
    let place = Place::new("inventory").await?;
    let inventory = async || {
        let text = place.annotation("report", "inventory").await?.unwrap();
        anyhow::Ok((serde_json::from_str::<Value>(&text)?, text))
    };
    let mut manifests = six("report");
    manifests.push(volume("data"));
    place.apply("report", &manifests).await?;
    let (listed, text) = inventory().await?;
    assert_eq!(
        listed,
        json!([
            { "kind": "ConfigMap", "name": "report-code" },
            { "kind": "ConfigMap", "name": "report-readme" },
            { "kind": "Secret", "name": "report-secrets", "keys": ["old", "token"] },
            { "kind": "PersistentVolumeClaim", "name": "data" },
            { "kind": "NetworkPolicy", "name": "report-netpol" },
            { "kind": "Service", "name": "report" },
            { "kind": "Deployment", "name": "report" },
        ])
    );
    let whole = place.live("Deployment", "report").await?.to_string();
    for value in ["hunter2", "aHVudGVyMg==", "swordfish", "main.ts"] {
        assert!(!text.contains(value), "{text}");
        assert!(value == "main.ts" || !whole.contains(value), "{whole}");
    }

    let mut manifests = six("report");
    of(&mut manifests, "Secret", "")["stringData"] = json!({ "token": "hunter2", "new": "1" });
    manifests.retain(|manifest| manifest["metadata"]["name"] != "report-readme");
    place.apply("report", &manifests).await?;
    let (listed, _) = inventory().await?;
    let listed = listed.as_array().unwrap();
    assert_eq!(listed.len(), 6, "{listed:?}");
    assert!(listed.contains(&json!({ "kind": "PersistentVolumeClaim", "name": "data" })), "it is kept: {listed:?}");
    assert_eq!(listed[1], json!({ "kind": "Secret", "name": "report-secrets", "keys": ["new", "token"] }));

    // What a manifest says of it counts for nothing.
    of(&mut manifests, "Deployment", "")["metadata"]["annotations"] = json!({ "tentacular.io/inventory": "[]" });
    let answer = place.apply("report", &manifests).await?;
    assert_eq!(answer["status"], "unchanged", "{answer}");
    assert!(answer["warnings"].to_string().contains("tentacular.io/inventory"), "{answer}");
    Ok(())
}
