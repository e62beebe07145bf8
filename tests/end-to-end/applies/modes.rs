//! The mode that an apply gives a tentacle, and when none may apply.

use serde_json::json;

use super::{
    manifests::{of, six},
    place::Place,
};

#[tokio::test]
async fn e2e_apply_the_mode_is_the_enclaves_default_or_what_the_owner_says_and_stays() -> anyhow::Result<()> {
    let place = Place::new("mode").await?;
    let sync = json!({ "name": place.enclave, "new_default_mode": "member-edit" });
    place.bearer.call("enclave_sync", sync).await?;
    let (ann, bob) = (place.person("ann").await?, place.person("bob").await?);
    let mode = async || place.annotation("report", "mode").await;

    bob.call("wf_apply", place.arguments("report", &six("report"), &json!({}))).await?;
    assert_eq!(mode().await?.as_deref(), Some("rwxrwx---"), "the enclave's default");
    assert_eq!(place.annotation("report", "owner-email").await?.as_deref(), Some("bob@example.com"));

    let with = |mode: &str| place.arguments("report", &six("report"), &json!({ "mode": mode }));
    for (asked, stored) in [("group-read", "rwxr-x---"), ("open-run", "rwxrwxr-x"), ("rwxrw----", "rwxrw----")] {
        let answer = bob.call("wf_apply", with(asked)).await?;
        assert_eq!(
            (answer["status"].as_str(), mode().await?.as_deref()),
            (Some("updated"), Some(stored)),
            "{answer}"
        );
    }
    // Without one it stays, whoever applies and whatever changes.
    for (client, text) in [(&bob, "2"), (&ann, "3"), (&place.bearer, "4")] {
        let mut manifests = six("report");
        of(&mut manifests, "ConfigMap", "-readme")["data"] = json!({ "text": text });
        client.call("wf_apply", place.arguments("report", &manifests, &json!({}))).await?;
        assert_eq!(mode().await?.as_deref(), Some("rwxrw----"));
        assert_eq!(place.annotation("report", "owner-email").await?.as_deref(), Some("bob@example.com"));
    }
    // The enclave's owner may change it too.
    ann.call("wf_apply", with("private")).await?;
    assert_eq!(mode().await?.as_deref(), Some("rwx------"));
    let before = place.snapshot().await?;
    for nonsense in ["rwx", "rwxrwxrw-x", "anybody"] {
        let refusal = bob.refusal("wf_apply", with(nonsense)).await?;
        assert!(refusal.contains(nonsense) && refusal.contains("mode"), "{refusal}");
    }
    assert_eq!(place.snapshot().await?, before);
    Ok(())
}

#[tokio::test]
async fn e2e_apply_the_mode_is_not_for_other_members_to_change() -> anyhow::Result<()> {
    let place = Place::new("othersmode").await?;
    let ann = place.person("ann").await?;
    let with = |mode: &str| place.arguments("report", &six("report"), &json!({ "mode": mode }));
    ann.call("wf_apply", with("member-edit")).await?;
    let bob = place.person("bob").await?;
    let before = place.snapshot().await?;
    let refusal = bob.refusal("wf_apply", with("open-run")).await?;
    assert!(refusal.contains("permission denied: the mode of a tentacle is for its owner"), "{refusal}");
    // The one that it has is none that would change.
    let answer = bob.call("wf_apply", with("rwxrwx---")).await?;
    assert_eq!((&answer["status"], place.snapshot().await?), (&json!("unchanged"), before), "{answer}");
    Ok(())
}

#[tokio::test]
async fn e2e_apply_a_frozen_enclave_takes_none_and_can_be_cleared() -> anyhow::Result<()> {
    let place = Place::new("frozen").await?;
    place.apply("report", &six("report")).await?;
    let sync = |status: &str| json!({ "name": place.enclave, "new_status": status });
    place.bearer.call("enclave_sync", sync("frozen")).await?;
    for more in [json!({}), json!({ "dry_run": true })] {
        let refusal = place.refusal("report", &six("report"), &more).await?;
        assert!(refusal.contains("frozen"), "{refusal}");
        let refusal = place.refusal("another", &six("another"), &more).await?;
        assert!(refusal.contains("frozen"), "{refusal}");
    }
    let removed = place.remove("report").await?;
    assert_eq!(removed["deleted"], 6, "{removed}");
    place.bearer.call("enclave_sync", sync("active")).await?;
    place.apply("report", &six("report")).await?;
    Ok(())
}

#[tokio::test]
async fn e2e_apply_what_an_earlier_change_of_permissions_recorded_is_not_kept_as_this_ones() -> anyhow::Result<()> {
    let place = Place::new("record").await?;
    let ann = place.person("ann").await?;
    ann.call("wf_apply", place.arguments("report", &six("report"), &json!({}))).await?;
    let set = json!({ "enclave": place.enclave, "name": "report", "mode": "member-edit" });
    ann.call("permissions_set", set).await?;
    assert_eq!(place.annotation("report", "updated-by-email").await?.as_deref(), Some("ann@example.com"));
    let mut manifests = six("report");
    of(&mut manifests, "ConfigMap", "-readme")["data"] = json!({ "text": "2" });
    place.apply("report", &manifests).await?;
    assert_eq!(place.annotation("report", "deployed-by").await?.as_deref(), Some("bearer-token"));
    assert_eq!(place.annotation("report", "updated-by-email").await?, None, "it was not ann who did this");
    assert_eq!(place.annotation("report", "mode").await?.as_deref(), Some("rwxrwx---"));
    Ok(())
}

#[tokio::test]
async fn e2e_apply_a_restart_is_not_taken_back_by_the_next_apply() -> anyhow::Result<()> {
    let place = Place::new("restarted").await?;
    place.apply("report", &six("report")).await?;
    place.bearer.call("wf_restart", json!({ "enclave": place.enclave, "deployment": "report" })).await?;
    let restarted = async || {
        let deployment = place.live("Deployment", "report").await?;
        let annotations = &deployment["spec"]["template"]["metadata"]["annotations"];
        anyhow::Ok(annotations["kubectl.kubernetes.io/restartedAt"].clone())
    };
    let at = restarted().await?;
    assert!(at.is_string(), "{at}");
    let again = place.apply("report", &six("report")).await?;
    assert_eq!((&again["status"], restarted().await?), (&json!("unchanged"), at.clone()), "{again}");
    let mut manifests = six("report");
    of(&mut manifests, "ConfigMap", "-readme")["data"] = json!({ "text": "2" });
    place.apply("report", &manifests).await?;
    assert_eq!(restarted().await?, at);
    Ok(())
}
