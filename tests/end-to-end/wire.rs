//! Messages as bytes, as a client of either protocol era writes them.

use reqwest::{Method, RequestBuilder};
use serde_json::{Value, json};
use tentacular_test_harness::mcp::{Answer, Era, Raw};

/// Both eras.
pub(crate) const ERAS: [Era; 2] = [Era::Handshake, Era::Stateless];
/// The version that a client of each era names.
pub(crate) const fn version(era: Era) -> &'static str {
    match era {
        Era::Handshake => "2025-06-18",
        Era::Stateless => "2026-07-28",
    }
}

/// The `_meta` that every request of the stateless era has.
pub(crate) fn meta() -> Value {
    json!({ "io.modelcontextprotocol/protocolVersion": "2026-07-28",
        "io.modelcontextprotocol/clientCapabilities": {} })
}

/// A client that sends all its requests on one HTTP/2 connection, without TLS.
pub(crate) fn over_http2(raw: Raw) -> anyhow::Result<Raw> {
    Ok(raw.over(reqwest::Client::builder().http2_prior_knowledge().build()?))
}

/// A message with its headers, which a test may change before it sends it.
#[derive(Debug, Clone)]
pub(crate) struct Message {
    pub(crate) body: String,
    pub(crate) headers: Vec<(&'static str, String)>,
}

impl Message {
    /// A request with id 1.
    pub(crate) fn new(era: Era, method: &str, mut params: Value) -> Self {
        if era == Era::Stateless && params["_meta"].is_null() {
            params["_meta"] = meta();
        }
        let headers = headers(era, method, params["name"].as_str().filter(|_| method == "tools/call"));
        let body = json!({ "jsonrpc": "2.0", "id": 1, "method": method, "params": params }).to_string();
        Self { body, headers }
    }

    /// A call of a tool.
    pub(crate) fn call(era: Era, tool: &str, arguments: &Value) -> Self {
        Self::new(era, "tools/call", json!({ "name": tool, "arguments": arguments }))
    }

    /// A body of the test's own, with the headers that go with it.
    pub(crate) fn written(era: Era, method: &str, name: Option<&str>, body: impl Into<String>) -> Self {
        Self { body: body.into(), headers: headers(era, method, name) }
    }

    /// With another value of a header, or without it.
    pub(crate) fn header(mut self, name: &'static str, value: Option<&str>) -> Self {
        self.headers.retain(|(other, _)| *other != name);
        self.headers.extend(value.map(|value| (name, value.to_owned())));
        self
    }

    /// The request, to be sent.
    pub(crate) fn to(&self, raw: &Raw) -> RequestBuilder {
        let request = raw.request(Method::POST).body(self.body.clone());
        self.headers.iter().fold(request, |request, (name, value)| request.header(*name, value))
    }

    /// Sends it.
    pub(crate) async fn post(&self, raw: &Raw) -> anyhow::Result<Answer> {
        let headers: Vec<_> = self.headers.iter().map(|(name, value)| (*name, value.as_str())).collect();
        raw.post(self.body.clone(), &headers).await
    }
}

fn headers(era: Era, method: &str, name: Option<&str>) -> Vec<(&'static str, String)> {
    let mut headers = vec![("mcp-protocol-version", version(era).to_owned())];
    if era == Era::Stateless {
        headers.push(("mcp-method", method.to_owned()));
        headers.extend(name.map(|name| ("mcp-name", name.to_owned())));
    }
    headers
}
