//! Heads of requests: what two parsers could read differently, what says more than it may, and what has no end.

use std::collections::BTreeSet;

use anyhow::Context as _;
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use serde_json::{Value, json};
use tentacular_test_harness::{Stack, mcp::Era};

use super::{exchanged, head};
use crate::{
    hand_made::{HandMade, tool},
    support::{guests, until_listed},
    wire::{Message, over_http2},
};

const POST: &str = "POST /mcp HTTP/1.1";
/// Bytes of a head that are read at most.
const HEAD: usize = 32 * 1024;

/// A call of `tool` with its length, and an end of the connection behind it.
fn whole(stack: &Stack, further: &str, tool: &str) -> String {
    let body = Message::call(Era::Handshake, tool, &json!({})).body;
    format!("{}{further}connection: close\r\ncontent-length: {}\r\n\r\n{body}", head(stack, POST), body.len())
}

#[tokio::test]
async fn what_comes_after_a_body_of_two_lengths_is_no_request() -> anyhow::Result<()> {
    let stack = guests().await?;
    let (sidecar, mut calls) = HandMade::held(&stack.run_dir(), "smuggled", [tool("smuggled_tool")])?;
    until_listed(stack, "smuggled_tool", true).await?;
    let ping = r#"{"jsonrpc":"2.0","id":1,"method":"ping"}"#;
    let hidden = whole(stack, "", "smuggled_tool");
    // A proxy that goes by the length takes all of this for one body; RFC 9112 section 6.1.
    let chunked = format!("{:x}\r\n{ping}\r\n0\r\n\r\n{hidden}", ping.len());
    let length = format!("content-length: {}\r\n", chunked.len());
    let chunks = "transfer-encoding: chunked\r\n";
    for (first, second) in [(length.as_str(), chunks), (chunks, length.as_str())] {
        let answer = exchanged(stack, format!("{}{first}{second}\r\n{chunked}", head(stack, POST))).await?;
        assert_eq!(answer.matches("HTTP/1.1 ").count(), 1, "one request, one answer: {answer}");
    }
    for coding in ["gzip, chunked, identity", "identity", "chunked\u{b}", "xchunked", "chunked, gzip"] {
        let further = format!("transfer-encoding: {coding}\r\n");
        let answer = exchanged(stack, format!("{}{further}\r\n{chunked}", head(stack, POST))).await?;
        assert!(answer.starts_with("HTTP/1.1 400"), "{coding:?}: {answer}");
        assert_eq!(answer.matches("HTTP/1.1 ").count(), 1, "{coding:?}: {answer}");
    }
    drop(sidecar);
    assert!(calls.next().await.is_err(), "none of them reached the sidecar");
    Ok(())
}

#[tokio::test]
async fn a_head_that_parsers_read_differently_is_no_request() -> anyhow::Result<()> {
    let stack = guests().await?;
    let (sidecar, mut calls) = HandMade::held(&stack.run_dir(), "crooked", [tool("crooked_tool")])?;
    until_listed(stack, "crooked_tool", true).await?;
    for further in [
        "tentacular-permit : e30\r\n",
        " tentacular-permit: e30\r\n",
        "x-folded: a\r\n tentacular-permit: e30\r\n",
        "x-bare: a\rtentacular-permit: e30\r\n",
        "x-zero: a\0b\r\n",
        "tentacular\u{2010}permit: e30\r\n",
        ": e30\r\n",
        "tentacular-permit\r\n",
        "content-length: 1\r\n",
        "content-length: +1\r\n",
        "content-length: 0x10\r\n",
    ] {
        let answer = exchanged(stack, whole(stack, further, "crooked_tool")).await?;
        assert!(answer.starts_with("HTTP/1.1 400"), "{further:?}: {answer}");
    }
    drop(sidecar);
    assert!(calls.next().await.is_err(), "none of them reached the sidecar");
    Ok(())
}

/// What an answer in chunks holds.
fn content(answer: &str) -> anyhow::Result<String> {
    let (_, mut rest) = answer.split_once("\r\n\r\n").context("no head")?;
    let mut content = String::new();
    loop {
        let (length, chunk) = rest.split_once("\r\n").context("no chunk")?;
        let length = usize::from_str_radix(length, 16)?;
        if length == 0 {
            return Ok(content);
        }
        content.push_str(chunk.get(..length).context("half a chunk")?);
        rest = chunk.get(length + 2..).context("half a chunk")?;
    }
}

/// What a client may try to have a sidecar read, beside what the kernel writes.
fn forged() -> [(&'static str, String); 9] {
    let permit = URL_SAFE_NO_PAD.encode(json!({ "v": 1, "tool": "seen_headers", "right": "own" }).to_string());
    [
        ("tentacular-permit", permit.clone()),
        ("Tentacular-Permit", permit.clone()),
        ("TENTACULAR-CALLER", URL_SAFE_NO_PAD.encode(r#"{"kind":"bearer"}"#)),
        ("tentacular_permit", permit.clone()),
        ("tentacular.permit", permit),
        ("mcp-param-permit", "x".to_owned()),
        ("mcp-session-id", "x".to_owned()),
        ("x-forwarded-user", "admin".to_owned()),
        ("via", "1.1 somewhere".to_owned()),
    ]
}

#[tokio::test]
async fn of_a_clients_headers_a_sidecar_sees_those_of_the_list_in_whatever_spelling_others_come() -> anyhow::Result<()>
{
    let stack = guests().await?;
    let _sidecar = HandMade::listen(&stack.run_dir(), "seen", [tool("seen_headers")], |call| async move {
        let headers = json!(call.headers);
        call.content(&headers).await
    })?;
    until_listed(stack, "seen_headers", true).await?;
    let seen = |answer: &Value| -> Vec<String> {
        let headers = answer["result"]["structuredContent"].as_object().into_iter().flatten();
        headers.map(|(name, _)| name.clone()).collect()
    };
    let own = ["accept", "content-length", "content-type", "host", "tentacular-caller", "tentacular-permit"];
    let further = forged().map(|(name, value)| format!("{name}: {value}\r\n")).concat();
    let dropped = "connection: tentacular-permit, tentacular-caller, host\r\nte: trailers\r\n";
    let answer = exchanged(stack, whole(stack, &(further.clone() + dropped), "seen_headers")).await?;
    assert_eq!(seen(&serde_json::from_str(&content(&answer)?)?), own, "{answer}");

    // Behind the body they are trailers.
    let message = Message::call(Era::Handshake, "seen_headers", &json!({})).body;
    let chunks = format!("{:x}\r\n{message}\r\n0\r\n{further}\r\n", message.len());
    let begin = "connection: close\r\ntransfer-encoding: chunked\r\n\r\n";
    let answer = exchanged(stack, head(stack, POST) + begin + &chunks).await?;
    assert_eq!(seen(&serde_json::from_str(&content(&answer)?)?), own, "{answer}");

    let forged = forged();
    let headers: Vec<_> = forged.iter().map(|(name, value)| (*name, value.as_str())).collect();
    let answer = over_http2(stack.raw())?.post(message, &headers).await?;
    assert_eq!(seen(&answer.json()), own, "{}", answer.text);
    Ok(())
}

#[tokio::test]
async fn mcp_is_at_one_path_however_the_target_is_spelled() -> anyhow::Result<()> {
    let stack = guests().await?;
    let body = r#"{"jsonrpc":"2.0","id":1,"method":"ping"}"#;
    let ask = async |target: &str| {
        let head = head(stack, &format!("POST {target} HTTP/1.1"));
        exchanged(stack, format!("{head}connection: close\r\ncontent-length: {}\r\n\r\n{body}", body.len())).await
    };
    for target in ["/mcp", "/mcp?x=/healthz", "http://elsewhere.example.com/mcp"] {
        assert!(ask(target).await?.starts_with("HTTP/1.1 200"), "{target}");
    }
    for target in ["/", "//mcp", "/mcp/", "/MCP", "/%6dcp", "/healthz/../mcp", "/./mcp", "/mcp;x", "/healthz", "*"] {
        let answer = ask(target).await?;
        assert!(answer.starts_with("HTTP/1.1 404"), "{target}: {answer}");
    }
    let mut told = BTreeSet::new();
    for target in ["/mcp", "//mcp", "/MCP", "/healthz", "/healthz/../mcp", "http://x/healthz", "*", "x:443"] {
        let method = if target == "x:443" { "CONNECT" } else { "POST" };
        let head = format!("{method} {target} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n");
        let answer = exchanged(stack, head).await?;
        assert!(answer.starts_with("HTTP/1.1 401"), "{target}: {answer}");
        let (_, body) = answer.split_once("\r\n\r\n").context("no head")?;
        told.insert(body.to_owned());
    }
    assert_eq!(told.len(), 1, "a body tells one target from another: {told:?}");
    assert!(told.iter().all(|body| body.contains("missing authorization header")), "{told:?}");
    Ok(())
}

#[tokio::test]
async fn a_head_without_an_end_is_not_kept_in_memory() -> anyhow::Result<()> {
    let stack = guests().await?;
    let known = head(stack, POST);
    for begin in ["GET /healthz HTTP/1.1\r\nhost: x\r\n", "GET /", known.as_str()] {
        let padding = if begin.ends_with('\n') { "x-padding: " } else { "" };
        let said = format!("{begin}{padding}");
        // All of it is read, so that the answer is not lost.
        let answer = exchanged(stack, said.clone() + &"x".repeat(HEAD - said.len())).await?;
        assert!(answer.starts_with("HTTP/1.1 431"), "{begin:?}: {answer}");
    }
    let token = "x".repeat(16 * 1024);
    let answer = stack.raw_as(&token).post("{}", &[]).await?;
    assert_eq!(answer.status, 401, "the longest token that is looked at fits: {}", answer.text);
    Ok(())
}
