//! Whom a valid token is about: the owner, a member, somebody else, or somebody whose email counts for nothing.

use anyhow::{Context as _, ensure};
use serde_json::{Value, json};
use tentacular_test_harness::{
    Installation, Provider, Stack, background,
    mcp::{Era, Mcp},
    stack::Options,
    until,
};

use super::with;
use crate::support::unique;

/// What the names of these tests' enclaves begin with.
const PREFIX: &str = "persons";

/// All parts, with a kernel that trusts a provider.
pub(crate) async fn stack(mut kernel_args: Vec<String>, further: &[&str]) -> anyhow::Result<Stack> {
    kernel_args.extend(further.iter().map(|&arg| arg.to_owned()));
    let options = Options { kernel_args, enclaves: Some(format!("{PREFIX}-")), ..Options::default() };
    let start = async { Stack::start_with(Installation::shared().await?, options).await };
    background().spawn(start).await?
}

/// A new enclave of this owner with these members, made by the bearer; it is listed, for which a watch has to show it.
pub(crate) async fn enclave(stack: &Stack, owner: &str, members: &[&str]) -> anyhow::Result<String> {
    let name = unique(PREFIX);
    let arguments = json!({ "name": name, "owner_email": owner, "members": members });
    let bearer = stack.client(Era::Stateless).await?;
    bearer.call("enclave_provision", arguments).await?;
    until("the enclave is listed", async || {
        ensure!(is_listed(&bearer, &name).await?);
        Ok(())
    })
    .await?;
    Ok(name)
}

/// Whether it is on any page: other tests have many.
async fn is_listed(mcp: &Mcp, enclave: &str) -> anyhow::Result<bool> {
    let mut asked = json!({ "limit": 500 });
    loop {
        let page = mcp.call("enclave_list", asked.clone()).await?;
        if page["enclaves"].as_array().context("a list")?.iter().any(|entry| entry["name"] == enclave) {
            return Ok(true);
        }
        let Some(cursor) = page.get("next_cursor") else { return Ok(false) };
        asked["cursor"] = cursor.clone();
    }
}

/// Whether the enclave, which is ann's, is listed to a person, and its information is given; both or neither.
pub(crate) async fn sees(mcp: &Mcp, enclave: &str) -> anyhow::Result<bool> {
    let listed = is_listed(mcp, enclave).await?;
    let place = json!({ "name": enclave });
    if listed {
        assert_eq!(mcp.call("enclave_info", place).await?["owner"], "ann@example.com");
    } else {
        let refusal = mcp.refusal("enclave_info", place).await?;
        assert!(refusal.starts_with("permission denied: "), "{refusal}");
    }
    Ok(listed)
}

/// Asks for each of these claims whether that person sees the enclave.
async fn compare(
    provider: &Provider,
    stack: &Stack,
    enclave: &str,
    expected: Vec<(&str, &str, Value, bool)>,
) -> anyhow::Result<()> {
    for (what, email, changes, wanted) in expected {
        let token = provider.token(&with(provider.claims(&unique("sub"), email), changes));
        let mcp = stack.client_as(&token, Era::Stateless).await?;
        assert_eq!(sees(&mcp, enclave).await?, wanted, "{what}");
    }
    Ok(())
}

#[tokio::test]
async fn a_person_is_known_by_a_verified_email_whatever_its_case() -> anyhow::Result<()> {
    let provider = Provider::start()?;
    let stack = stack(provider.kernel_args(), &[]).await?;
    let enclave = enclave(&stack, "ann@example.com", &["bob@example.com"]).await?;
    let expected = vec![
        ("the owner", "ann@example.com", json!({}), true),
        ("a member", "bob@example.com", json!({}), true),
        ("somebody else", "carol@example.com", json!({}), false),
        ("the owner in capitals", "ANN@Example.COM", json!({}), true),
        ("an email that only begins like it", "ann@example.com.evil.io", json!({}), false),
        ("not verified", "ann@example.com", json!({ "email_verified": false }), false),
        ("not marked", "ann@example.com", json!({ "email_verified": null }), false),
        ("no email", "ann@example.com", json!({ "email": null }), false),
        ("a name is no email", "carol@example.com", json!({ "name": "ann@example.com" }), false),
        ("nor is a user name", "", json!({ "preferred_username": "ann@example.com" }), false),
        ("a list in one text", "carol@example.com,ann@example.com", json!({}), false),
    ];
    compare(&provider, &stack, &enclave, expected).await?;

    // A person makes an enclave for themselves, also in the other era.
    let dora = stack.client_as(&provider.token(&provider.claims("dora", "Dora@Example.com")), Era::Handshake).await?;
    let own = unique(PREFIX);
    dora.call("enclave_provision", json!({ "name": own })).await?;
    assert_eq!(dora.call("enclave_info", json!({ "name": own })).await?["owner"], "dora@example.com");
    let unverified = with(provider.claims("ed", "ed@example.com"), json!({ "email_verified": false }));
    let ed = stack.client_as(&provider.token(&unverified), Era::Stateless).await?;
    let refusal = ed.refusal("enclave_provision", json!({ "name": unique(PREFIX) })).await?;
    assert!(refusal.contains("email"), "{refusal}");
    Ok(())
}

#[tokio::test]
async fn an_email_without_a_mark_counts_only_where_the_settings_say_so() -> anyhow::Result<()> {
    let provider = Provider::start()?;
    let stack = stack(provider.kernel_args(), &["--oidc-trust-unmarked-email=true"]).await?;
    let enclave = enclave(&stack, "ann@example.com", &["bob@example.com"]).await?;
    let expected = vec![
        ("not marked", "ann@example.com", json!({ "email_verified": null }), true),
        ("verified", "ann@example.com", json!({}), true),
        ("not verified", "ann@example.com", json!({ "email_verified": false }), false),
    ];
    compare(&provider, &stack, &enclave, expected).await
}
