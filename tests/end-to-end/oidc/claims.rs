//! Genuine tokens that are not for this server, or not now.

use anyhow::ensure;
use serde_json::{Value, json};
use tentacular_test_harness::{Part, part::logged, provider, tls};

use super::{Attempt, SECRET, Server, why, with};

/// Longer than a loaded machine takes for a request.
const LONG: i64 = 3_600;
/// The resource of the kernels here.
const RESOURCE: &str = "https://mcp.example.com/mcp";

impl Server {
    /// Tokens of an ordinary person with these changes are taken.
    async fn takes(&self, accepted: Vec<(&str, Value)>) -> anyhow::Result<()> {
        for (what, changes) in accepted {
            let claims = with(self.provider.claims("ann", "ann@example.com"), changes);
            self.admits(what, &self.provider.token(&claims)).await?;
        }
        Ok(())
    }

    /// Those of nobody with these changes are not.
    async fn takes_none(&self, refused: Vec<(&str, Value, &'static str)>) -> anyhow::Result<()> {
        let attempts: Vec<_> = refused
            .into_iter()
            .map(|(what, changes, why)| Attempt {
                what: what.to_owned(),
                token: self.provider.token(&self.nobody_with(changes)),
                why,
            })
            .collect();
        self.refuses_all(&attempts).await
    }
}

#[tokio::test]
async fn a_token_of_another_issuer_or_client_or_audience_is_refused() -> anyhow::Result<()> {
    let args = ["--oidc-trusted-azps=thekraken, chroma", "--external-url=https://mcp.example.com"];
    let server = Server::start(&args).await?;
    let stranger = format!("client-{SECRET}");
    let elsewhere = format!("https://{SECRET}.example.com");
    let issuer = server.provider.issuer();
    server
        .takes(vec![
            ("an ordinary token", json!({})),
            ("a trusted client", json!({ "azp": "thekraken" })),
            ("a trusted client after a space", json!({ "azp": "chroma" })),
            ("client_id instead of azp", json!({ "azp": null, "client_id": "thekraken" })),
            ("no audience, from a trusted client", json!({ "aud": null })),
            ("an empty audience, from a trusted client", json!({ "aud": [] })),
            ("our audience without a client", json!({ "azp": null, "aud": "tentacular-mcp" })),
            ("our resource without a client", json!({ "azp": null, "aud": RESOURCE })),
            ("our audience among others", json!({ "aud": [elsewhere, "account", "tentacular-mcp"] })),
        ])
        .await?;
    server
        .takes_none(vec![
            ("another issuer", json!({ "iss": elsewhere }), why::ISSUER),
            ("no issuer", json!({ "iss": null }), why::ISSUER),
            ("a slash more", json!({ "iss": format!("{issuer}/") }), why::ISSUER),
            ("another case", json!({ "iss": issuer.replace("http", "HTTP") }), why::ISSUER),
            ("several issuers", json!({ "iss": [issuer, elsewhere] }), why::MALFORMED),
            ("an untrusted client", json!({ "azp": stranger }), why::CLIENT),
            ("an untrusted client_id", json!({ "azp": null, "client_id": stranger }), why::CLIENT),
            ("both, one untrusted", json!({ "azp": "thekraken", "client_id": stranger }), why::CLIENT),
            ("untrusted, for us", json!({ "azp": stranger, "aud": "tentacular-mcp" }), why::CLIENT),
            ("untrusted, for our resource", json!({ "azp": stranger, "aud": [RESOURCE] }), why::CLIENT),
            ("a client of no name", json!({ "azp": "" }), why::CLIENT),
            ("the name in another case", json!({ "azp": "TheKraken" }), why::CLIENT),
            ("several clients", json!({ "azp": ["thekraken", stranger] }), why::MALFORMED),
            ("another audience", json!({ "aud": elsewhere }), why::AUDIENCE),
            ("other audiences", json!({ "aud": [elsewhere, "account"] }), why::AUDIENCE),
            ("an audience of no name", json!({ "aud": "" }), why::AUDIENCE),
            ("a part of our resource", json!({ "aud": "https://mcp.example.com" }), why::AUDIENCE),
            ("more than our resource", json!({ "aud": format!("{RESOURCE}/{SECRET}") }), why::AUDIENCE),
            ("no client, no audience", json!({ "azp": null, "aud": null }), why::AUDIENCE),
            ("no client, the default audience", json!({ "azp": null }), why::AUDIENCE),
            ("an audience that is no text", json!({ "aud": { "a": 1 } }), why::MALFORMED),
        ])
        .await?;
    // RFC 6750 section 3 and RFC 9728 section 5.1, to the letter.
    let expected = "Bearer error=\"invalid_token\", error_description=\"invalid token: the token was issued to a \
        client that is not trusted here; sign in with a trusted client\", \
        resource_metadata=\"https://mcp.example.com/.well-known/oauth-protected-resource\"";
    let answer = server.ask(&server.provider.token(&server.nobody_with(json!({ "azp": stranger })))).await?;
    assert_eq!(answer.headers["www-authenticate"], expected);
    Ok(())
}

#[tokio::test]
async fn a_token_counts_between_its_times_with_a_minute_of_leeway() -> anyhow::Result<()> {
    let server = Server::start(&[]).await?;
    let now = provider::now();
    server.takes(vec![("about to begin", json!({ "nbf": now + 45, "iat": now + 45 }))]).await?;
    server.takes(vec![("parts of a second", json!({ "exp": 4_102_444_800.5, "iat": 1.25 }))]).await?;
    server.takes(vec![("no iat and no nbf", json!({ "iat": null, "nbf": null }))]).await?;
    server.takes(vec![("just expired", json!({ "exp": provider::now() - 5 }))]).await?;
    server
        .takes_none(vec![
            ("expired", json!({ "exp": now - 61 }), why::EXPIRED),
            ("expired in 1970", json!({ "exp": 0 }), why::EXPIRED),
            ("expired before", json!({ "exp": -now }), why::EXPIRED),
            ("not yet valid", json!({ "nbf": now + LONG }), why::NOT_YET),
            ("issued in the future", json!({ "iat": now + LONG }), why::NOT_YET),
            ("no end", json!({ "exp": null }), why::NO_EXPIRY),
            ("an end that is a text", json!({ "exp": (now + LONG).to_string() }), why::MALFORMED),
            ("a begin that is a text", json!({ "nbf": now.to_string() }), why::MALFORMED),
        ])
        .await
}

#[tokio::test]
async fn only_access_tokens_of_one_meaning_are_taken() -> anyhow::Result<()> {
    let server = Server::start(&[]).await?;
    server.takes(vec![("another case", json!({ "typ": "bearer" })), ("no typ", json!({ "typ": null }))]).await?;
    let key = server.provider.key();
    for typ in ["JWT", "at+jwt", "application/at+jwt", "AT+JWT"] {
        let claims = server.provider.claims("ann", "ann@example.com");
        server.admits(typ, &key.sign(&with(key.header(), json!({ "typ": typ })), &claims)?).await?;
    }
    server
        .takes_none(vec![
            ("an ID token", json!({ "typ": "ID", "aud": "tentacular-mcp" }), why::KIND),
            ("a refresh token", json!({ "typ": "Refresh", "aud": server.provider.issuer() }), why::KIND),
            ("an offline token", json!({ "typ": "Offline" }), why::KIND),
            ("a logout token", json!({ "typ": "Logout" }), why::KIND),
            ("bound to a certificate", json!({ "cnf": { "x5t#S256": SECRET } }), why::BOUND),
            ("bound to a key", json!({ "cnf": { "jkt": SECRET } }), why::BOUND),
            ("a subject that is a number", json!({ "sub": 7 }), why::MALFORMED),
            ("a long subject", json!({ "sub": SECRET.repeat(40) }), why::MALFORMED),
            ("a subject with a line end", json!({ "sub": format!("{SECRET}\n") }), why::MALFORMED),
        ])
        .await?;
    // What parsers disagree on. The first of two headers is the one that would be right.
    let claims = server.nobody().to_string();
    let members = claims.trim_start_matches('{');
    let mut attempts = Vec::new();
    for twice in [r#""exp":4102444800"#, r#""sub":"root""#, r#""azp":"tentacular-mcp""#, r#""email":"a@b.c""#] {
        let token = key.sign_text(&key.header().to_string(), &format!("{{{twice},{members}"))?;
        attempts.push(Attempt { what: twice.to_owned(), token, why: why::MALFORMED });
    }
    for twice in [r#""alg":"none""#, r#""kid":"other""#] {
        let header = key.header().to_string().replace('}', &format!(",{twice}}}"));
        attempts.push(Attempt {
            what: twice.to_owned(),
            token: key.sign_text(&header, &claims)?,
            why: why::ALGORITHM,
        });
    }
    server.refuses_all(&attempts).await
}

#[tokio::test]
async fn settings_can_demand_an_audience_and_scopes() -> anyhow::Result<()> {
    let args = [
        "--oidc-require-audience=true",
        "--oidc-required-scopes=tentacular,mcp:call",
        "--external-url=https://mcp.example.com",
    ];
    let server = Server::start(&args).await?;
    let both = json!({ "aud": "tentacular-mcp", "scope": "openid mcp:call tentacular" });
    server
        .takes(vec![
            ("our client id", both.clone()),
            ("our resource", with(both.clone(), json!({ "aud": ["account", RESOURCE] }))),
            ("a list of scopes", with(both.clone(), json!({ "scope": null, "scp": ["mcp:call", "tentacular"] }))),
        ])
        .await?;
    let lacks = |aud: Value| with(both.clone(), json!({ "aud": aud }));
    let description = r#"Bearer error="invalid_token", error_description="#;
    for aud in [json!("account"), json!(null), json!([])] {
        let answer = server.ask(&server.provider.token(&server.nobody_with(lacks(aud)))).await?;
        assert_eq!(answer.status, 401);
        let challenge = answer.headers["www-authenticate"].to_str()?;
        assert!(challenge.starts_with(description) && challenge.contains(why::AUDIENCE), "{challenge}");
    }

    for scope in
        [json!("openid tentacular"), json!("mcp:call tentacular2"), json!("MCP:CALL TENTACULAR"), json!(null)]
    {
        let token = server.provider.token(&server.nobody_with(with(both.clone(), json!({ "scope": scope }))));
        let answer = server.ask(&token).await?;
        // RFC 6750 section 3.1: 403, the scopes that are needed, and where to find out how to get them.
        let expected = "Bearer error=\"insufficient_scope\", error_description=\"the token lacks a scope that this \
            server requires; sign in again and grant it\", scope=\"tentacular mcp:call\", \
            resource_metadata=\"https://mcp.example.com/.well-known/oauth-protected-resource\"";
        assert_eq!((answer.status, answer.headers["www-authenticate"].to_str()?), (403, expected));
        ensure!(answer.text.starts_with("403 Forbidden: the token lacks a scope"), "{}", answer.text);
        super::tells_nothing(&answer, &token)?;
    }
    Ok(())
}

#[tokio::test]
async fn failures_are_counted_by_their_reason() -> anyhow::Result<()> {
    let server = Server::start(&[]).await?;
    server.takes(vec![("a person", json!({}))]).await?;
    let expired = || json!({ "exp": 0 });
    let elsewhere = json!({ "iss": format!("https://{SECRET}.example.com") });
    let refused = vec![("1", expired(), why::EXPIRED), ("2", expired(), why::EXPIRED), ("3", elsewhere, why::ISSUER)];
    server.takes_none(refused).await?;
    let address = logged(&*server.stack.process(Part::Kernel)?, "observing", "address").await?;
    let metrics = tls::plain().build()?.get(format!("http://{address}/metrics")).send().await?.text().await?;
    for (result, count) in [("expired", 2), ("issuer", 1), ("oidc", 1)] {
        let line = format!("authentications_total{{result=\"{result}\"}} {count}\n");
        ensure!(metrics.contains(&line), "{line} is not in {metrics}");
    }
    ensure!(!metrics.contains(SECRET), "the metrics hold a claim's value");
    Ok(())
}
