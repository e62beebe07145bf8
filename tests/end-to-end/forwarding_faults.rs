//! A sidecar that misbehaves: its caller hears a sentence or a cut connection, and never takes half an answer for a whole
//! one.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tentacular_test_harness::Stack;

use crate::{
    foreign_sidecar::{HandMade, until_listed},
    support::own_stack,
};

/// A stack with a faulty sidecar. Its tools only read, and may take a second.
async fn faulty() -> anyhow::Result<(Stack, HandMade)> {
    let stack = own_stack().await?;
    let tool = |name: &str| {
        json!({ "name": name, "inputSchema": { "type": "object" }, "annotations": { "readOnlyHint": true },
            "_meta": { "tentacular.io/authz": { "on": "caller", "needs": "read", "deadline_seconds": 1 } } })
    };
    let names = ["says_nothing", "hangs_up", "breaks_off", "breaks_off_in_an_event", "is_unauthorized", "works"];
    let tools: Vec<_> = names.into_iter().map(tool).collect();
    let sidecar = HandMade::listen(&stack, "faulty", json!(tools), json!({ "tentacular.io/contract": "1.0" }))?;
    until_listed(&stack, "works", true).await?;
    Ok((stack, sidecar))
}

#[tokio::test]
async fn a_fault_of_a_sidecar_is_told_in_a_sentence() -> anyhow::Result<()> {
    let (stack, _sidecar) = faulty().await?;
    let raw = stack.raw();
    for (tool, expected) in [
        ("says_nothing", "took longer than its 1 s"),
        ("hangs_up", "the faulty ended while hangs_up ran"),
        ("is_unauthorized", "HTTP 401"),
    ] {
        let begun = Instant::now();
        let answer = raw.call(tool, &json!({})).await?;
        assert_eq!(answer.status, 200, "{}", answer.text);
        assert!(answer.tool_error().contains(expected), "{}", answer.text);
        assert!(begun.elapsed() < Duration::from_secs(20), "{tool} took {:?}", begun.elapsed());
    }
    let works = raw.call("works", &json!({})).await?;
    assert_eq!(works.json()["result"]["isError"], false, "the others are served: {}", works.text);
    Ok(())
}

#[tokio::test]
async fn half_an_answer_is_not_taken_for_a_whole_one() -> anyhow::Result<()> {
    let (stack, _sidecar) = faulty().await?;
    let raw = stack.raw();
    let cut = raw.call("breaks_off", &json!({})).await;
    assert!(cut.is_err(), "the connection is cut, not: {cut:?}");
    let answer = raw.call("breaks_off_in_an_event", &json!({})).await?;
    let events = answer.text.split("\n\n").filter_map(|event| event.split("data:").nth(1));
    let last = events.last().unwrap_or_default();
    let last: Value = serde_json::from_str(last.trim())?;
    assert_eq!((&last["id"], &last["result"]["isError"]), (&json!(1), &json!(true)), "{}", answer.text);
    Ok(())
}

#[tokio::test]
async fn headers_that_differ_from_the_body_do_not_reach_a_sidecar_that_would_not_notice() -> anyhow::Result<()> {
    let (stack, _sidecar) = faulty().await?;
    let body = json!({ "jsonrpc": "2.0", "id": 1, "method": "tools/call",
        "params": { "name": "works", "arguments": {} } });
    for headers in [[("mcp-name", "says_nothing")], [("mcp-method", "tools/list")]] {
        let answer = stack.raw().post(body.to_string(), &headers).await?;
        assert_eq!((answer.status, answer.error_code()), (400, -32020), "{}", answer.text);
    }
    Ok(())
}
