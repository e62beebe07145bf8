//! `authz_explain`: what it says is what the kernel does, and what it says would turn a decision does.

use anyhow::{Context as _, ensure};
use serde_json::{Value, json};
use tentacular_test_harness::{mcp::Mcp, until};

use crate::{
    enclaves::world::{Person, Team, bearer, soon},
    support::unique,
};

/// A team whose tentacle, of the owner, is read by members.
async fn team(prefix: &str) -> anyhow::Result<Team> {
    let team = Team::new(prefix).await?;
    team.apply(&team.owner.here, "report").await?;
    Ok(team)
}

/// What is said of one right.
fn right<'a>(explained: &'a Value, right: &str) -> anyhow::Result<&'a Value> {
    let rights = explained["rights"].as_array().context("no rights")?;
    rights.iter().find(|entry| entry["right"] == right).with_context(|| format!("no {right} in {explained}"))
}

async fn explain(team: &Team, mcp: &Mcp, person: Option<&Person>) -> anyhow::Result<Value> {
    let mut arguments = json!({ "enclave": team.enclave, "name": "report" });
    if let Some(person) = person {
        (arguments["person_email"], arguments["person_sub"]) = (json!(person.email), json!(person.sub));
    }
    mcp.call("authz_explain", arguments).await
}

#[tokio::test]
async fn e2e_explain_says_what_the_kernel_decides() -> anyhow::Result<()> {
    let (team, bearer) = tokio::try_join!(team("said"), bearer())?;
    let place = json!({ "enclave": team.enclave, "name": "report" });
    for (mcp, person, class, rule, allowed) in [
        (&bearer, "bearer-token", Value::Null, "bearer", [true; 4]),
        (&team.owner.here, &team.owner.email, json!("owner"), "enclave-owner", [true; 4]),
        (&team.member.here, &team.member.email, json!("member"), "mode", [true, false, true, false]),
        (&team.other.here, &team.other.email, json!("other"), "mode", [false; 4]),
    ] {
        soon(mcp, "enclave_list", json!({})).await?;
        let explained = mcp.call("authz_explain", place.clone()).await?;
        assert_eq!((&explained["person"], &explained["class"]), (&json!(person), &class), "{explained}");
        for (needs, allowed) in ["read", "write", "execute", "own"].into_iter().zip(allowed) {
            let right = right(&explained, needs)?;
            assert_eq!(right["allowed"], allowed, "{person} {needs}: {explained}");
        }
        assert_eq!(right(&explained, "read")?["rule"], rule, "{explained}");
        // The words are the kernel's own.
        let because = right(&explained, "read")?["because"].as_str().unwrap_or_default();
        match mcp.call("wf_status", place.clone()).await {
            Ok(_) => assert!(allowed[0]),
            Err(refusal) => assert_eq!(refusal.to_string(), because),
        }
    }
    let read = right(&explain(&team, &team.member.here, None).await?, "read")?.clone();
    assert_eq!(
        read["because"],
        "member has r in the mode of the enclave, rwxrwx---, and member has r in that of the tentacle, rwxr-x---"
    );
    Ok(())
}

#[tokio::test]
async fn e2e_explain_names_calls_that_turn_the_decision() -> anyhow::Result<()> {
    let mut ways = 1;
    let mut turned = 0;
    while turned < ways {
        let team = team("turned").await?;
        let (owner, other) = (&team.owner.here, &team.other);
        let explained = explain(&team, owner, Some(other)).await?;
        let write = right(&explained, "write")?;
        assert_eq!((&write["allowed"], &write["rule"]), (&json!(false), &json!("mode")), "{explained}");
        let found = write["turned_by"].as_array().context("no ways")?;
        ways = found.len();
        ensure!(ways > 1, "there is more than one way: {explained}");
        for call in found[turned]["calls"].as_array().context("no calls")? {
            let tool = call["tool"].as_str().context("no tool")?;
            soon(owner, tool, call["arguments"].clone()).await?;
        }
        // What stands in the way of the tentacle itself shows once the enclave can be read.
        until(format!("way {turned} of {found:?} turns it"), async || {
            let explained = explain(&team, &other.here, None).await?;
            let write = right(&explained, "write")?;
            let turned = write["allowed"] == true || write["because"].to_string().contains("on tentacle");
            ensure!(turned, "{explained}");
            Ok(())
        })
        .await?;
        turned += 1;
    }
    Ok(())
}

#[tokio::test]
async fn e2e_explain_of_somebody_else_is_for_the_owner_and_the_bearer() -> anyhow::Result<()> {
    let (team, bearer) = tokio::try_join!(team("asked"), bearer())?;
    for mcp in [&team.owner.here, &bearer] {
        let explained = explain(&team, mcp, Some(&team.member)).await?;
        assert_eq!((&explained["person"], &explained["class"]), (&json!(team.member.email), &json!("member")));
        let write = right(&explained, "write")?;
        assert!(write["because"].to_string().contains("needs w for member, mode is rwxr-x---"), "{explained}");
        assert_eq!(write["turned_by"][0]["calls"][0]["tool"], "permissions_set", "{explained}");
    }
    let email = json!({ "enclave": team.enclave, "person_email": team.owner.email });
    for mcp in [&team.member.here, &team.other.here] {
        let refusal = mcp.refusal("authz_explain", email.clone()).await?;
        assert!(refusal.starts_with("permission denied: another person's rights"), "{refusal}");
        let nowhere = json!({ "enclave": unique("nowhere"), "person_email": team.owner.email });
        assert_eq!(mcp.refusal("authz_explain", nowhere).await?, refusal, "whether it exists does not show");
    }
    for (enclave, rule) in [("kube-system", "protected"), (&*unique("none"), "no-enclave")] {
        let explained = team.other.here.call("authz_explain", json!({ "enclave": enclave })).await?;
        assert_eq!(right(&explained, "read")?["rule"], rule, "{explained}");
        assert_eq!(right(&explained, "read")?["turned_by"], json!([]), "{explained}");
    }
    // Whoever may not read the enclave is told the same of a tentacle that is there and of one that is not.
    let said = async |name: &str| -> anyhow::Result<String> {
        let place = json!({ "enclave": team.enclave, "name": name });
        Ok(team.other.here.call("authz_explain", place).await?.to_string().replace(name, "<name>"))
    };
    assert_eq!(said("report").await?, said("missing").await?);
    // Without a place, the only enclave somebody has is meant.
    let own = team.member.here.call("authz_explain", json!({})).await?;
    assert_eq!((&own["enclave"], &own["name"]), (&json!(team.enclave), &Value::Null), "{own}");
    let refusal = bearer.refusal("authz_explain", json!({})).await?;
    assert!(refusal.contains("enclave is required"), "{refusal}");
    Ok(())
}
