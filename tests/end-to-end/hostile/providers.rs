//! An identity provider that answers what none should: who is known stays known, and the kernel bears it.

use std::time::Duration;

use anyhow::{Context as _, ensure};
use serde_json::{Value, json};
use tentacular_test_harness::{
    Part, Provider, Stack, background, eventually::until, part::logged, provider::key::Key,
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpListener,
};

use crate::{
    oidc::{PROXIES, ask},
    support::kernel_alone,
};

/// A kernel that trusts `provider` alone.
async fn trusting(provider: &Provider) -> anyhow::Result<Stack> {
    let mut args = provider.kernel_args();
    args.push(PROXIES.to_owned());
    kernel_alone(args).await
}

async fn admitted(stack: &Stack, token: &str) -> anyhow::Result<()> {
    until("the token is taken", async || {
        let answer = ask(stack, token).await?;
        ensure!(answer.status == 200, "HTTP {}: {}", answer.status, answer.text);
        Ok(())
    })
    .await
}

/// Does with each connection what `pieces` says: writes `head`, then `piece` again and again until nobody reads.
async fn endless(head: &'static str, piece: Vec<u8>, pause: Duration) -> anyhow::Result<String> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let url = format!("http://{}/keys", listener.local_addr()?);
    background().spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let piece = piece.clone();
            tokio::spawn(async move {
                let _ = stream.read(&mut [0; 4096]).await;
                let _ = stream.write_all(head.as_bytes()).await;
                while stream.write_all(&piece).await.is_ok() {
                    tokio::time::sleep(pause).await;
                }
            });
        }
    });
    Ok(url)
}

#[tokio::test]
async fn keys_that_never_end_to_arrive_take_none_away() -> anyhow::Result<()> {
    const OK: &str = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n\r\n{\"keys\":[";
    const NO_HEAD: &str = "HTTP/1.1 200 OK\r\n";
    let provider = Provider::start()?;
    let stack = trusting(&provider).await?;
    let person = provider.token(&provider.claims("ann", "ann@example.com"));
    admitted(&stack, &person).await?;
    let drip = Duration::from_millis(100);
    for (what, url) in [
        ("a drip", endless(OK, b" ".to_vec(), drip).await?),
        ("a flood", endless(OK, vec![b' '; 1 << 16], Duration::ZERO).await?),
        ("heads without end", endless("", b"HTTP/1.1 100 Continue\r\n\r\n".repeat(100), Duration::ZERO).await?),
        ("a head without end", endless(NO_HEAD, b"x-padding: x\r\n".repeat(100), Duration::ZERO).await?),
    ] {
        provider.set_discovered("jwks_uri", json!(url));
        let unknown = Key::es256()?.token(&provider.claims("eve", "eve@example.com"))?;
        let (refused, known) = tokio::join!(ask(&stack, &unknown), ask(&stack, &person));
        let refused = refused?;
        ensure!(refused.status == 503, "{what}: HTTP {}: {}", refused.status, refused.text);
        ensure!(known?.status == 200, "{what}: who is known stays known");
    }
    Ok(())
}

#[tokio::test]
async fn a_set_of_many_keys_is_not_tried_key_by_key_for_every_token() -> anyhow::Result<()> {
    let provider = Provider::start()?;
    for _ in 0..3000 {
        let mut jwk = Key::es256()?.jwk();
        jwk.as_object_mut().context("a key")?.remove("kid");
        provider.publish(jwk);
    }
    let stack = trusting(&provider).await?;
    admitted(&stack, &provider.token(&provider.claims("ann", "ann@example.com"))).await?;
    let log = stack.process(Part::Kernel)?.log();
    let fetched = log.lines().find(|line| line.contains("keys were fetched")).context("no line of it")?;
    let fetched: Value = serde_json::from_str(fetched)?;
    let keys = fetched["keys"].as_u64().context("no number")?;
    assert!(keys <= 100, "{keys} keys are tried");
    Ok(())
}

#[tokio::test]
async fn keys_of_one_id_are_told_apart_by_their_signatures() -> anyhow::Result<()> {
    let provider = Provider::start()?;
    let stranger = Key::es256()?;
    let mut double = stranger.jwk();
    double["kid"] = provider.key().jwk()["kid"].clone();
    // A published key is one of the provider's, whatever its id.
    provider.publish(double);
    let stack = trusting(&provider).await?;
    let claims = provider.claims("ann", "ann@example.com");
    admitted(&stack, &provider.token(&claims)).await?;
    let header = provider.key().header();
    admitted(&stack, &stranger.sign(&header, &claims)?).await?;
    let nobodys = Key::es256()?.sign(&header, &claims)?;
    assert_eq!(ask(&stack, &nobodys).await?.status, 401);
    Ok(())
}

#[tokio::test]
async fn what_a_provider_says_of_itself_does_not_fill_the_log() -> anyhow::Result<()> {
    let provider = Provider::start()?;
    provider.set_discovered("issuer", json!("\u{202e}\u{9b}31m".to_owned() + &"x".repeat(500_000)));
    let stack = trusting(&provider).await?;
    let kernel = stack.process(Part::Kernel)?;
    let error = logged(&kernel, "the identity provider's keys cannot be fetched", "error").await?;
    assert!(error.len() < 4000 && error.contains("names the issuer"), "{} bytes", error.len());
    assert!(kernel.log().lines().all(|line| line.len() < 8000));
    Ok(())
}

#[tokio::test]
async fn whoever_is_reached_by_plain_http_is_warned_of() -> anyhow::Result<()> {
    let provider = Provider::start()?;
    let mut args = provider.kernel_args();
    args.push("--external-url=http://mcp.example.com".to_owned());
    let stack = kernel_alone(args).await?;
    let log = stack.process(Part::Kernel)?.log();
    for warning in ["the issuer is reached over plain HTTP", "the external URL is plain HTTP"] {
        assert!(log.lines().any(|line| line.contains(warning) && line.contains("WARN")), "{warning}: {log}");
    }
    Ok(())
}

#[tokio::test]
async fn a_discovery_that_leads_elsewhere_is_not_followed() -> anyhow::Result<()> {
    let provider = Provider::start()?;
    let real = format!("{}/.well-known/openid-configuration", provider.issuer());
    let redirect =
        format!("HTTP/1.1 302 Found\r\nlocation: {real}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let issuer = format!("--oidc-issuer=http://{}", listener.local_addr()?);
    background().spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let _ = stream.read(&mut [0; 4096]).await;
            let _ = stream.write_all(redirect.as_bytes()).await;
        }
    });
    let args =
        vec!["--oidc=true".to_owned(), issuer, "--oidc-client-id=tentacular-mcp".to_owned(), PROXIES.to_owned()];
    let stack = kernel_alone(args).await?;
    let kernel = stack.process(Part::Kernel)?;
    let error = logged(&kernel, "the identity provider's keys cannot be fetched", "error").await?;
    assert!(error.contains("HTTP 302"), "{error}");
    assert_eq!(provider.fetches().discovery, 0, "nobody asked there");
    let token = provider.token(&provider.claims("ann", "ann@example.com"));
    assert_eq!(ask(&stack, &token).await?.status, 503);
    Ok(())
}
