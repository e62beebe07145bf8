//! What a sidecar answers reaches the client as it is, and what the client sends reaches the sidecar: the kernel knows
//! neither progress, nor questions to the user, nor how numbers are written.

use anyhow::Context as _;
use futures::StreamExt as _;
use serde_json::json;
use tentacular_test_harness::mcp::Era;

use crate::{
    hand_made::{HandMade, tool},
    support::{guests, until_listed},
    wire::{ERAS, Message, meta},
};

/// A stream in pieces whose borders lie inside of lines and characters: comments, ids, fields of every kind, and the three
/// ways in which a line may end.
const PIECES: [&[u8]; 9] = [
    b": the first line is a comment\n\nid: 7/",
    b"0\nevent: message\ndata: {\"jsonrpc\":\"2.0\",\"method\":\"notifications/progress\",\"params\":{\"progressTo",
    b"ken\":\"t\",\"progress\":0.5,\"message\":\"halb f\xc3",
    b"\xa4llig\"}}\n\n",
    b"retry: 1500\nid: 7/1\n\n",
    b"event: message\r\ndata: {\"jsonrpc\":\"2.0\",\"method\":\"notifications/progress\",\r\ndata:\"params\":\
        {\"progressToken\":\"t\",\"progress\":1.0}}\r\n\r\n",
    b":\r\n",
    b"id: 7/2\rdata: {\"jsonrpc\":\"2.0\",\"id\":1,\"result\":{\"resultType\":\"complete\",\"content\":[]}}\r\r",
    b"",
];

#[tokio::test]
async fn a_stream_of_events_passes_piece_by_piece_as_it_is() -> anyhow::Result<()> {
    let stack = guests().await?;
    let (_sidecar, mut calls) = HandMade::held(&stack.run_dir(), "streams", [tool("pass_stream")])?;
    until_listed(stack, "pass_stream", true).await?;
    for era in ERAS {
        let mut meta = if era == Era::Stateless { meta() } else { json!({}) };
        meta["progressToken"] = json!("t");
        let params = json!({ "name": "pass_stream", "arguments": {}, "_meta": meta });
        let request = Message::new(era, "tools/call", params).to(&stack.raw());
        let answer = tokio::spawn(request.send());
        let mut call = calls.next().await?;
        assert_eq!(call.message()["params"]["_meta"]["progressToken"], "t");
        call.begin_stream().await?;
        let answer = answer.await??;
        assert_eq!(answer.headers()["content-type"], "text/event-stream", "{era:?}");
        assert_eq!(answer.headers()["cache-control"], "no-cache");
        let mut arriving = answer.bytes_stream();
        // The next piece is sent when this one has come: nothing waits for the end.
        for piece in PIECES.into_iter().filter(|piece| !piece.is_empty()) {
            call.piece(piece).await?;
            let mut got = Vec::new();
            while got.len() < piece.len() {
                got.extend_from_slice(&arriving.next().await.context("the stream ended")??);
            }
            assert_eq!(got, piece, "{era:?}: {}", String::from_utf8_lossy(piece));
        }
        call.end_stream().await?;
        assert!(arriving.next().await.is_none(), "nothing is added");
    }
    Ok(())
}

#[tokio::test]
async fn a_question_to_the_user_and_its_answer_pass() -> anyhow::Result<()> {
    let stack = guests().await?;
    let (_sidecar, mut calls) = HandMade::held(&stack.run_dir(), "asks", [tool("pass_question")])?;
    until_listed(stack, "pass_question", true).await?;
    let raw = stack.raw();
    let question = r#"{"jsonrpc":"2.0","id":1,"result":{"resultType":"input_required","inputRequests":{"which":
        {"method":"elicitation/create","params":{"mode":"form","message":"Which one?","requestedSchema":
        {"type":"object","properties":{"name":{"type":"string"}},"required":["name"]}}}},"requestState":"c2VhbGVk\u002e"}}"#;
    let first = Message::call(Era::Stateless, "pass_question", &json!({}));
    let asked = tokio::spawn(first.to(&raw).send());
    calls.next().await?.json(question).await?;
    let asked = asked.await??;
    assert_eq!(asked.status(), 200);
    assert_eq!(asked.bytes().await?, question);

    // The retry is a request of its own, with another id, the answers and the state as it came.
    let retry = r#"{"jsonrpc":"2.0","id":"again","method":"tools/call","params":{"name":"pass_question","arguments":{},
        "inputResponses":{"which":{"action":"accept","content":{"name":"Zo\u00eb"}}},"requestState":"c2VhbGVk.",
        "_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28",
        "io.modelcontextprotocol/clientCapabilities":{"elicitation":{}}}}}"#;
    let second = Message::written(Era::Stateless, "tools/call", Some("pass_question"), retry);
    let answered = tokio::spawn(second.to(&raw).send());
    let call = calls.next().await?;
    assert_eq!(String::from_utf8_lossy(&call.body), retry);
    let result = r#"{"jsonrpc":"2.0","id":"again","result":{"resultType":"complete","content":[]}}"#;
    call.json(result).await?;
    assert_eq!(answered.await??.bytes().await?, result);
    Ok(())
}

/// JSON that a parser would write in another way: whitespace, escapes, numbers beyond any type, repeated members where
/// nothing is decided.
const UNUSUAL: &str = "{\"whitespace\"\t:\r\n [ 1 ,\n\n2 ]  , \"unicode\": \"ä\\u00e4 \\ud83d\\ude00 😀 \u{2028}\",\
    \"numbers\": [1.0, 1e400, -0, -0.0, 1E+2, 0.1000, 123456789012345678901234567890, 18446744073709551616],\
    \"twice\": 1, \"twice\": 2, \"slash\": \"\\/\", \"empty\": {}, \"nul\": \"\\u0000\" }";

#[tokio::test]
async fn json_passes_byte_for_byte_in_both_directions() -> anyhow::Result<()> {
    let stack = guests().await?;
    let (_sidecar, mut calls) = HandMade::held(&stack.run_dir(), "jsons", [tool("pass_json")])?;
    until_listed(stack, "pass_json", true).await?;
    for era in ERAS {
        let member = match era {
            Era::Handshake => String::new(),
            Era::Stateless => format!(" , \"_meta\" : {}", meta()),
        };
        let body = format!(
            " \n{{\"params\" :{{\"arguments\":{UNUSUAL}, \"name\":\"pass_js\\u006fn\"{member}}},\t\"id\"  :  9007199254740993,\
             \"method\":\"tools\\/call\" ,\"jsonrpc\":\"2.0\"}}\r\n"
        );
        let message = Message::written(era, "tools/call", Some("pass_json"), body.clone());
        let answer = tokio::spawn(message.to(&stack.raw()).send());
        let call = calls.next().await?;
        assert_eq!(String::from_utf8_lossy(&call.body), body, "{era:?}");
        let result = format!(
            "\r\n{{ \"id\":9007199254740993,\"jsonrpc\" :\"2.0\", \"result\":{{\"structuredContent\":{UNUSUAL}, \
             \"content\":[ ]}} }} "
        );
        call.json(&result).await?;
        let answer = answer.await??;
        assert_eq!(answer.headers()["content-type"], "application/json");
        assert_eq!(String::from_utf8_lossy(&answer.bytes().await?), result, "{era:?}");
    }
    Ok(())
}
