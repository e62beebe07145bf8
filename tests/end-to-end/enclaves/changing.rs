//! `enclave_sync`: each of its fields, by whom, what follows from it, and calls at the same time.

use anyhow::ensure;
use futures::future::join_all;
use serde_json::{Value, json};
use tentacular_test_harness::until;

use super::world::{Team, bearer, soon, soon_refused};

/// Each field with a value, and what shows it in the enclave.
fn fields(team: &Team) -> Vec<(Value, &'static str, &'static str, Value)> {
    let (member, other) = (&team.member.email, &team.other.email);
    vec![
        (json!({ "new_channel_name": "#here" }), "channel_name", "/channel_name", json!("#here")),
        (json!({ "new_mode": "open-read" }), "mode", "/preset", json!("open-read")),
        (json!({ "new_default_mode": "private" }), "default_mode", "/default_mode", json!("rwx------")),
        (json!({ "new_quota_preset": "small" }), "quota_preset", "/quota/limits.memory/hard", json!("16Gi")),
        (json!({ "quota_preset": "large" }), "quota_preset", "/quota/requests.storage/hard", json!("100Gi")),
        (json!({ "new_status": "frozen" }), "status", "/status", json!("frozen")),
        (json!({ "new_status": "active" }), "status", "/status", json!("active")),
        (json!({ "add_members": [other] }), "members", "/members/1", json!(other)),
        (json!({ "remove_members": [other] }), "members", "/members", json!([member])),
        (json!({ "members": [other, member] }), "members", "/members/1", json!(other)),
        (json!({ "members": [member] }), "members", "/members", json!([member])),
    ]
}

#[tokio::test]
async fn e2e_enclave_every_field_is_changed_by_the_owner_or_the_bearer_and_by_nobody_else() -> anyhow::Result<()> {
    let (team, bearer) = tokio::try_join!(Team::new("fields"), bearer())?;
    for (change, updated, shown, value) in fields(&team) {
        let before = team.info().await?;
        for person in [&team.member, &team.other] {
            for mcp in [&person.here, &person.there] {
                let refusal = mcp.refusal("enclave_sync", with(&team, &change)).await?;
                assert!(refusal.starts_with("permission denied: own on enclave"), "{change}: {refusal}");
                assert!(refusal.ends_with("is for its owner alone"), "{change}: {refusal}");
            }
        }
        assert_eq!(team.info().await?["updated_at"], before["updated_at"], "{change} by others wrote something");
        let changed = team.sync(&team.owner.there, change.clone()).await?;
        assert_eq!(changed["updated"], json!([updated]), "{change}: {changed}");
        assert_eq!(changed["enclave"].pointer(shown), Some(&value), "{change}: {changed}");
        assert_eq!(team.info().await?.pointer(shown), Some(&value), "{change}");
        let again = team.sync(&bearer, change.clone()).await?;
        assert_eq!(again["updated"], json!([]), "{change}: {again}");
        assert!(again["warnings"][0].as_str().unwrap().starts_with("nothing changed"), "{again}");
    }
    let given = team.sync(&team.owner.here, json!({ "new_owner": team.member.email })).await?;
    assert_eq!(
        (&given["updated"], &given["enclave"]["owner"], &given["enclave"]["members"]),
        (&json!(["members", "owner"]), &json!(team.member.email), &json!([team.owner.email]))
    );
    let late = team.owner.there.refusal("enclave_sync", with(&team, &json!({ "new_channel_name": "#late" }))).await?;
    assert!(late.ends_with("is for its owner alone"), "{late}");
    let back = json!({ "new_owner": team.owner.email, "new_owner_sub": team.owner.sub });
    let error = soon_error(&team, &back).await?;
    assert!(error.contains("new_owner_sub: only with the bearer token"), "{error}");
    team.sync(&bearer, back).await?;
    assert_eq!(
        soon(&team.owner.here, "enclave_info", json!({ "name": team.enclave })).await?["caller_role"],
        "owner"
    );
    Ok(())
}

/// The refusal of a change by the member, who owns the enclave by now, once the kernel knows.
async fn soon_error(team: &Team, change: &Value) -> anyhow::Result<String> {
    until("the kernel knows the new owner", async || {
        let error = team.member.here.refusal("enclave_sync", with(team, change)).await?;
        ensure!(!error.starts_with("permission denied"), "{error}");
        Ok(error)
    })
    .await
}

fn with(team: &Team, change: &Value) -> Value {
    let mut arguments = change.clone();
    arguments["enclave"] = json!(team.enclave);
    arguments
}

#[tokio::test]
async fn e2e_enclave_a_wrong_change_is_refused_as_a_whole_and_says_all_that_is_wrong() -> anyhow::Result<()> {
    let team = Team::new("wrong").await?;
    let before = team.info().await?;
    let wrong = json!({
        "new_channel_name": "#good", "new_mode": "777", "new_status": "provisioning", "new_quota_preset": "huge",
        "add_members": ["nobody"], "new_owner": "a,b@x.io",
    });
    let refusal = team.owner.here.refusal("enclave_sync", with(&team, &wrong)).await?;
    assert!(refusal.starts_with("nothing was changed: "), "{refusal}");
    for part in
        ["new_mode: ", "valid values: active, frozen", "small, medium, large", "add_members[0]: ", "new_owner: "]
    {
        assert!(refusal.contains(part), "{part}: {refusal}");
    }
    for (change, part) in [
        (json!({}), "no argument says what to change"),
        (json!({ "new_owner": team.other.email }), "is no member of the enclave"),
        (json!({ "remove_members": [team.owner.email] }), "is the owner"),
        (json!({ "members": [], "add_members": [team.other.email] }), "members: replaces all"),
        (json!({ "new_quota_preset": "small", "quota_preset": "large" }), "the two differ"),
    ] {
        let refusal = team.owner.there.refusal("enclave_sync", with(&team, &change)).await?;
        assert!(refusal.contains(part), "{part}: {refusal}");
    }
    let after = team.info().await?;
    for member in ["owner", "members", "mode", "status", "quota_preset", "channel_name", "updated_at"] {
        assert_eq!(after.get(member), before.get(member), "{member}");
    }
    Ok(())
}

#[tokio::test]
async fn e2e_enclave_a_frozen_one_refuses_what_would_change_or_run_and_nothing_else() -> anyhow::Result<()> {
    let team = Team::new("frozen").await?;
    team.apply(&team.member.here, "report").await?;
    team.sync(&team.owner.here, json!({ "new_status": "frozen" })).await?;
    let place = json!({ "enclave": team.enclave, "name": "report" });
    let error = team.apply(&team.member.here, "report").await.unwrap_err().to_string();
    assert!(error.contains("is frozen"), "{error}");
    team.member.there.call("permissions_get", place.clone()).await?;
    team.owner.there.call("wf_remove", place).await?;
    team.sync(&team.owner.there, json!({ "new_status": "active" })).await?;
    assert_eq!(team.info().await?["tentacle_count"], 0);
    Ok(())
}

#[tokio::test]
async fn e2e_enclave_tentacles_of_who_leaves_go_to_the_owner_and_a_repeat_says_so_once() -> anyhow::Result<()> {
    let team = Team::new("leaving").await?;
    for (person, name) in [(&team.member, "first"), (&team.member, "second"), (&team.owner, "third")] {
        team.apply(&person.here, name).await?;
    }
    let place = |name: &str| json!({ "enclave": team.enclave, "name": name });
    let removal = json!({ "remove_members": [team.member.email.to_uppercase()] });
    let done = team.sync(&team.owner.here, removal.clone()).await?;
    let transfer = |name: &str| {
        let (from, to) = (&team.member.email, &team.owner.email);
        json!({ "tentacle_name": name, "from_owner": from, "to_owner": to, "success": true })
    };
    assert_eq!(
        (&done["updated"], &done["transfers"], &done["warnings"]),
        (&json!(["members", "ownership_transfers"]), &json!([transfer("first"), transfer("second")]), &json!([]))
    );
    let again = team.sync(&team.owner.there, removal).await?;
    assert_eq!((&again["updated"], again.get("transfers")), (&json!([]), None), "{again}");
    for name in ["first", "second", "third"] {
        let permissions = team.owner.there.call("permissions_get", place(name)).await?;
        assert_eq!(permissions["owner"], team.owner.email, "{name}");
        assert_eq!(permissions["owner_sub"], team.owner.sub, "{name}: {permissions}");
    }
    let refusal = soon_refused(&team.member.here, "permissions_get", place("first")).await?;
    assert!(refusal.starts_with("permission denied: read on "), "{refusal}");
    // Who comes back does not get back what was given away.
    team.sync(&team.owner.here, json!({ "add_members": [team.member.email] })).await?;
    let seen = soon(&team.member.there, "permissions_get", place("first")).await?;
    assert_eq!((&seen["caller_class"], &seen["caller_may"]["own"]), (&json!("member"), &json!(false)), "{seen}");
    Ok(())
}

#[tokio::test]
async fn e2e_enclave_changes_of_different_fields_at_two_registrars_are_all_kept() -> anyhow::Result<()> {
    let team = Team::new("together").await?;
    let mut changes: Vec<_> = (0..8).map(|index| json!({ "add_members": [format!("m{index}@x.io")] })).collect();
    changes.extend([
        json!({ "new_channel_name": "#together" }),
        json!({ "new_mode": "public-read" }),
        json!({ "new_default_mode": "open-run" }),
        json!({ "new_quota_preset": "large" }),
        json!({ "new_status": "frozen" }),
        json!({ "remove_members": [team.member.email] }),
    ]);
    let calls = changes.iter().enumerate();
    let calls = calls.map(|(turn, change)| team.sync(team.owner.either(turn), change.clone()));
    for (changed, change) in join_all(calls).await.into_iter().zip(&changes) {
        let updated = changed?["updated"].clone();
        assert_eq!(updated.as_array().unwrap().len(), 1, "{change}: {updated}");
    }
    let info = team.info().await?;
    let members: Vec<_> = (0..8).map(|index| format!("m{index}@x.io")).collect();
    let expected = json!({
        "members": members, "channel_name": "#together", "mode": "rwxr--r--", "default_mode": "rwxrwxr-x",
        "quota_preset": "large", "status": "frozen",
    });
    for (member, value) in expected.as_object().unwrap() {
        assert_eq!(&info[member], value, "{member}: {info}");
    }
    assert_eq!(info["quota"]["requests.cpu"]["hard"], "32");
    Ok(())
}
