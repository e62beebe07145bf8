//! A sidecar that misbehaves: its caller hears a sentence or a cut connection, and never takes half an answer for a whole
//! one.

use serde_json::{Value, json};
use tentacular_test_harness::Stack;

use crate::{
    hand_made::{Call, HandMade, head, read_only, within},
    support::{guests, until_listed},
};

/// A sidecar that is as faulty as the names of its tools say. They only read; the one that says nothing has a second.
async fn faulty(tools: &[&'static str]) -> anyhow::Result<(&'static Stack, HandMade)> {
    let stack = guests().await?;
    let offered = tools.iter().map(|&name| match name {
        "says_nothing" => within(read_only(name), 1),
        name => read_only(name),
    });
    let sidecar = HandMade::listen(&stack.run_dir(), tools[0], offered, misbehave)?;
    until_listed(stack, tools[0], true).await?;
    Ok((stack, sidecar))
}

async fn misbehave(mut call: Call) -> std::io::Result<()> {
    let json = "application/json";
    match call.tool().as_str() {
        "says_nothing" => std::future::pending().await,
        "hangs_up" => Ok(()),
        "breaks_off" => call.write(head("200 OK", json, 100) + "{\"jsonrpc\":\"2.0\",\"id\":1,").await,
        "breaks_off_in_an_event" => {
            let half = "data: {\"jsonrpc\":\"2.0\",\"method\":\"notifications/prog";
            call.write(head("200 OK", "text/event-stream", 1000) + half).await
        }
        "is_unauthorized" => call.write(head("401 Unauthorized", json, 2) + "{}").await,
        _ => call.content(&json!({})).await,
    }
}

#[tokio::test]
async fn a_fault_of_a_sidecar_is_told_in_a_sentence() -> anyhow::Result<()> {
    let (stack, _sidecar) = faulty(&["says_nothing", "hangs_up", "is_unauthorized", "works"]).await?;
    let raw = stack.raw();
    for (tool, expected) in [
        ("says_nothing", "took longer than its 1 s"),
        ("hangs_up", "the says_nothing ended while hangs_up ran"),
        ("is_unauthorized", "HTTP 401"),
    ] {
        let answer = raw.call(tool, &json!({})).await?;
        assert_eq!(answer.status, 200, "{}", answer.text);
        assert!(answer.tool_error().contains(expected), "{}", answer.text);
    }
    let works = raw.call("works", &json!({})).await?;
    assert_eq!(works.json()["result"]["isError"], false, "the others are served: {}", works.text);
    Ok(())
}

#[tokio::test]
async fn half_an_answer_is_not_taken_for_a_whole_one() -> anyhow::Result<()> {
    let (stack, _sidecar) = faulty(&["breaks_off", "breaks_off_in_an_event"]).await?;
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
    let (stack, _sidecar) = faulty(&["does_not_look", "says_more"]).await?;
    let body = json!({ "jsonrpc": "2.0", "id": 1, "method": "tools/call",
        "params": { "name": "does_not_look", "arguments": {} } });
    for headers in [[("mcp-name", "says_more")], [("mcp-method", "tools/list")]] {
        let answer = stack.raw().post(body.to_string(), &headers).await?;
        assert_eq!((answer.status, answer.error_code()), (400, -32020), "{}", answer.text);
    }
    Ok(())
}
