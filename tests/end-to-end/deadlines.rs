//! How long a call may take is said by its tool, and by nothing else on the way.

use futures::StreamExt as _;
use serde_json::{Value, json};
use tentacular_test_harness::mcp::Era;

use crate::{
    hand_made::{HandMade, tool, within},
    support::{guests, until_listed},
    wire::{ERAS, Message, over_http2},
};

#[tokio::test]
async fn a_tool_that_hangs_ends_alone_at_its_own_deadline() -> anyhow::Result<()> {
    let stack = guests().await?;
    let tools = [within(tool("one_second"), 1), within(tool("ten_minutes"), 630)];
    let (_sidecar, mut calls) = HandMade::held(&stack.run_dir(), "deadlines", tools)?;
    until_listed(stack, "one_second", true).await?;
    for era in ERAS {
        // Both calls on one connection.
        let raw = over_http2(stack.raw())?;
        let long = tokio::spawn(Message::call(era, "ten_minutes", &json!({})).to(&raw).send());
        let goes_on = calls.next().await?;
        let short = tokio::spawn(Message::call(era, "one_second", &json!({})).to(&raw).send());
        let mut hangs = calls.next().await?;
        let answer: Value = short.await??.json().await?;
        let sentence = answer["result"]["content"][0]["text"].as_str().unwrap_or_default();
        assert_eq!(answer["result"]["isError"], true, "{era:?}: {answer}");
        assert!(sentence.contains("one_second took longer than its 1 s"), "{era:?}: {answer}");
        let complete = (era == Era::Stateless).then_some("complete");
        assert_eq!(answer["result"]["resultType"].as_str(), complete, "{era:?}: {answer}");
        hangs.closed().await?;
        goes_on.content(&json!({ "era": "any" })).await?;
        let answer: Value = long.await??.json().await?;
        assert_eq!(answer["result"]["structuredContent"]["era"], "any", "{era:?}: {answer}");
    }
    Ok(())
}

#[tokio::test]
async fn a_stream_past_its_deadline_ends_with_an_event_that_says_so() -> anyhow::Result<()> {
    let stack = guests().await?;
    let (_sidecar, mut calls) = HandMade::held(&stack.run_dir(), "late-streams", [within(tool("late_stream"), 5)])?;
    until_listed(stack, "late_stream", true).await?;
    let first = b"data: {\"jsonrpc\":\"2.0\",\"method\":\"notifications/progress\",\"params\":{}}\n\n";
    for era in ERAS {
        let answer = tokio::spawn(Message::call(era, "late_stream", &json!({})).to(&stack.raw()).send());
        let mut call = calls.next().await?;
        call.begin_stream().await?;
        call.piece(first).await?;
        let text = answer.await??.text().await?;
        let rest = text.strip_prefix(std::str::from_utf8(first)?).unwrap_or_default();
        let events: Vec<_> = rest.split("\n\n").filter(|event| !event.is_empty()).collect();
        assert_eq!(events.len(), 1, "{era:?}: {text}");
        let data = events[0].lines().find_map(|line| line.strip_prefix("data: ")).unwrap_or_default();
        let last: Value = serde_json::from_str(data)?;
        assert_eq!((&last["id"], &last["result"]["isError"]), (&json!(1), &json!(true)), "{era:?}: {text}");
        assert!(data.contains("late_stream took longer than its 5 s"), "{era:?}: {text}");
        call.closed().await?;
    }
    Ok(())
}

#[tokio::test]
async fn an_answer_that_stops_half_way_is_cut_at_its_deadline() -> anyhow::Result<()> {
    let stack = guests().await?;
    let (_sidecar, mut calls) = HandMade::held(&stack.run_dir(), "late-halves", [within(tool("late_half"), 5)])?;
    until_listed(stack, "late_half", true).await?;
    let answer = tokio::spawn(Message::call(Era::Stateless, "late_half", &json!({})).to(&stack.raw()).send());
    let mut call = calls.next().await?;
    call.write(crate::hand_made::head("200 OK", "application/json", 100) + "{\"jsonrpc\":").await?;
    let mut body = answer.await??.bytes_stream();
    assert_eq!(body.next().await.transpose()?.as_deref(), Some(b"{\"jsonrpc\":".as_slice()));
    let end = body.next().await;
    assert!(end.as_ref().is_some_and(Result::is_err), "half an answer is not taken for a whole one: {end:?}");
    call.closed().await?;
    Ok(())
}
