//! What a client hears while a call is under way.

use anyhow::Context as _;
use serde_json::{Value, json};
use tentacular_test_harness::mcp::Raw;

/// Calls a tool and returns the notifications of progress, and the result.
pub(super) async fn call(raw: &Raw, tool: &str, arguments: &Value) -> anyhow::Result<(Vec<Value>, Value)> {
    let params = json!({ "name": tool, "arguments": arguments, "_meta": { "progressToken": "t" } });
    let body = json!({ "jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params });
    let answer = raw.post(body.to_string(), &[]).await?;
    let events = answer.text.lines().filter_map(|line| line.strip_prefix("data:"));
    let mut messages: Vec<Value> = events.filter_map(|event| serde_json::from_str(event).ok()).collect();
    if messages.is_empty() {
        // Without a notification there is no stream.
        messages.push(answer.json());
    }
    let (mut told, mut results): (Vec<_>, Vec<_>) =
        messages.into_iter().partition(|message| message["method"] == "notifications/progress");
    let result = results.pop().with_context(|| answer.text.clone())?["result"]["structuredContent"].take();
    anyhow::ensure!(told.iter().all(|message| message["params"]["progressToken"] == "t"), "{told:?}");
    Ok((told.iter_mut().map(|message| message["params"].take()).collect(), result))
}
