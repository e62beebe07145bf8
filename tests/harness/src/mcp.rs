//! MCP clients: a real one in both protocol eras, and one that sends whatever a test wants to send.

use std::collections::HashMap;

use anyhow::{Context as _, bail};
use jsonschema::Validator;
use reqwest::header::{ACCEPT, CONTENT_TYPE};
use rmcp::{
    model::{CallToolRequestParams, CallToolResult, ClientConfig, Implementation, ProtocolVersion, Tool},
    service::{ClientLifecycleMode, RoleClient, RunningService, serve_client_with_lifecycle},
    transport::{StreamableHttpClientTransport, streamable_http_client::StreamableHttpClientTransportConfig},
};
use serde_json::{Value, json};
use tokio::sync::OnceCell;

use crate::tls;

/// The protocol era that a client speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Era {
    /// With an `initialize` handshake, as clients before 2026-07-28.
    Handshake,
    /// 2026-07-28: every request for itself.
    Stateless,
}

/// A real MCP client, which holds results to what the tools' output schemas say (MCP: they must conform).
#[derive(Debug)]
pub struct Mcp {
    service: RunningService<RoleClient, ClientConfig>,
    /// By tool, as listed before the first result came.
    results: OnceCell<HashMap<String, Validator>>,
}

/// A tool's own error: the sentence that it answered with.
#[derive(Debug)]
pub struct ToolFailed(pub String);

impl std::fmt::Display for ToolFailed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for ToolFailed {}

impl Mcp {
    /// Connects to an MCP endpoint over plain HTTP.
    pub async fn connect(url: &str, token: &str, era: Era) -> anyhow::Result<Self> {
        Self::connect_over(tls::plain().pool_max_idle_per_host(0).build()?, url, token, era).await
    }

    /// Connects to an MCP endpoint with an HTTP client of the caller's.
    pub async fn connect_over(http: reqwest::Client, url: &str, token: &str, era: Era) -> anyhow::Result<Self> {
        let config = StreamableHttpClientTransportConfig::with_uri(url).auth_header(token);
        let transport = StreamableHttpClientTransport::with_client(http, config);
        let lifecycle = match era {
            Era::Handshake => ClientLifecycleMode::Initialize,
            Era::Stateless => {
                ClientLifecycleMode::Discover { preferred_versions: vec![ProtocolVersion::V_2026_07_28] }
            }
        };
        let mut info = ClientConfig::default();
        info.client_info = Implementation::new("tentacular-test-harness", env!("CARGO_PKG_VERSION"));
        if era == Era::Handshake {
            info.protocol_version = ProtocolVersion::V_2025_06_18;
        }
        let service = serve_client_with_lifecycle(info, transport, lifecycle).await.context("cannot connect")?;
        Ok(Self { service, results: OnceCell::new() })
    }

    /// The client itself, for what the methods here do not offer.
    pub const fn service(&self) -> &RunningService<RoleClient, ClientConfig> {
        &self.service
    }

    /// All tools that are listed.
    pub async fn tools(&self) -> anyhow::Result<Vec<Tool>> {
        self.service.list_all_tools().await.context("cannot list the tools")
    }

    /// Calls a tool and returns its structured result. A tool's own error is a [`ToolFailed`].
    pub async fn call(&self, tool: &str, arguments: Value) -> anyhow::Result<Value> {
        let result = self.call_whole(tool, arguments).await?;
        let text = result.content.first().and_then(|block| block.as_text()).map(|text| text.text.clone());
        if result.is_error == Some(true) {
            return Err(ToolFailed(text.unwrap_or_default()).into());
        }
        let structured = result.structured_content.context("a result without structuredContent")?;
        let text: Value = serde_json::from_str(&text.context("a result without a first text")?)?;
        anyhow::ensure!(text == structured, "text and structured content differ: {text} and {structured}");
        if let Some(validator) = self.results.get_or_try_init(|| self.validators()).await?.get(tool) {
            let faults: Vec<_> = validator
                .iter_errors(&structured)
                .map(|fault| format!("{}: {fault}", fault.instance_path()))
                .collect();
            anyhow::ensure!(
                faults.is_empty(),
                "the result of {tool} is not as its outputSchema says: {faults:?} in {structured}"
            );
        }
        Ok(structured)
    }

    async fn validators(&self) -> anyhow::Result<HashMap<String, Validator>> {
        let tools = self.tools().await?;
        let described = tools.into_iter().filter_map(|tool| Some((tool.name.into_owned(), tool.output_schema?)));
        described
            .map(|(name, schema)| {
                let mut schema = Value::Object((*schema).clone());
                close(&mut schema);
                let validator = jsonschema::draft202012::new(&schema)
                    .map_err(|error| anyhow::anyhow!("outputSchema of {name}: {error}"))?;
                Ok((name, validator))
            })
            .collect()
    }

    /// Calls a tool and returns the result as it came.
    pub async fn call_whole(&self, tool: &str, arguments: Value) -> anyhow::Result<CallToolResult> {
        let Value::Object(arguments) = arguments else { bail!("arguments must be an object") };
        let params = CallToolRequestParams::new(tool.to_owned()).with_arguments(arguments);
        self.service.call_tool(params).await.with_context(|| format!("cannot call {tool}"))
    }

    /// Calls a tool that must fail, and returns its sentence.
    pub async fn refusal(&self, tool: &str, arguments: Value) -> anyhow::Result<String> {
        match self.call(tool, arguments).await {
            Ok(result) => bail!("{tool} did not fail: {result}"),
            Err(error) => error.downcast::<ToolFailed>().map(|failed| failed.0),
        }
    }
}

/// Has a schema allow only what it describes, so that a member that nobody described is found.
fn close(schema: &mut Value) {
    match schema {
        Value::Object(members) => {
            members.values_mut().for_each(close);
            if members.get("properties").is_some_and(Value::is_object) {
                members.entry("unevaluatedProperties").or_insert(Value::Bool(false));
            }
        }
        Value::Array(items) => items.iter_mut().for_each(close),
        _ => {}
    }
}

/// Sends what it is told to the MCP endpoint.
#[derive(Debug, Clone)]
pub struct Raw {
    url: String,
    token: Option<String>,
    http: reqwest::Client,
}

/// An answer, as it came.
#[derive(Debug)]
pub struct Answer {
    /// The HTTP status.
    pub status: u16,
    /// The response headers.
    pub headers: reqwest::header::HeaderMap,
    /// The body.
    pub text: String,
}

impl Answer {
    /// The JSON of the body; `null` when it is none.
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_default()
    }

    /// The code of the JSON-RPC error, 0 when it is none.
    pub fn error_code(&self) -> i64 {
        self.json()["error"]["code"].as_i64().unwrap_or_default()
    }

    /// The sentence of a tool error, empty when it is none.
    pub fn tool_error(&self) -> String {
        let json = self.json();
        let text = json["result"]["content"][0]["text"].as_str().unwrap_or_default();
        if json["result"]["isError"] == true { text.to_owned() } else { String::new() }
    }
}

impl Raw {
    /// A client of the endpoint, with or without a token.
    pub fn new(url: &str, token: Option<&str>) -> Self {
        let http = tls::plain().build().expect("a client without options");
        Self { url: url.to_owned(), token: token.map(str::to_owned), http }
    }

    /// The same with another HTTP client.
    #[must_use]
    pub fn over(self, http: reqwest::Client) -> Self {
        Self { http, ..self }
    }

    /// A request with the token, content type and accept header of an ordinary client.
    pub fn request(&self, method: reqwest::Method) -> reqwest::RequestBuilder {
        let mut request = self.http.request(method, &self.url);
        if let Some(token) = &self.token {
            request = request.bearer_auth(token);
        }
        request.header(CONTENT_TYPE, "application/json").header(ACCEPT, "application/json, text/event-stream")
    }

    /// Posts a body with further headers.
    pub async fn post(&self, body: impl Into<String>, headers: &[(&str, &str)]) -> anyhow::Result<Answer> {
        let mut request = self.request(reqwest::Method::POST).body(body.into());
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let response = request.send().await?;
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        Ok(Answer { status, headers, text: response.text().await? })
    }

    /// The names of the tools that are listed now. A real client may keep the list for as long as it is told to.
    pub async fn tools(&self) -> anyhow::Result<Vec<String>> {
        let answer = self.post(json!({ "jsonrpc": "2.0", "id": 1, "method": "tools/list" }).to_string(), &[]).await?;
        let json = answer.json();
        let tools = json["result"]["tools"].as_array().with_context(|| answer.text.clone())?;
        Ok(tools.iter().filter_map(|tool| tool["name"].as_str()).map(str::to_owned).collect())
    }

    /// Calls a tool as a client with a handshake does.
    pub async fn call(&self, tool: &str, arguments: &Value) -> anyhow::Result<Answer> {
        let params = json!({ "name": tool, "arguments": arguments });
        let body = json!({ "jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params });
        self.post(body.to_string(), &[]).await
    }
}
