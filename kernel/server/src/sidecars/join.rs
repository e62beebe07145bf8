//! How a sidecar joins: the kernel asks it over its socket for its contract version and its tools.

use std::{path::Path, time::Duration};

use bytes::Bytes;
use futures::StreamExt;
use http::{
    HeaderValue, Request,
    header::{ACCEPT, CONTENT_TYPE, HOST},
};
use http_body_util::{BodyExt, Full, Limited};
use rmcp::model::Tool;
use serde_json::{Value, json};
use sse_stream::SseStream;
use tentacular_contract::{keys, limits};
use tentacular_process::link::client::{LinkClient, LinkError};
use tokio::time::timeout;

/// How long a sidecar may take to say what it offers.
const JOIN_TIME: Duration = Duration::from_secs(5);
/// Pages of tools that are read of one sidecar.
const PAGES: usize = 20;
/// The protocol in which the kernel asks.
const PROTOCOL: &str = "2026-07-28";

/// Why a sidecar does not join.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NotJoined {
    #[error(transparent)]
    Link(#[from] LinkError),
    #[error("it did not answer within {} s", JOIN_TIME.as_secs())]
    Silent,
    #[error("it answered {method} with {what}")]
    Answer { method: &'static str, what: String },
    #[error("its _meta[\"tentacular.io/contract\"] is {0}, the kernel speaks {ours}", ours = keys::CONTRACT_VERSION)]
    Contract(String),
}

/// Asks the sidecar at `path`, run by `uid` where that is given, what it offers.
pub(crate) async fn join(path: &Path, uid: Option<u32>) -> Result<(LinkClient, Vec<Tool>), NotJoined> {
    let client = LinkClient::new(path, uid);
    let tools = timeout(JOIN_TIME, offered(&client)).await.map_err(|_| NotJoined::Silent)??;
    Ok((client, tools))
}

async fn offered(client: &LinkClient) -> Result<Vec<Tool>, NotJoined> {
    let discovered = ask(client, "server/discover", json!({})).await?;
    let contract = &discovered["_meta"][keys::CONTRACT_META];
    if !contract.as_str().is_some_and(|theirs| same_major(keys::CONTRACT_VERSION, theirs)) {
        return Err(NotJoined::Contract(contract.to_string()));
    }
    let mut tools = Vec::new();
    let mut params = json!({});
    for _ in 0..PAGES {
        let mut page = ask(client, "tools/list", params).await?;
        for tool in page["tools"].take().as_array_mut().into_iter().flatten() {
            match serde_json::from_value(tool.take()) {
                Ok(tool) => tools.push(tool),
                Err(error) => tracing::warn!(%error, "a sidecar lists something that is no tool"),
            }
        }
        match page["nextCursor"].take() {
            Value::String(cursor) => params = json!({ "cursor": cursor }),
            _ => return Ok(tools),
        }
    }
    let what = format!("more than {PAGES} pages");
    Err(NotJoined::Answer { method: "tools/list", what })
}

/// Whether two contract versions `major.minor` work together.
fn same_major(ours: &str, theirs: &str) -> bool {
    let major = |version: &str| version.split_once('.').map(|(major, _)| major.to_owned());
    major(theirs).is_some() && major(theirs) == major(ours)
}

async fn ask(client: &LinkClient, method: &'static str, mut params: Value) -> Result<Value, NotJoined> {
    params["_meta"] = json!({
        "io.modelcontextprotocol/protocolVersion": PROTOCOL,
        "io.modelcontextprotocol/clientCapabilities": {},
        "io.modelcontextprotocol/clientInfo": {"name": "tentacular-kernel", "version": env!("CARGO_PKG_VERSION")},
    });
    let body = json!({ "jsonrpc": "2.0", "id": 1, "method": method, "params": params }).to_string();
    let mut request = Request::new(Full::new(Bytes::from(body)));
    *request.method_mut() = http::Method::POST;
    let headers = request.headers_mut();
    headers.insert(HOST, HeaderValue::from_static("localhost"));
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(ACCEPT, HeaderValue::from_static("application/json, text/event-stream"));
    headers.insert("mcp-protocol-version", HeaderValue::from_static(PROTOCOL));
    headers.insert("mcp-method", HeaderValue::from_static(method));
    let response = client.send(request).await?;
    let wrong = |what: String| NotJoined::Answer { method, what };
    let streams =
        response.headers().get(CONTENT_TYPE).is_some_and(|kind| kind.as_bytes().starts_with(b"text/event-stream"));
    let status = response.status();
    let body = Limited::new(response.into_body(), limits::BODY_BYTES)
        .collect()
        .await
        .map_err(|error| wrong(error.to_string()))?
        .to_bytes();
    let message = if streams {
        last_message(body).await.ok_or_else(|| wrong("a stream without a response".to_owned()))?
    } else {
        serde_json::from_slice(&body).map_err(|error| wrong(format!("HTTP {status}, no JSON: {error}")))?
    };
    match message.get("result") {
        Some(result) => Ok(result.clone()),
        None => Err(wrong(format!("HTTP {status}, {}", message["error"]))),
    }
}

/// The response in a stream of events, which ends with it.
async fn last_message(body: Bytes) -> Option<Value> {
    let mut events = SseStream::new(Full::new(body));
    let mut last = None;
    while let Some(Ok(event)) = events.next().await {
        let message = event.data.and_then(|data| serde_json::from_str::<Value>(&data).ok());
        last = message.filter(|message| message.get("id").is_some()).or(last);
    }
    last
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_minor_more_or_less_works_both_ways_and_another_major_does_not() {
        for (ours, theirs) in [("1.0", "1.0"), ("1.0", "1.1"), ("1.1", "1.0"), ("1.0", "1.12"), ("1.12", "1.0")] {
            assert!(same_major(ours, theirs), "{ours} {theirs}");
        }
        for theirs in ["", "1", "2.0", "0.9", "10.0", "v1.0"] {
            assert!(!same_major("1.0", theirs), "{theirs}");
        }
    }
}
