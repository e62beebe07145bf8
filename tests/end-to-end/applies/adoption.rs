//! Objects that are not the tentacle's: who may take which of them over.

use anyhow::ensure;
use kube::ResourceExt as _;
use serde_json::{Value, json};
use tentacular_test_harness::until;

use super::{
    manifests::{config_map, deployment, own, service, six},
    place::{Place, changed},
};

/// A tentacle of the two objects that are looked at, and its Deployment.
fn wanting(name: &str) -> Vec<Value> {
    vec![config_map(name, &json!({ "k": "taken" })), deployment("report")]
}

#[tokio::test]
async fn e2e_apply_nobodys_object_is_adopted_by_the_enclaves_owner_alone() -> anyhow::Result<()> {
    let place = Place::new("adopt").await?;
    let uid = place.create("by-hand", config_map("found", &json!({ "k": "theirs" }))).await?.uid();
    let (ann, bob) = (place.person("ann").await?, place.person("bob").await?);
    let before = place.snapshot().await?;

    let plain = place.arguments("report", &wanting("found"), &json!({}));
    let refusal = ann.refusal("wf_apply", plain.clone()).await?;
    assert!(
        refusal.contains("ConfigMap/found is there already and belongs to no tentacle (adopt: true"),
        "{refusal}"
    );
    let refusal = bob.refusal("wf_apply", plain).await?;
    assert!(refusal.contains("belongs to no tentacle") && !refusal.contains("adopt: true"), "{refusal}");
    let adopting = place.arguments("report", &wanting("found"), &json!({ "adopt": true }));
    let refusal = bob.refusal("wf_apply", adopting.clone()).await?;
    assert!(refusal.contains("adopt is for the enclave's owner"), "{refusal}");
    assert_eq!(place.snapshot().await?, before);

    let planned = place.arguments("report", &wanting("found"), &json!({ "adopt": true, "dry_run": true }));
    let planned = ann.call("wf_apply", planned).await?;
    assert_eq!((changed(&planned)[0].as_str(), place.snapshot().await?), ("ConfigMap/found: updated", before));
    let answer = ann.call("wf_apply", adopting).await?;
    assert_eq!(changed(&answer), ["ConfigMap/found: updated", "Deployment/report: created"]);
    assert!(answer["warnings"].to_string().contains("ConfigMap/found was nobody's"), "{answer}");
    let found = place.get("ConfigMap", "found").await?.unwrap();
    assert_eq!((found.uid(), &found.data["data"]["k"]), (uid, &json!("taken")));
    assert_eq!(found.labels()["tentacular.io/release"], "report");
    let again = bob.refusal("wf_apply", place.arguments("report", &wanting("found"), &json!({}))).await?;
    assert!(again.starts_with("permission denied"), "{again}");
    let again = ann.call("wf_apply", place.arguments("report", &wanting("found"), &json!({}))).await?;
    assert_eq!(again["status"], "unchanged", "{again}");
    // It goes with the tentacle, as it is the tentacle's now.
    let removed = place.remove("report").await?;
    assert_eq!(removed["deleted"], 2, "{removed}");
    Ok(())
}

#[tokio::test]
async fn e2e_apply_what_is_somebodys_is_never_adopted() -> anyhow::Result<()> {
    let place = Place::new("owned").await?;
    place.apply("other", &six("other")).await?;
    let maker = place.create("by-hand", config_map("maker", &json!({}))).await?;
    let mut owned = config_map("owned", &json!({ "k": "theirs" }));
    owned["metadata"]["ownerReferences"] =
        json!([{ "apiVersion": "v1", "kind": "ConfigMap", "name": "maker", "uid": maker.uid() }]);
    place.create("by-hand", owned).await?;
    let policy = |name: &str| {
        json!({
            "apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy", "metadata": { "name": name },
            "spec": { "podSelector": { "matchLabels": own("report") }, "policyTypes": ["Ingress"], "ingress": [{}] },
        })
    };
    let mut taken = service("report");
    taken["metadata"]["name"] = json!("other");
    let manifests = [
        config_map("owned", &json!({ "k": "taken" })),
        config_map("other-readme", &json!({ "k": "taken" })),
        taken,
        policy("default-deny"),
        policy("allow-dns"),
        deployment("report"),
    ];
    for more in [json!({}), json!({ "adopt": true }), json!({ "adopt": true, "dry_run": true })] {
        let refusal = place.refusal("report", &manifests, &more).await?;
        for told in [
            "ConfigMap/owned belongs to the object that made it",
            "ConfigMap/other-readme belongs to tentacle other",
            "Service/other belongs to tentacle other",
            "default-deny",
            "allow-dns",
        ] {
            assert!(refusal.contains(told), "{told} is not in {refusal}");
        }
    }
    Ok(())
}

#[tokio::test]
async fn e2e_apply_what_an_earlier_tentacle_left_is_for_the_enclaves_owner_to_take_on() -> anyhow::Result<()> {
    let place = Place::new("left").await?;
    place.apply("report", &six("report")).await?;
    place.api("Deployment").delete("report", &kube::api::DeleteParams::background()).await?;
    let bob = place.person("bob").await?;
    until("the kernel has heard that its Deployment is gone", async || {
        let refusal = bob.refusal("wf_apply", place.arguments("report", &six("report"), &json!({}))).await?;
        ensure!(refusal.starts_with("permission denied: an earlier tentacle"), "{refusal}");
        ensure!(refusal.contains("Secret/report-secrets"), "{refusal}");
        Ok(())
    })
    .await?;
    let ann = place.person("ann").await?;
    let answer = ann.call("wf_apply", place.arguments("report", &six("report"), &json!({}))).await?;
    assert_eq!(changed(&answer), ["Deployment/report: created"]);
    assert_eq!(place.annotation("report", "owner-email").await?.as_deref(), Some("ann@example.com"));
    Ok(())
}
