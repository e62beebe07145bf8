//! Who may run a tentacle, and who may read what it did.

use serde_json::json;

use crate::schedules::world::{Place, scheduled};

#[tokio::test]
async fn e2e_run_is_for_whom_the_modes_let_and_names_its_caller() -> anyhow::Result<()> {
    let place = Place::new("people").await?;
    let (ann, bob, eve) = (place.person("ann").await?, place.person("bob").await?, place.person("eve").await?);
    let manifests = scheduled(&json!({}))?;
    for (mode, may_run, may_read) in [
        ("rwxr-x---", true, true),
        ("rwxr-----", false, true),
        ("rwx--x---", true, false),
        ("rwx------", false, false),
    ] {
        let apply = place.arguments(&json!({ "manifests": manifests, "mode": mode }));
        ann.call("wf_apply", apply).await?;
        for (tool, may) in [("wf_run", may_run), ("wf_runs", may_read), ("wf_schedule", may_read)] {
            ann.call(tool, place.arguments(&json!({}))).await?;
            if may {
                bob.call(tool, place.arguments(&json!({}))).await?;
            } else {
                let refusal = bob.refusal(tool, place.arguments(&json!({}))).await?;
                assert!(
                    refusal.starts_with("permission denied: ") && refusal.contains(mode),
                    "{mode} {tool}: {refusal}"
                );
            }
            let refusal = eve.refusal(tool, place.arguments(&json!({}))).await?;
            assert!(refusal.starts_with("permission denied: ") && !refusal.contains("rwx------ "), "{refusal}");
        }
    }
    let runs = place.runs().await?;
    let by: Vec<_> = runs.iter().map(|run| run["by"].as_str().unwrap()).collect();
    let (ann, bob) = ("ann@example.com", "bob@example.com");
    assert_eq!(by, [ann, bob, ann, ann, bob, ann], "newest first, and none that was refused");
    Ok(())
}

#[tokio::test]
async fn e2e_run_the_ledger_of_a_tentacle_that_was_removed_is_for_the_enclaves_owner() -> anyhow::Result<()> {
    let place = Place::new("gone").await?;
    let (ann, bob) = (place.person("ann").await?, place.person("bob").await?);
    let apply = place.arguments(&json!({ "manifests": scheduled(&json!({}))? }));
    ann.call("wf_apply", apply).await?;
    let ran = bob.call("wf_run", place.arguments(&json!({}))).await?;
    ann.call("wf_remove", place.arguments(&json!({}))).await?;
    let left = ann.call("wf_runs", place.arguments(&json!({}))).await?;
    assert_eq!((&left["runs"][0]["run_id"], &left["runs"][0]["by"]), (&ran["run_id"], &json!("bob@example.com")));
    let refusal = bob.refusal("wf_runs", place.arguments(&json!({}))).await?;
    assert!(refusal.starts_with("permission denied: "), "{refusal}");
    let refusal = ann.refusal("wf_schedule", place.arguments(&json!({}))).await?;
    assert!(refusal.contains("does not exist"), "{refusal}");
    Ok(())
}
