//! HTTP under MCP: methods, media types, sizes and versions of HTTP.

use anyhow::Context as _;
use reqwest::{
    Method, Version,
    header::{ACCEPT, ALLOW, CONTENT_TYPE},
};
use serde_json::json;
use tentacular_test_harness::mcp::{Era, Raw};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

use crate::{
    hand_made::{HandMade, tool},
    support::{guests, person, provider, until_listed},
    wire::{ERAS, Message, over_http2},
};

/// Largest body, in bytes.
const LIMIT: usize = 4 << 20;

#[tokio::test]
async fn only_post_is_served_and_only_to_whom_is_known() -> anyhow::Result<()> {
    let stack = guests().await?;
    let stranger = Raw::new(stack.url(), None);
    for method in [Method::GET, Method::DELETE, Method::OPTIONS, Method::PUT, Method::PATCH, Method::HEAD] {
        let answer = stack.raw().request(method.clone()).send().await?;
        assert_eq!(answer.status(), 405, "{method}");
        assert_eq!(answer.headers()[ALLOW], "POST", "{method}");
        let answer = stranger.request(method.clone()).send().await?;
        assert_eq!(answer.status(), 401, "{method}");
        assert!(answer.headers().contains_key("www-authenticate"), "{method}");
    }
    // Sessions and resumption are of older revisions, and are not begun.
    let message = Message::new(Era::Stateless, "tools/list", json!({}));
    let answer =
        message.header("mcp-session-id", Some("1")).header("last-event-id", Some("7")).post(&stack.raw()).await?;
    assert_eq!(answer.status, 200, "{}", answer.text);
    assert!(!answer.headers.contains_key("mcp-session-id"));
    Ok(())
}

#[tokio::test]
async fn a_body_must_be_said_to_be_json() -> anyhow::Result<()> {
    let stack = guests().await?;
    let http = reqwest::Client::new();
    for era in ERAS {
        let message = Message::new(era, "tools/list", json!({}));
        let send = async |kind: Option<&str>| -> anyhow::Result<u16> {
            let mut request = http.post(stack.url()).bearer_auth(stack.token()).body(message.body.clone());
            request = request.header(ACCEPT, "application/json, text/event-stream");
            for (name, value) in &message.headers {
                request = request.header(*name, value);
            }
            if let Some(kind) = kind {
                request = request.header(CONTENT_TYPE, kind);
            }
            Ok(request.send().await?.status().as_u16())
        };
        for kind in ["application/json", "application/json; charset=utf-8", "Application/JSON;charset=UTF-8"] {
            assert_eq!(send(Some(kind)).await?, 200, "{era:?} {kind}");
        }
        for kind in ["text/plain", "application/jsonx", "application/json-seq", "text/json", "*/*", ""] {
            assert_eq!(send(Some(kind)).await?, 415, "{era:?} {kind:?}");
        }
        assert_eq!(send(None).await?, 415, "{era:?}");
    }
    Ok(())
}

#[tokio::test]
async fn who_accepts_neither_kind_of_answer_gets_none() -> anyhow::Result<()> {
    let stack = guests().await?;
    let (sidecar, mut calls) = HandMade::held(&stack.run_dir(), "accepts", [tool("accept_tool")])?;
    until_listed(stack, "accept_tool", true).await?;
    let http = reqwest::Client::new();
    for era in ERAS {
        let call = Message::call(era, "accept_tool", &json!({}));
        let discover = Message::new(Era::Stateless, "server/discover", json!({}));
        for message in [Message::new(era, "tools/list", json!({})), discover, call] {
            for accept in ["text/html", "application/json;q=0, text/event-stream;q=0"] {
                let mut request = http.post(stack.url()).bearer_auth(stack.token()).body(message.body.clone());
                request = request.header(CONTENT_TYPE, "application/json").header(ACCEPT, accept);
                for (name, value) in &message.headers {
                    request = request.header(*name, value);
                }
                assert_eq!(request.send().await?.status(), 406, "{accept}: {}", message.body);
            }
        }
    }
    drop(sidecar);
    assert!(calls.next().await.is_err(), "none of them reached the sidecar");
    Ok(())
}

#[tokio::test]
async fn a_body_may_have_four_mebibytes_and_not_a_byte_more() -> anyhow::Result<()> {
    let stack = guests().await?;
    let _sidecar = HandMade::listen(&stack.run_dir(), "sizes", [tool("size_tool")], |call| async {
        let length = json!(call.body.len());
        call.content(&length).await
    })?;
    until_listed(stack, "size_tool", true).await?;
    for era in ERAS {
        let mut message = Message::call(era, "size_tool", &json!({ "filler": "" }));
        let missing = LIMIT - message.body.len();
        message.body = message.body.replace("\"filler\":\"\"", &format!("\"filler\":\"{}\"", "x".repeat(missing)));
        let answer = message.post(&stack.raw()).await?;
        assert_eq!(answer.json()["result"]["structuredContent"], LIMIT, "{era:?}: {}", answer.text);
        message.body.push(' ');
        let answer = message.post(&stack.raw()).await?;
        assert_eq!(answer.status, 413, "{era:?}");
        assert!(answer.text.contains("4 MiB"), "{}", answer.text);

        // Nobody is told the length of a body in chunks.
        let chunks =
            message.body.as_bytes().chunks(60_000).map(|chunk| anyhow::Ok(chunk.to_vec())).collect::<Vec<_>>();
        let request = message.to(&stack.raw()).body(reqwest::Body::wrap_stream(futures::stream::iter(chunks)));
        let answer = request.send().await?;
        assert_eq!(answer.status(), 413, "{era:?} in chunks");
    }
    Ok(())
}

#[tokio::test]
async fn a_body_that_ends_early_is_no_request() -> anyhow::Result<()> {
    let stack = guests().await?;
    let (sidecar, mut calls) = HandMade::held(&stack.run_dir(), "early", [tool("early_tool")])?;
    until_listed(stack, "early_tool", true).await?;
    let address = stack.url().trim_start_matches("http://").trim_end_matches("/mcp").to_owned();
    let message = Message::call(Era::Handshake, "early_tool", &json!({}));
    let head = format!(
        "POST /mcp HTTP/1.1\r\nhost: {address}\r\nauthorization: Bearer {}\r\ncontent-type: application/json\r\n\
         accept: application/json, text/event-stream\r\n",
        stack.token()
    );
    let length = message.body.len();
    for said in [
        format!("content-length: {}\r\n\r\n{}", length + 1, message.body),
        format!("transfer-encoding: chunked\r\n\r\n{length:x}\r\n{}\r\n", message.body),
    ] {
        let mut stream = TcpStream::connect(&address).await?;
        stream.write_all((head.clone() + &said).as_bytes()).await?;
        stream.shutdown().await?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await?;
        assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 400"), "{answer}");
    }
    // Two lengths, or a length beside chunks, are how requests are smuggled past a proxy.
    for said in [
        format!("content-length: {length}\r\ncontent-length: {}\r\n\r\n{}", length + 1, message.body),
        format!("content-length: {length}\r\ncontent-length: 0\r\n\r\n{}", message.body),
    ] {
        let mut stream = TcpStream::connect(&address).await?;
        stream.write_all((head.clone() + &said).as_bytes()).await?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await?;
        assert!(answer.starts_with("HTTP/1.1 400"), "{answer}");
    }
    drop(sidecar);
    assert!(calls.next().await.is_err(), "none of them reached the sidecar");
    Ok(())
}

#[tokio::test]
async fn http2_without_tls_is_served_to_who_begins_with_it() -> anyhow::Result<()> {
    let stack = guests().await?;
    let raw = over_http2(stack.raw())?;
    for era in ERAS {
        let answer = Message::new(era, "tools/list", json!({})).to(&raw).send().await?;
        assert_eq!((answer.version(), answer.status().as_u16()), (Version::HTTP_2, 200), "{era:?}");
    }
    let stranger = over_http2(Raw::new(stack.url(), None))?;
    assert_eq!(stranger.request(Method::GET).send().await?.status(), 401);
    let http1 = stack.raw().request(Method::GET).send().await.context("HTTP/1.1 on the same port")?;
    assert_eq!(http1.version(), Version::HTTP_11);
    Ok(())
}

#[tokio::test]
async fn the_longest_token_is_taken_in_both_versions_of_http() -> anyhow::Result<()> {
    const LONGEST: usize = 16 * 1024;
    let stack = guests().await?;
    // The kernel knows the provider's keys from then on.
    person(stack, "long-token").await?;
    let mut claims = provider()?.claims("long-token", "long-token@example.com");
    claims["padding"] = json!("");
    // Four letters of a token are three of its claims.
    let room = LONGEST - provider()?.token(&claims).len();
    claims["padding"] = json!("x".repeat(room * 3 / 4 - 4));
    let token = provider()?.token(&claims);
    assert!((LONGEST - 16..=LONGEST).contains(&token.len()), "{} bytes", token.len());
    for raw in [stack.raw_as(&token), over_http2(stack.raw_as(&token))?] {
        let answer = Message::new(Era::Stateless, "tools/list", json!({})).to(&raw).send().await?;
        assert_eq!(answer.status(), 200, "{:?}", answer.version());
    }
    Ok(())
}
