//! How a sidecar joins: the kernel asks it over its socket for its contract version and its tools.

use std::{path::Path, time::Duration};

use bytes::Bytes;
use futures::StreamExt;
use http::{
    HeaderValue, Request,
    header::{ACCEPT, CONTENT_TYPE, HOST},
};
use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use rmcp::model::Tool;
use serde::Deserialize;
use serde_json::{Value, json};
use sse_stream::SseStream;
use tentacular_contract::keys;
use tentacular_process::link::client::{LinkClient, LinkError};
use tokio::time::timeout;

/// How long a sidecar may take to say what it offers.
const JOIN_TIME: Duration = Duration::from_secs(5);
/// Pages of tools that are read of one sidecar, and tools.
const PAGES: usize = 20;
const TOOLS: usize = 1000;
/// Bytes that are read of all that one says of itself. In memory JSON takes many times as much.
const SAID_BYTES: usize = 1024 * 1024;
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

/// What a sidecar says of itself.
#[derive(Debug)]
pub(crate) struct Introduced {
    pub(crate) client: LinkClient,
    /// The version of the contract that it speaks.
    pub(crate) contract: String,
    pub(crate) tools: Vec<Tool>,
}

/// Asks the sidecar at `path`, run by `uid` where that is given, what it offers.
pub(crate) async fn join(path: &Path, uid: Option<u32>) -> Result<Introduced, NotJoined> {
    let client = LinkClient::new(path, uid);
    let asked = async {
        let mut left = SAID_BYTES;
        Ok::<_, NotJoined>((contract(&client, &mut left).await?, tools(&client, path, &mut left).await?))
    };
    let (contract, tools) = timeout(JOIN_TIME, asked).await.map_err(|_| NotJoined::Silent)??;
    Ok(Introduced { client, contract, tools })
}

async fn contract(client: &LinkClient, left: &mut usize) -> Result<String, NotJoined> {
    let discovered = ask(client, "server/discover", json!({}), left).await?;
    match &discovered["_meta"][keys::CONTRACT_META] {
        Value::String(theirs) if same_major(keys::CONTRACT_VERSION, theirs) => Ok(theirs.clone()),
        other => Err(NotJoined::Contract(other.to_string())),
    }
}

/// A page of a sidecar's list. What is in it may be anything.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Page {
    tools: Vec<Value>,
    next_cursor: Option<String>,
}

/// All tools that it lists; what is none is left out.
async fn tools(client: &LinkClient, path: &Path, left: &mut usize) -> Result<Vec<Tool>, NotJoined> {
    const METHOD: &str = "tools/list";
    let wrong = |what: String| NotJoined::Answer { method: METHOD, what };
    let (mut tools, mut left_out, mut params) = (Vec::new(), Vec::new(), json!({}));
    for _ in 0..PAGES {
        let page = Page::deserialize(ask(client, METHOD, params, left).await?);
        let Page { tools: listed, next_cursor } =
            page.map_err(|error| wrong(format!("no list of tools: {error}")))?;
        for tool in listed {
            match serde_json::from_value(tool) {
                Ok(tool) => tools.push(tool),
                Err(error) => left_out.push(error),
            }
        }
        if tools.len() + left_out.len() > TOOLS {
            return Err(wrong(format!("more than {TOOLS} tools")));
        }
        let Some(cursor) = next_cursor else {
            if let Some(error) = left_out.first() {
                let path = path.display();
                tracing::warn!(%path, %error, count = left_out.len(), "a sidecar lists what is no tool");
            }
            return Ok(tools);
        };
        params = json!({ "cursor": cursor });
    }
    Err(wrong(format!("more than {PAGES} pages")))
}

/// Whether two contract versions `major.minor` work together.
fn same_major(ours: &str, theirs: &str) -> bool {
    let major = |version: &str| {
        let (major, minor) = version.split_once('.')?;
        minor.parse::<u16>().is_ok().then(|| major.to_owned())
    };
    major(theirs).is_some() && major(theirs) == major(ours)
}

/// Asks, and takes what is read of the answer off the bytes that are `left`.
async fn ask(
    client: &LinkClient,
    method: &'static str,
    mut params: Value,
    left: &mut usize,
) -> Result<Value, NotJoined> {
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
    let body = Limited::new(response.into_body(), *left).collect().await;
    let body = body.map_err(|error| {
        if error.is::<LengthLimitError>() {
            wrong(format!("more than {SAID_BYTES} bytes, the rest of its answers included"))
        } else {
            wrong(error.to_string())
        }
    })?;
    let body = body.to_bytes();
    *left -= body.len();
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
mod tests;
