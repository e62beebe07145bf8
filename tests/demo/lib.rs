//! What the programs here share: messages as a client writes them, backing services, and where to say what was found.

pub mod backing;

use http::{
    HeaderName, HeaderValue,
    header::{ACCEPT, CONTENT_TYPE},
};
use serde_json::{Value, json};
use tentacular_test_harness::mcp::Era;

/// Says a line to the person who runs the program.
#[expect(clippy::print_stdout, reason = "it speaks to the person who runs it")]
pub fn say(line: &str) {
    println!("{line}");
}

/// A JSON-RPC request with the headers that its era wants, the credentials apart.
#[derive(Debug, Clone)]
pub struct Message {
    /// The body.
    pub body: String,
    /// The headers.
    pub headers: Vec<(HeaderName, HeaderValue)>,
}

impl Message {
    /// A request of `method`. `id` must be printable ASCII, and `params` an object.
    pub fn new(era: Era, id: &str, method: &str, mut params: Value) -> Self {
        let mut headers = vec![
            (CONTENT_TYPE, HeaderValue::from_static("application/json")),
            (ACCEPT, HeaderValue::from_static("application/json, text/event-stream")),
        ];
        let mut header = |name, value: &str| {
            let value = HeaderValue::from_str(value).expect("the program writes printable ASCII");
            headers.push((HeaderName::from_static(name), value));
        };
        match era {
            // There is no version to name before it was negotiated.
            Era::Handshake if method == "initialize" => {}
            Era::Handshake => header("mcp-protocol-version", "2025-06-18"),
            Era::Stateless => {
                header("mcp-protocol-version", "2026-07-28");
                header("mcp-method", method);
                if let Some(name) = params["name"].as_str() {
                    header("mcp-name", name);
                }
                params["_meta"] = json!({
                    "io.modelcontextprotocol/protocolVersion": "2026-07-28",
                    "io.modelcontextprotocol/clientCapabilities": {},
                });
            }
        }
        let body = json!({ "jsonrpc": "2.0", "id": id, "method": method, "params": params }).to_string();
        Self { body, headers }
    }

    /// A call of a tool.
    pub fn call(era: Era, id: &str, tool: &str, arguments: &Value) -> Self {
        Self::new(era, id, "tools/call", json!({ "name": tool, "arguments": arguments }))
    }

    /// The request by which a client of before 2026-07-28 begins.
    pub fn initialize(id: &str) -> Self {
        let params = json!({
            "protocolVersion": "2025-06-18",
            "capabilities": {},
            "clientInfo": { "name": "tentacular-demo", "version": env!("CARGO_PKG_VERSION") },
        });
        Self::new(Era::Handshake, id, "initialize", params)
    }
}
