//! The provider's keys: fetched in the background, again when they change, and never so often that it hurts.

use std::time::Instant;

use anyhow::ensure;
use futures::future::join_all;
use reqwest::header::{RETRY_AFTER, WWW_AUTHENTICATE};
use serde_json::json;
use tentacular_test_harness::{Part, Provider, background, mcp::Answer, part::logged, provider::key::Key, until};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpListener,
};

use super::{Attempt, Server, is_invalid_token, tells_nothing, why, with};

impl Server {
    fn person(&self) -> String {
        self.provider.token(&self.provider.claims("ann", "ann@example.com"))
    }

    /// Sends two tokens at once, of which the second can be answered before the first. Returns the first's answer. A
    /// machine that stands still for seconds may turn the order around, a server does it each time.
    async fn answers_later(&self, slow: &str, quick: &str) -> anyhow::Result<Answer> {
        for _ in 0..10 {
            let slow = self.ask(slow);
            tokio::pin!(slow);
            tokio::select! {
                biased;
                _ = &mut slow => {}
                admitted = self.admits("the quick one", quick) => {
                    admitted?;
                    return slow.await;
                }
            }
        }
        anyhow::bail!("a token that needs no fetch waits for one")
    }

    async fn until_admitted(&self, token: &str) -> anyhow::Result<()> {
        until("the token is taken", async || {
            let answer = self.ask(token).await?;
            ensure!(answer.status == 200, "HTTP {}: {}", answer.status, answer.text);
            Ok(())
        })
        .await
    }
}

/// Nobody knows whether the token is good: the sender is told to come back, and nothing of the token.
fn is_unavailable(answer: &Answer, token: &str) -> anyhow::Result<()> {
    ensure!(answer.status == 503, "HTTP {}: {}", answer.status, answer.text);
    ensure!(answer.text.starts_with("503 Service Unavailable: ") && answer.text.contains("try again"), "{answer:?}");
    ensure!(answer.text.contains("identity provider"), "{}", answer.text);
    ensure!(answer.headers.contains_key(RETRY_AFTER) && !answer.headers.contains_key(WWW_AUTHENTICATE), "{answer:?}");
    tells_nothing(answer, token)
}

#[tokio::test]
async fn a_provider_that_is_down_at_the_start_delays_its_own_callers_alone() -> anyhow::Result<()> {
    let provider = Provider::start()?;
    provider.set_up(false).await?;
    let server = Server::trusting(provider, &[]).await?;
    let token = server.provider.token(&server.nobody());
    let answer = server.answers_later(&token, server.stack.token()).await?;
    is_unavailable(&answer, &token)?;
    let nonsense = server.ask("a.b.c").await?;
    assert_eq!(nonsense.status, 401, "what no key could make valid is refused all the same");

    server.provider.set_up(true).await?;
    server.until_admitted(&server.person()).await
}

#[tokio::test]
async fn keys_that_are_known_go_on_counting_while_the_provider_is_down() -> anyhow::Result<()> {
    let server = Server::start(&[]).await?;
    server.admits("before", &server.person()).await?;
    server.provider.set_up(false).await?;
    server.admits("the known key", &server.person()).await?;
    let unknown = Key::es256()?.token(&server.nobody())?;
    is_unavailable(&server.ask(&unknown).await?, &unknown)?;
    server.admits("the known key, after a fetch failed", &server.person()).await?;
    server.provider.set_up(true).await?;
    until("somebody notices that the provider is back", async || {
        let answer = server.ask(&unknown).await?;
        ensure!(answer.status == 401, "HTTP {}: {}", answer.status, answer.text);
        Ok(())
    })
    .await
}

#[tokio::test]
async fn a_new_key_counts_at_once_and_a_removed_one_no_more() -> anyhow::Result<()> {
    let server = Server::start(&[]).await?;
    let old = server.provider.token(&server.nobody());
    server.admits("the first key", &server.person()).await?;
    let next = Key::es256()?;
    server.provider.publish(next.jwk());
    server.admits("a key beside it", &next.token(&server.provider.claims("ann", "ann@example.com"))?).await?;
    server.admits("the first key still", &server.person()).await?;
    server.provider.rotate();
    server.admits("the key of the rotation", &server.person()).await?;
    server.refuses(&Attempt { what: "the removed key".to_owned(), token: old, why: why::KEY }).await
}

#[tokio::test]
async fn unknown_keys_cause_few_fetches_and_keep_nobody_waiting() -> anyhow::Result<()> {
    let server = Server::start(&[]).await?;
    server.admits("a person", &server.person()).await?;
    let before = server.provider.fetches();
    let attempts: Vec<_> = (0..60)
        .map(|count| {
            let token = Key::es256()?.token(&server.nobody())?;
            anyhow::Ok(Attempt { what: format!("unknown key {count}"), token, why: why::KEY })
        })
        .collect::<Result<_, _>>()?;
    let begun = Instant::now();
    let stranger = Key::es256()?.token(&server.nobody())?;
    let (flood, person) = (server.refuses_all(&attempts), server.person());
    let (flood, later) = tokio::join!(flood, server.answers_later(&stranger, &person));
    flood?;
    is_invalid_token(&later?, why::KEY)?;
    let after = server.provider.fetches();
    // One every three seconds at most, each of both documents; the last may not have come to the second.
    let most = usize::try_from(begun.elapsed().as_secs() / 3)? + 1;
    let (discovery, keys) = (after.discovery - before.discovery, after.keys - before.keys);
    assert!((1..=most).contains(&keys) && discovery - keys <= 1, "{before:?}, {after:?}, at most {most}");
    Ok(())
}

#[tokio::test]
async fn keys_without_an_id_and_tokens_without_one_are_tried() -> anyhow::Result<()> {
    let provider = Provider::start()?;
    let nameless = Key::es256()?;
    provider.publish(with(nameless.jwk(), json!({ "kid": null })));
    let server = Server::trusting(provider, &[]).await?;
    let claims = server.provider.claims("ann", "ann@example.com");
    for key in [&nameless, &server.provider.key()] {
        let token = key.sign(&with(key.header(), json!({ "kid": null })), &claims)?;
        server.admits("no kid", &token).await?;
    }
    let stranger = Key::es256()?;
    let token = stranger.sign(&with(stranger.header(), json!({ "kid": null })), &server.nobody())?;
    server.refuses(&Attempt { what: "no kid".to_owned(), token, why: why::SIGNATURE }).await
}

#[tokio::test]
async fn a_provider_that_names_itself_otherwise_is_not_trusted_and_the_log_says_why() -> anyhow::Result<()> {
    let provider = Provider::start()?;
    provider.set_discovered("issuer", json!("https://other.example.com/realms/tentacular"));
    let server = Server::trusting(provider, &[]).await?;
    server.admits("the bearer", server.stack.token()).await?;
    let kernel = server.stack.process(Part::Kernel)?;
    let error = logged(&kernel, "the identity provider's keys cannot be fetched", "error").await?;
    for word in ["https://other.example.com/realms/tentacular", "--oidc-issuer"] {
        ensure!(error.contains(word), "{error}");
    }
    let tokens = [server.provider.token(&server.nobody()), server.provider.token(&server.nobody())];
    for (answer, token) in join_all(tokens.iter().map(|token| server.ask(token))).await.into_iter().zip(&tokens) {
        is_unavailable(&answer?, token)?;
    }
    Ok(())
}

/// A server that says the same to everybody, at an address of its own.
async fn says(answer: String) -> anyhow::Result<String> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let url = format!("http://{}/keys", listener.local_addr()?);
    background().spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut request = [0; 4096];
            let _ = stream.read(&mut request).await;
            let _ = stream.write_all(answer.as_bytes()).await;
        }
    });
    Ok(url)
}

#[tokio::test]
async fn a_provider_whose_keys_cannot_be_read_takes_none_away() -> anyhow::Result<()> {
    let answer = |head: &str, body: &str| {
        format!("HTTP/1.1 {head}\r\nconnection: close\r\ncontent-length: {}\r\n\r\n{body}", body.len())
    };
    let one = async |what: &str, broken: Option<String>| {
        let server = Server::start(&[]).await?;
        server.admits("before", &server.person()).await?;
        let real = format!("{}/protocol/openid-connect/certs", server.provider.issuer());
        let broken = broken.unwrap_or_else(|| answer(&format!("302 Found\r\nlocation: {real}"), ""));
        server.provider.set_discovered("jwks_uri", json!(says(broken).await?));
        let unknown = Key::es256()?.token(&server.nobody())?;
        is_unavailable(&server.ask(&unknown).await?, &unknown).map_err(|error| error.context(what.to_owned()))?;
        server.admits(what, &server.person()).await
    };
    let keys = |padding: usize| format!("{{\"keys\":[{}]}}", " ".repeat(padding));
    let cases = [
        ("a redirection", None),
        ("no key", Some(answer("200 OK", &keys(0)))),
        ("a page", Some(answer("200 OK", "<html></html>"))),
        ("an error", Some(answer("500 Internal Server Error", &keys(0)))),
        ("more than a key set can be", Some(answer("200 OK", &keys(2 * 1024 * 1024)))),
    ];
    let ended = join_all(cases.into_iter().map(|(what, broken)| one(what, broken))).await;
    ended.into_iter().collect()
}

#[tokio::test]
async fn without_key_ids_a_new_key_is_noticed_by_its_signatures() -> anyhow::Result<()> {
    let server = Server::start(&[]).await?;
    let header = json!({ "alg": "ES256", "typ": "JWT" });
    let claims = server.provider.claims("ann", "ann@example.com");
    server.admits("the first key", &server.provider.sign(&header, &claims)).await?;
    server.provider.rotate();
    server.admits("the next key", &server.provider.sign(&header, &claims)).await
}
