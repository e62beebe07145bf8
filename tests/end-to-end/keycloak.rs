//! A real Keycloak: people sign in there and are known here. Where it cannot run, the reason is printed and nothing is tried.

use anyhow::ensure;
use tentacular_test_harness::{Keycloak, Shared, Stack, mcp::Era, provider::key::Algorithm};

use crate::{
    oidc::{PROXIES, ask, is_invalid_token, persons, tells_nothing, why},
    support::kernel_alone,
};

/// The clients of the realm that are trusted beside `tentacular-mcp`; the one called `stranger` is not.
const TRUSTED: &str =
    "--oidc-trusted-azps=thekraken,audience-us,audience-other,signed-ps256,signed-es256,signed-eddsa";

/// The Keycloak that the tests share; each leaves the others' keys alone.
async fn keycloak() -> anyhow::Result<Option<&'static Keycloak>> {
    static SHARED: Shared<Option<Keycloak>> = Shared::empty();
    Ok(SHARED.get(Keycloak::start).await?.as_ref())
}

/// A kernel without sidecars that trusts it.
async fn kernel(keycloak: &Keycloak, further: &[&str]) -> anyhow::Result<Stack> {
    let mut args = keycloak.kernel_args();
    args.extend([PROXIES, TRUSTED].iter().chain(further).map(|&arg| arg.to_owned()));
    kernel_alone(args).await
}

async fn admits(stack: &Stack, what: &str, token: &str) -> anyhow::Result<()> {
    let answer = ask(stack, token).await?;
    ensure!(answer.status == 200, "{what}: {}", answer.text);
    Ok(())
}

async fn refuses(stack: &Stack, what: &str, token: &str, why: &str) -> anyhow::Result<()> {
    let answer = ask(stack, token).await?;
    is_invalid_token(&answer, why).map_err(|error| error.context(what.to_owned()))?;
    tells_nothing(&answer, token)
}

#[tokio::test]
async fn people_who_sign_in_by_password_or_device_are_known_by_their_verified_email() -> anyhow::Result<()> {
    let Some(keycloak) = keycloak().await? else { return Ok(()) };
    let stack = persons::stack(keycloak.kernel_args(), &[TRUSTED]).await?;
    let of_ann = persons::enclave(&stack, "ann@example.com", &["bob@example.com", "eve@example.com"]).await?;
    let device = keycloak.device("tentacular-mcp", "ann").await?;
    let ann = keycloak.password("tentacular-mcp", "ann", "").await?;
    let bob = keycloak.password("thekraken", "bob", "").await?;
    let eve = keycloak.password("tentacular-mcp", "eve", "").await?;
    for (what, tokens, wanted) in [
        ("the owner, by the device flow", &device, true),
        ("the owner, by a password", &ann, true),
        ("a member, by another trusted client", &bob, true),
        ("a member whose email is not verified", &eve, false),
    ] {
        for era in [Era::Stateless, Era::Handshake] {
            let mcp = stack.client_as(&tokens.access_token, era).await?;
            ensure!(persons::sees(&mcp, &of_ann).await? == wanted, "{what}");
        }
    }
    Ok(())
}

#[tokio::test]
async fn what_is_no_access_token_for_this_server_is_refused() -> anyhow::Result<()> {
    let Some(keycloak) = keycloak().await? else { return Ok(()) };
    let (ordinary, strict) =
        tokio::try_join!(kernel(keycloak, &[]), kernel(keycloak, &["--oidc-require-audience=true"]))?;
    let own = keycloak.password("tentacular-mcp", "ann", "").await?;
    let offline = keycloak.password("tentacular-mcp", "ann", "offline_access").await?;
    let stranger = keycloak.password("stranger", "ann", "").await?;
    let for_us = keycloak.password("audience-us", "ann", "").await?;
    let for_another = keycloak.password("audience-other", "ann", "").await?;

    admits(&ordinary, "our client", &own.access_token).await?;
    admits(&ordinary, "our client, with offline access", &offline.access_token).await?;
    for (what, token, why) in [
        ("an ID token", &own.id_token, why::KIND),
        ("a refresh token", &own.refresh_token, why::ALGORITHM),
        ("an offline token", &offline.refresh_token, why::ALGORITHM),
        ("an untrusted client", &stranger.access_token, why::CLIENT),
        ("another audience", &for_another.access_token, why::AUDIENCE),
        ("bent claims", &own.access_token.replacen('.', ".e30", 1), why::SIGNATURE),
    ] {
        refuses(&ordinary, what, token, why).await?;
    }
    for stack in [&ordinary, &strict] {
        admits(stack, "our audience", &for_us.access_token).await?;
    }
    refuses(&strict, "only the default audience", &own.access_token, why::AUDIENCE).await
}

#[tokio::test]
async fn each_kind_of_key_counts_and_so_does_a_rotation() -> anyhow::Result<()> {
    let Some(keycloak) = keycloak().await? else { return Ok(()) };
    let stack = kernel(keycloak, &[]).await?;
    for client in ["thekraken", "signed-ps256", "signed-es256", "signed-eddsa"] {
        let tokens = keycloak.password(client, "ann", "").await?;
        admits(&stack, client, &tokens.access_token).await?;
    }
    let before = keycloak.password("signed-es256", "ann", "").await?;
    keycloak.rotate(Algorithm::Es256).await?;
    let after = keycloak.password("signed-es256", "ann", "").await?;
    admits(&stack, "a new key", &after.access_token).await?;
    refuses(&stack, "a removed key", &before.access_token, why::KEY).await
}
