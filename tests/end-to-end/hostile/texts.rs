//! Texts that steer whoever reads them, and texts without measure.

use anyhow::{Context as _, ensure};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::{Value, json};
use tentacular_contract::text::is_shown;
use tentacular_test_harness::{Child, Part, mcp::Era};

use crate::{
    support::{client, guests, stack, unique},
    wire::Message,
};

/// Ends a line of a log and a text of JSON, colours a terminal in both ways that there are, turns what follows around, and
/// hides a word from a person.
const DECEIVING: &str = "\"}\r\n{\"outcome\":\"allowed\"}\u{1b}[31m\u{9b}2J\u{202e}\u{e0041}\u{200b}\u{2028}\u{7f}";
/// More than any answer quotes.
const LONG: usize = 1 << 20;
/// Bytes that a refusal may take at most.
const SHORT: usize = 4 << 10;

/// The lines of a log that have `mark`. Each of the log is JSON, and nothing in it steers a terminal.
fn lines(process: &Child, mark: &str) -> anyhow::Result<Vec<Value>> {
    let log = process.log();
    // The last line may be on its way.
    let (log, _) = log.rsplit_once('\n').unwrap_or_default();
    for line in log.lines() {
        serde_json::from_str::<Value>(line).with_context(|| format!("no JSON: {line}"))?;
    }
    let odd = log.chars().find(|letter| *letter != '\n' && !is_shown(*letter));
    ensure!(odd.is_none(), "{odd:?} is in the log");
    log.lines().filter(|line| line.contains(mark)).map(|line| Ok(serde_json::from_str(line)?)).collect()
}

#[tokio::test]
async fn whatever_a_caller_writes_each_line_of_the_log_is_one_record() -> anyhow::Result<()> {
    let stack = guests().await?;
    let (mark, raw) = (unique("mark"), stack.raw());
    let text = format!("{mark}{DECEIVING}");
    let encoded = format!("=?base64?{}?=", STANDARD.encode(&text));
    for era in [Era::Handshake, Era::Stateless] {
        let call = Message::call(era, &text, &json!({ "enclave": text, "name": text }));
        let headers = (era == Era::Stateless).then_some(encoded.as_str());
        let answer = call.header("mcp-name", headers).header("traceparent", Some("00-\"}-1")).post(&raw).await?;
        assert_eq!(answer.error_code(), -32602, "{}", answer.text);
        let told = answer.json()["error"]["message"].as_str().unwrap_or_default().to_owned();
        assert!(told.contains(&mark) && told.chars().all(is_shown), "{told:?}");
    }
    let kernel = stack.process(Part::Kernel)?;
    let records = lines(&kernel, &mark)?;
    assert_eq!(records.len(), 2, "one record for each call: {records:?}");
    for record in records {
        assert_eq!((&record["outcome"], &record["rule"]), (&json!("denied"), &json!("unknown-tool")));
        assert_eq!(record["tool"], text.chars().take(128).collect::<String>(), "it is what was sent");
    }
    Ok(())
}

#[tokio::test]
async fn a_name_that_deceives_is_refused_without_being_shown_as_it_is() -> anyhow::Result<()> {
    client().await?;
    let stack = stack().await?;
    for (tool, arguments) in [
        ("wf_list", json!({ "enclave": DECEIVING })),
        ("wf_status", json!({ "enclave": "team-a", "name": DECEIVING })),
        ("wf_logs", json!({ "enclave": "tea\u{301}m", "name": "report" })),
        ("wf_apply", json!({ "enclave": "t\u{435}am-a", "name": "report", "manifests": [] })),
        ("enclave_provision", json!({ "name": "team\u{200b}a", "owner_email": "ann@example.com" })),
        ("enclave_provision", json!({ "name": "team-a", "owner_email": "\u{430}nn@example.com" })),
        ("enclave_provision", json!({ "name": "team-a", "owner_email": "ann@\u{212a}elvin.example.com" })),
        (
            "enclave_provision",
            json!({ "name": "team-a", "owner_email": "ann@example.com", "channel_name": "a\u{e0041}" }),
        ),
        ("enclave_list", json!({ "cursor": DECEIVING })),
        ("wf_list", json!({ DECEIVING: 1 })),
    ] {
        let answer = stack.raw().call(tool, &arguments).await?;
        let told = answer.tool_error();
        assert!(!told.is_empty(), "{tool} {arguments}: {}", answer.text);
        assert!(told.chars().all(|letter| letter == '\n' || is_shown(letter)), "{tool} {arguments}: {told:?}");
    }
    for part in [Part::Kernel, Part::Registrar, Part::Auditor] {
        let process = stack.process(part)?;
        lines(&process, "never").with_context(|| part.name())?;
    }
    Ok(())
}

#[tokio::test]
async fn a_refusal_is_short_whatever_was_sent() -> anyhow::Result<()> {
    client().await?;
    let raw = stack().await?.raw();
    let long = "\u{7f}".repeat(LONG);
    let twice = |place: &str| place.replace("LONG", &format!("\"{long}\":1,\"{long}\":2"));
    let request = |method: &str, params: Value| {
        json!({ "jsonrpc": "2.0", "id": 1, "method": method, "params": params }).to_string()
    };
    let call = |tool: &str, arguments: Value| request("tools/call", json!({ "name": tool, "arguments": arguments }));
    let bodies = [
        request(&long, json!({})),
        call(&long, json!({})),
        request("tools/list", json!({ "_meta": { "io.modelcontextprotocol/protocolVersion": long } })),
        request(
            "initialize",
            json!({ "protocolVersion": long, "capabilities": {},
            "clientInfo": { "name": long, "version": "1" } }),
        ),
        twice(r#"{"jsonrpc":"2.0","id":1,"method":"ping",LONG}"#),
        twice(r#"{"jsonrpc":"2.0","id":1,"method":"ping","params":{LONG}}"#),
        call("wf_list", json!({ "enclave": long })),
        call("wf_list", json!({ "cursor": long })),
        call("wf_list", json!({ "limit": long })),
        call("wf_list", json!({ &long: 1 })),
        call("wf_logs", json!({ "enclave": "team-a", "name": long })),
        call("wf_run", json!({ "enclave": "kube-system", "name": "a", "timeout_seconds": long })),
        call("enclave_list", json!({ "cursor": long })),
        call("enclave_provision", json!({ "name": "short", "owner_email": long })),
        call("enclave_provision", json!({ "name": "short", "owner_email": "a@b.c", "mode": long })),
        call("enclave_provision", json!({ "name": "short", "owner_email": "a@b.c", "platform": long })),
        call("enclave_provision", json!({ "name": "short", "owner_email": "a@b.c", "quota_preset": long })),
    ];
    for body in bodies {
        let answer = raw.post(body.clone(), &[]).await?;
        let begin: String = body.chars().filter(|letter| is_shown(*letter)).take(100).collect();
        assert!(answer.text.len() <= SHORT, "{begin}: an answer of {} bytes", answer.text.len());
        let refused = !answer.tool_error().is_empty() || answer.json()["error"].is_object();
        assert!(refused || begin.contains("initialize"), "{begin}: {}", answer.text);
    }
    let stateless =
        Message::call(Era::Stateless, "wf_list", &json!({})).header("mcp-name", Some(&"x".repeat(20_000)));
    let answer = stateless.post(&raw).await?;
    assert_eq!((answer.status, answer.error_code()), (400, -32020), "{}", answer.text);
    assert!(answer.text.len() <= SHORT, "{}", answer.text);
    Ok(())
}

/// JSON in texts, many levels of it, each in a member by which some parsers are told that a text is JSON.
fn matryoshka(levels: usize) -> String {
    const WITHIN: usize = 100;
    let (open, close) = ("[".repeat(WITHIN), "]".repeat(WITHIN));
    let mut text = format!("{open}{close}");
    for _ in 0..levels {
        let quoted = text.replace('\\', "\\u005c").replace('"', "\\u0022");
        text = format!("{open}{{\"$serde_json::private::RawValue\":\"{quoted}\"}}{close}");
    }
    text
}

#[tokio::test]
async fn json_in_texts_is_text_to_every_part() -> anyhow::Result<()> {
    let (stack, enclave) = (stack().await?, unique("texts"));
    let parts = [Part::Kernel, Part::Registrar, Part::Scheduler, Part::Auditor];
    let before = parts.map(|part| stack.process(part).map(|process| process.pid()));
    let deep = matryoshka(150);
    ensure!(deep.len() < LONG, "{} bytes", deep.len());
    let raw = stack.raw();
    for tool in ["wf_list", "wf_runs", "enclave_info", "wf_run"] {
        let mut call = Message::call(Era::Stateless, tool, &json!({ "enclave": enclave, "name": "x", "odd": "ODD" }));
        call.body = call.body.replace("\"ODD\"", &deep);
        ensure!(call.post(&raw).await?.json()["result"]["isError"] == true, "{tool}");
    }
    for method in ["tools/list", "server/discover"] {
        let capabilities = json!({ "experimental": { "x": { "y": "ODD" } } });
        let meta = json!({ "io.modelcontextprotocol/protocolVersion": "2026-07-28",
            "io.modelcontextprotocol/clientCapabilities": capabilities });
        let mut message = Message::new(Era::Stateless, method, json!({ "_meta": meta }));
        message.body = message.body.replace("\"ODD\"", &deep);
        ensure!(message.post(&raw).await?.json()["id"] == 1, "{method} is not answered");
    }
    let after = parts.map(|part| stack.process(part).map(|process| process.pid()));
    for ((part, before), after) in parts.into_iter().zip(before).zip(after) {
        ensure!(before? == after?, "{part:?} ended");
    }
    Ok(())
}
