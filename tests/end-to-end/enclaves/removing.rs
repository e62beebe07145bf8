//! `enclave_deprovision`: by whom, and what is left.

use serde_json::{Value, json};

use super::world::{Team, bearer};

#[tokio::test]
async fn e2e_enclave_is_removed_whole_by_its_owner_alone() -> anyhow::Result<()> {
    let (team, spared) = tokio::try_join!(Team::new("removed"), Team::new("spared"))?;
    for name in ["first", "second"] {
        team.apply(&team.member.here, name).await?;
    }
    spared.apply(&spared.owner.here, "first").await?;
    let place = json!({ "name": team.enclave });
    for mcp in [&team.member.here, &team.member.there, &team.other.here, &spared.owner.there] {
        let refusal = mcp.refusal("enclave_deprovision", place.clone()).await?;
        assert!(refusal.ends_with("is for its owner alone"), "{refusal}");
    }
    let mistaken = json!({ "name": team.enclave, "confirm": spared.enclave });
    let refusal = team.owner.here.refusal("enclave_deprovision", mistaken).await?;
    assert!(refusal.starts_with("nothing was removed: confirm is"), "{refusal}");
    assert_eq!(team.info().await?["terminating"], false);

    // Two at once: each waits for the one deletion, and both tell the truth.
    let confirmed = json!({ "name": team.enclave, "confirm": team.enclave });
    let (one, other) = tokio::join!(
        team.owner.here.call("enclave_deprovision", confirmed.clone()),
        team.owner.there.call("enclave_deprovision", confirmed),
    );
    let answers: Vec<Value> = [one, other].into_iter().filter_map(Result::ok).collect();
    assert!(!answers.is_empty(), "both were refused");
    for answer in &answers {
        assert_eq!((&answer["deleted"], &answer["remaining"]), (&json!(true), &json!([])), "{answer}");
    }
    assert!(answers.iter().any(|answer| answer["tentacles_removed"] == 2), "{answers:?}");
    for mcp in [&team.owner.here, &team.owner.there] {
        let refusal = mcp.refusal("enclave_deprovision", place.clone()).await?;
        assert!(refusal.contains(&format!("there is no enclave {}", team.enclave)), "{refusal}");
    }
    assert_eq!(spared.info().await?["tentacle_count"], 1);
    // The name is free, and nothing of before comes back.
    team.other.there.call("enclave_provision", place.clone()).await?;
    let anew = team.other.here.call("enclave_info", place).await?;
    assert_eq!(
        (&anew["owner"], &anew["members"], &anew["tentacle_count"]),
        (&json!(team.other.email), &json!([]), &json!(0))
    );
    Ok(())
}

#[tokio::test]
async fn e2e_enclave_a_removal_without_waiting_is_finished_by_a_repeat() -> anyhow::Result<()> {
    let (team, bearer) = tokio::try_join!(Team::new("unhurried"), bearer())?;
    team.apply(&team.owner.here, "report").await?;
    let asked = json!({ "name": team.enclave, "wait_seconds": 0 });
    let begun = team.owner.here.call("enclave_deprovision", asked).await?;
    if begun["deleted"] == false {
        assert!(begun["warnings"].to_string().contains("is being deleted and not gone yet"), "{begun}");
        match bearer.call("enclave_deprovision", json!({ "name": team.enclave })).await {
            Ok(ended) => assert_eq!(ended["deleted"], true, "{ended}"),
            Err(gone) => assert!(gone.to_string().contains("there is no enclave"), "{gone}"),
        }
    }
    let refusal = team.owner.there.refusal("enclave_info", json!({ "name": team.enclave })).await?;
    assert!(refusal.contains("there is no enclave"), "{refusal}");
    Ok(())
}
