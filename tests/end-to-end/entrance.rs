//! What comes before MCP: the metadata that lets a client sign in with nothing but the URL, hosts, origins, and slowing
//! down whoever fails.

use std::pin::pin;

use anyhow::ensure;
use futures::future::{Either, join_all, select};
use reqwest::{
    Method, StatusCode,
    header::{HOST, ORIGIN, WWW_AUTHENTICATE},
};
use serde_json::{Value, json};
use tentacular_test_harness::{Part, Provider, Scratch, Stack, tls};

use crate::{
    start_errors::{start, token},
    support::{client, kernel_alone},
};

/// A kernel without sidecars, with these arguments.
async fn kernel(kernel_args: Vec<String>) -> anyhow::Result<Stack> {
    client().await?;
    kernel_alone(kernel_args).await
}

fn at(stack: &Stack, path: &str) -> String {
    stack.url().replace("/mcp", path)
}

#[tokio::test]
async fn a_client_with_nothing_but_the_url_finds_the_identity_provider() -> anyhow::Result<()> {
    const ROOT: &str = "/.well-known/oauth-protected-resource";
    let provider = Provider::start()?;
    let mut args = provider.kernel_args();
    args.push("--external-url=https://mcp.example.com/".to_owned());
    let stack = kernel(args).await?;
    let http = tls::plain().build()?;

    let refused = http.get(stack.url()).send().await?;
    assert_eq!(refused.status(), StatusCode::UNAUTHORIZED);
    let challenge = refused.headers()[WWW_AUTHENTICATE].to_str()?.to_owned();
    assert_eq!(challenge, format!("Bearer resource_metadata=\"https://mcp.example.com{ROOT}\""));
    let text = refused.text().await?;
    assert!(text.starts_with("401 Unauthorized: ") && text.contains("WWW-Authenticate"), "{text}");

    for path in [ROOT.to_owned(), format!("{ROOT}/mcp")] {
        // Pages of any origin may read it, and no other answer has a CORS header.
        let answer = http.get(at(&stack, &path)).header(ORIGIN, "https://inspector.example.com").send().await?;
        assert_eq!(answer.headers()["access-control-allow-origin"], "*");
        assert_eq!(answer.headers()["content-type"], "application/json");
        let expected = json!({
            "resource": "https://mcp.example.com/mcp",
            "authorization_servers": [provider.issuer()],
            "scopes_supported": ["openid", "email", "profile"],
            "bearer_methods_supported": ["header"],
            "resource_name": "Tentacular MCP Server",
        });
        assert_eq!(answer.json::<Value>().await?, expected);
        let preflight = http.request(Method::OPTIONS, at(&stack, &path)).send().await?;
        assert_eq!(
            (preflight.status().as_u16(), &preflight.headers()["access-control-allow-headers"]),
            (204, &"*".parse()?)
        );
        let post = http.post(at(&stack, &path)).send().await?;
        assert_eq!((post.status().as_u16(), &post.headers()["allow"]), (405, &"GET, HEAD, OPTIONS".parse()?));
    }
    let other = http.get(at(&stack, &format!("{ROOT}/other"))).send().await?;
    assert_eq!(other.status(), StatusCode::UNAUTHORIZED);
    assert!(!other.headers().contains_key("access-control-allow-origin"));
    Ok(())
}

#[tokio::test]
async fn head_is_get_without_its_content_in_both_versions_of_http() -> anyhow::Result<()> {
    let stack = kernel(Vec::new()).await?;
    for http in [tls::plain(), tls::plain().http2_prior_knowledge()] {
        let answer = http.build()?.head(at(&stack, "/healthz")).send().await?;
        assert_eq!((answer.status(), &answer.headers()["content-length"]), (StatusCode::OK, &"15".parse()?));
        assert!(answer.bytes().await?.is_empty());
    }
    Ok(())
}

#[tokio::test]
async fn without_an_external_url_or_oidc_there_is_no_metadata() -> anyhow::Result<()> {
    let stack = kernel(vec!["--external-url=https://mcp.example.com".to_owned()]).await?;
    let http = tls::plain().build()?;
    let answer = http.get(at(&stack, "/.well-known/oauth-protected-resource")).send().await?;
    assert_eq!(answer.status(), StatusCode::UNAUTHORIZED);
    assert_eq!(answer.headers()[WWW_AUTHENTICATE], "Bearer realm=\"tentacular-mcp\"");
    let answer = stack.raw().post("", &[("authorization", "Basic x")]).await?;
    assert_eq!(
        (answer.status, &answer.headers[WWW_AUTHENTICATE]),
        (401, &"Bearer realm=\"tentacular-mcp\"".parse()?)
    );
    Ok(())
}

#[tokio::test]
async fn hosts_and_origins_are_looked_at_before_credentials() -> anyhow::Result<()> {
    let args = ["--allowed-hosts=mcp.example.com", "--allowed-origins=https://app.example.com"];
    let stack = kernel(args.map(str::to_owned).to_vec()).await?;
    let raw = stack.raw();
    let status = async |host: &str, origin: Option<&str>, authorized: bool| {
        let mut request = if authorized { raw.request(Method::GET) } else { tls::plain().build()?.get(stack.url()) };
        request = request.header(HOST, host);
        if let Some(origin) = origin {
            request = request.header(ORIGIN, origin);
        }
        let answer = request.send().await?;
        let status = answer.status().as_u16();
        anyhow::Ok((status, answer.text().await?))
    };
    let app = Some("https://app.example.com");
    assert_eq!(status("mcp.example.com", None, true).await?.0, 405);
    assert_eq!(status("mcp.example.com:8080", app, true).await?.0, 405);
    assert_eq!(status("mcp.example.com", None, false).await?.0, 401);
    for (host, origin) in [
        ("127.0.0.1:8080", None),
        ("evil.example.com", None),
        ("mcp.example.com", Some("https://evil.example.com")),
        ("mcp.example.com", Some("null")),
    ] {
        for authorized in [true, false] {
            let (status, text) = status(host, origin, authorized).await?;
            assert_eq!(status, 403, "{host} {origin:?}: {text}");
            assert!(text.starts_with("403 Forbidden: ") && !text.contains("evil"), "{text}");
        }
    }
    let probe = tls::plain().build()?.get(at(&stack, "/healthz")).send().await?;
    assert_eq!(probe.status(), StatusCode::OK, "the kubelet asks by address");
    Ok(())
}

#[tokio::test]
async fn who_fails_again_and_again_waits_and_nobody_else_does() -> anyhow::Result<()> {
    const FAILURES: usize = 150;
    const ROUNDS: usize = 5;
    let stack = kernel(vec!["--trusted-proxies=127.0.0.1".to_owned()]).await?;
    let http = tls::plain().build()?;
    let fail = async |address: &str| {
        let answer = http.post(stack.url()).header("x-forwarded-for", address).send().await?;
        assert_eq!(answer.status(), StatusCode::UNAUTHORIZED);
        anyhow::Ok(())
    };
    // On a machine that is busy elsewhere the attacker's wait may be over too soon to be seen.
    for round in 1.. {
        let attack = join_all((0..FAILURES).map(|_| fail("203.0.113.7")));
        let others = async {
            fail(&format!("198.51.100.{round}")).await?;
            let valid = stack.raw().post("{}", &[("x-forwarded-for", "203.0.113.7")]).await?;
            assert_eq!(valid.status, 400);
            anyhow::Ok(())
        };
        match select(pin!(attack), pin!(others)).await {
            Either::Right((others, attack)) => {
                others?;
                attack.await.into_iter().collect::<anyhow::Result<()>>()?;
                break;
            }
            Either::Left(_) => ensure!(round < ROUNDS, "who fails was never answered later than the others"),
        }
    }
    let log = stack.process(Part::Kernel)?.log();
    let logged = log.lines().filter(|line| line.contains("unauthenticated") && line.contains("203.0.113.7")).count();
    assert!((1..FAILURES * ROUNDS / 2).contains(&logged), "who is slowed down fills the log: {logged} lines");
    Ok(())
}

#[tokio::test]
async fn settings_of_the_entrance_that_cannot_be_read_end_the_start() -> anyhow::Result<()> {
    let scratch = Scratch::new()?;
    for (args, words) in [
        (&["--external-url=mcp.example.com"][..], &["--external-url", "TENTACULAR_EXTERNAL_URL"][..]),
        (&["--external-url=https://u:s3cret@mcp.example.com"], &["--external-url", "user name"]),
        (&["--external-url=https://mcp.example.com?a=b"], &["--external-url", "query"]),
        (&["--external-url=ftp://mcp.example.com"], &["--external-url", "https://"]),
        (&["--external-url=https://mcp.example.com/mcp"], &["--external-url", "leave out the /mcp"]),
        (&["--allowed-hosts=https://mcp.example.com"], &["--allowed-hosts", "https://mcp.example.com"]),
        (&["--allowed-origins=app.example.com"], &["--allowed-origins", "app.example.com"]),
        (&["--trusted-proxies=10.0.0.0/99"], &["--trusted-proxies", "10.0.0.0/99"]),
        (&["--oidc=yes"], &["--oidc-issuer", "--oidc-client-id", "TENTACULAR_KEYCLOAK_ISSUER"]),
        (&["--oidc=perhaps"], &["--oidc", "true or false"]),
        (&["--oidc=1", "--oidc-client-id=a", "--oidc-issuer=id.example.com"], &["--oidc-issuer"]),
        (
            &["--oidc=1", "--oidc-client-id=a", "--oidc-issuer=https://id.example.com", "--oidc-ca-file=/nowhere"],
            &["--oidc-ca-file", "/nowhere"],
        ),
    ] {
        let args: Vec<_> = args.iter().map(|&arg| arg.to_owned()).chain([token(&scratch)]).collect();
        let ended = start(Part::Kernel, &scratch, &args).await?;
        assert_ne!(ended.code, Some(0), "{args:?}");
        assert!(words.iter().all(|word| ended.line.contains(word)), "{args:?}: {}", ended.line);
        assert!(!ended.line.contains("s3cret"), "{}", ended.line);
    }
    Ok(())
}
