//! `enclave_provision`: what clients send and read, who becomes the owner, what is refused, and calls at the same time.

use std::collections::BTreeSet;

use futures::{StreamExt as _, future::join_all, stream::FuturesUnordered};
use k8s_openapi::api::core::v1::Namespace;
use kube::api::{Api, PostParams};
use serde_json::{Value, json};
use tentacular_test_harness::mcp::Era;

use super::world::{Person, Team, bearer, soon_refused, stacks};
use crate::support::unique;

#[tokio::test]
async fn e2e_enclave_tntc_is_understood_and_reads_what_it_knows() -> anyhow::Result<()> {
    let tntc = stacks().await?[0].client(Era::Handshake).await?;
    let name = unique("tntc");
    let arguments = json!({
        "channel_id": "C1", "channel_name": "team-b", "default_mode": "rwxr-x---", "members": ["c@x.io", "d@x.io"],
        "name": name, "owner_email": "b@x.io", "platform": "slack", "quota_preset": "small",
    });
    let made = tntc.call("enclave_provision", arguments).await?;
    assert_eq!(
        (&made["name"], &made["status"], &made["quota_preset"], &made["owner"], &made["members"]),
        (&json!(name), &json!("active"), &json!("small"), &json!("b@x.io"), &json!(["c@x.io", "d@x.io"]))
    );
    let resources = made["resources_created"].as_array().unwrap();
    assert_eq!(resources[..2], [json!(format!("namespace/{name}")), json!("annotation/enclave-metadata")]);
    for resource in ["networkpolicy/default-deny", "resourcequota/tentacular-quota"] {
        assert!(resources.contains(&json!(resource)), "{resources:?}");
    }
    let change = async |mut change: Value| {
        change["name"] = json!(name);
        let changed = tntc.call("enclave_sync", change).await?;
        assert!(changed["enclave"].is_object() && changed["name"] == name, "{changed}");
        anyhow::Ok(changed)
    };
    let frozen = change(json!({ "new_status": "frozen" })).await?;
    assert_eq!((&frozen["updated"], &frozen["enclave"]["status"]), (&json!(["status"]), &json!("frozen")));
    let members = change(json!({ "add_members": ["e@x.io"], "remove_members": ["c@x.io"] })).await?;
    assert_eq!(
        (&members["updated"], &members["enclave"]["members"]),
        (&json!(["members"]), &json!(["d@x.io", "e@x.io"]))
    );
    let owner = change(json!({ "new_owner": "e@x.io" })).await?;
    assert_eq!(owner["enclave"]["owner"], "e@x.io");

    let info = tntc.call("enclave_info", json!({ "name": name })).await?;
    let expected = json!({
        "name": name, "owner": "e@x.io", "owner_sub": "", "members": ["b@x.io", "d@x.io"], "platform": "slack",
        "channel_id": "C1", "channel_name": "team-b", "status": "frozen", "quota_preset": "small",
        "tentacle_count": 0, "caller_role": "bearer", "warnings": [],
        "exo_services": [{ "name": "postgres", "available": false }, { "name": "rustfs", "available": false }],
    });
    for (member, value) in expected.as_object().unwrap() {
        assert_eq!(&info[member], value, "{member}: {info}");
    }
    let listed = tntc.call("enclave_list", json!({ "caller_email": "d@x.io" })).await?;
    let entry = listed["enclaves"].as_array().unwrap().iter().find(|entry| entry["name"] == name).unwrap();
    for member in ["owner", "status", "platform", "channel_name", "created_at", "members"] {
        assert_eq!(entry[member], info[member], "{member}: {entry}");
    }
    let refusal = tntc.refusal("enclave_info", json!({ "name": "default" })).await?;
    assert!(refusal.contains("protected"), "{refusal}");
    let gone = tntc.call("enclave_deprovision", json!({ "name": name })).await?;
    assert_eq!(
        (&gone["name"], &gone["deleted"], &gone["tentacles_removed"]),
        (&json!(name), &json!(true), &json!(0))
    );
    Ok(())
}

#[tokio::test]
async fn e2e_enclave_a_person_owns_what_they_make_and_its_modes_count_at_once() -> anyhow::Result<()> {
    let (ann, eve) = tokio::try_join!(Person::new("ann"), Person::new("eve"))?;
    let enclave = unique("modes");
    let arguments = json!({
        "name": enclave, "owner_email": eve.email, "owner_sub": eve.sub, "mode": "open-read", "default_mode": "private",
    });
    let made = ann.here.call("enclave_provision", arguments).await?;
    assert_eq!(
        (&made["owner"], &made["mode"], &made["preset"], &made["default_mode"]),
        (&json!(ann.email), &json!("rwxrwxr--"), &json!("open-read"), &json!("rwx------"))
    );
    let seen = eve.there.call("enclave_info", json!({ "name": enclave })).await?;
    assert_eq!((&seen["caller_role"], &seen["owner_sub"]), (&json!("other"), &json!(ann.sub)));
    let team = Team { enclave: enclave.clone(), owner: ann, member: Person::new("bob").await?, other: eve };
    team.apply(&team.owner.here, "report").await?;
    let place = json!({ "enclave": enclave, "name": "report" });
    let permissions = team.owner.here.call("permissions_get", place.clone()).await?;
    assert_eq!((&permissions["mode"], &permissions["owner"]), (&json!("rwx------"), &json!(team.owner.email)));
    team.sync(&team.owner.there, json!({ "new_mode": "private" })).await?;
    let refusal = soon_refused(&team.other.there, "enclave_info", json!({ "name": enclave })).await?;
    assert!(refusal.contains("read on enclave") && refusal.contains("rwx------"), "{refusal}");
    // An owner's redeploy without a mode leaves the one that was set.
    team.owner
        .here
        .call("permissions_set", json!({ "enclave": enclave, "name": "report", "mode": "open-run" }))
        .await?;
    team.apply(&team.owner.here, "report").await?;
    assert_eq!(team.owner.here.call("permissions_get", place).await?["mode"], "rwxrwxr-x");
    Ok(())
}

#[tokio::test]
async fn e2e_enclave_a_refusal_says_why_and_leaves_nothing() -> anyhow::Result<()> {
    let (ann, bearer) = tokio::try_join!(Person::new("ann"), bearer())?;
    let namespaces: Api<Namespace> = Api::all(stacks().await?[0].installation().control_plane().admin()?);
    let (taken, plain) = (unique("taken"), unique("plain"));
    bearer.call("enclave_provision", json!({ "name": taken, "owner_email": "zoe@example.com" })).await?;
    let outside: Namespace = serde_json::from_value(json!({ "metadata": { "name": plain } }))?;
    namespaces.create(&PostParams::default(), &outside).await?;
    let many: Vec<_> = (0..101).map(|index| format!("m{index}@x.io")).collect();
    let long = "n".repeat(64);
    let names = [
        ("kube-team", "name: kube-team is reserved"),
        ("tentacular-team", "name: tentacular-team is reserved"),
        ("default", "name: default is reserved"),
        ("Team", "name: "),
        ("a/b", "name: "),
        ("..", "name: "),
        ("", "name: "),
        (&long, "name: "),
        (&taken, "already exists; choose another name"),
        (&plain, "already exists; choose another name"),
    ];
    for (name, part) in names {
        let refusal = ann.here.refusal("enclave_provision", json!({ "name": name })).await?;
        assert!(refusal.contains(part), "{name}: {refusal}");
    }
    let arguments = [
        (json!({ "members": many }), "members: 101 are given, an enclave has at most 100"),
        (json!({ "members": ["nobody"] }), "members[0]: "),
        (json!({ "mode": "777" }), "mode: "),
        (json!({ "default_mode": "everything" }), "default_mode: "),
        (json!({ "quota_preset": "huge" }), "invalid quota_preset \"huge\"; valid values: small, medium, large"),
        (json!({ "platform": "irc" }), "platform: "),
        (json!({ "channel_name": "two\nlines" }), "channel_name: "),
        (json!({ "colour": "red" }), "unknown field `colour`"),
    ];
    for (mut arguments, part) in arguments {
        let name = unique("refused");
        arguments["name"] = json!(name);
        let refusal = ann.here.refusal("enclave_provision", arguments).await?;
        assert!(refusal.contains(part), "{refusal}");
        assert!(namespaces.get_opt(&name).await?.is_none(), "{name} was made");
    }
    let refusal = bearer.refusal("enclave_provision", json!({ "name": unique("nobodys") })).await?;
    assert!(refusal.contains("owner_email: required with the bearer token"), "{refusal}");
    Ok(())
}

#[tokio::test]
async fn e2e_enclave_the_same_call_at_two_registrars_makes_one_and_overwrites_nothing() -> anyhow::Result<()> {
    let ann = Person::new("ann").await?;
    for round in 0..3 {
        let enclave = unique("once");
        let call = |turn| ann.either(turn).call("enclave_provision", json!({ "name": enclave }));
        let mut calls: FuturesUnordered<_> = (0..8).map(call).collect();
        let (mut made, mut changed) = (BTreeSet::new(), false);
        while let Some(answer) = calls.next().await {
            match answer {
                Ok(answer) => {
                    assert_eq!((&answer["status"], &answer["owner"]), (&json!("active"), &json!(ann.email)));
                    made.insert(answer["created_at"].to_string());
                }
                // It came when the first had finished, or after the change below.
                Err(error) => {
                    let text = error.to_string();
                    let expected = ["already exists, active, of the same owner", "another call makes it"];
                    assert!(expected.iter().any(|part| text.contains(part)), "{text}");
                }
            }
            if !changed {
                let change = json!({ "name": enclave, "new_channel_name": "#kept", "quota_preset": "large" });
                ann.either(round).call("enclave_sync", change).await?;
                changed = true;
            }
        }
        assert_eq!(made.len(), 1, "{made:?}");
        let info = ann.here.call("enclave_info", json!({ "name": enclave })).await?;
        assert_eq!(
            (&info["status"], &info["channel_name"], &info["quota_preset"], &info["quota"]["pods"]["hard"]),
            (&json!("active"), &json!("#kept"), &json!("large"), &json!("100")),
            "{info}"
        );
    }
    Ok(())
}

#[tokio::test]
async fn e2e_enclave_an_owner_has_ten_however_many_registrars_are_asked() -> anyhow::Result<()> {
    let (ann, bearer) = tokio::try_join!(Person::new("ann"), bearer())?;
    let by_bearer = || bearer.call("enclave_provision", json!({ "name": unique("ten"), "owner_email": ann.email }));
    for made in join_all((0..8).map(|_| by_bearer())).await {
        made?;
    }
    let mine = |turn| ann.either(turn).call("enclave_provision", json!({ "name": unique("ten") }));
    let burst = join_all((0..6).map(mine)).await;
    let refused: Vec<_> = burst.iter().filter_map(|made| made.as_ref().err()).map(ToString::to_string).collect();
    assert_eq!(refused.len(), 4, "two of six: {burst:?}");
    for text in &refused {
        assert!(text.contains("enclaves (limit: 10)"), "{text}");
    }
    let own = json!({ "limit": 500 });
    let listed = ann.there.call("enclave_list", own).await?;
    let (enclaves, email) = (listed["enclaves"].as_array().unwrap(), json!(ann.email));
    let active: Vec<_> = enclaves.iter().filter(|entry| entry["owner"] == email).collect();
    assert!(active.len() == 10 && active.iter().all(|entry| entry["status"] == "active"), "{active:?}");
    let refusal = ann.there.refusal("enclave_provision", json!({ "name": unique("ten") })).await?;
    assert!(refusal.contains("already has 10 enclaves (limit: 10)"), "{refusal}");
    by_bearer().await?;
    for entry in &active[..2] {
        ann.here.call("enclave_deprovision", json!({ "name": entry["name"] })).await?;
    }
    ann.there.call("enclave_provision", json!({ "name": unique("ten") })).await?;
    Ok(())
}
