//! One call of a tool, by a real MCP client.

use std::{error::Error, io::Write as _, iter::successors, path::PathBuf, process::ExitCode};

use anyhow::{Context as _, anyhow};
use clap::Args as ClapArgs;
use reqwest::redirect::Policy;
use rmcp::{
    model::{CallToolRequestParams, CallToolResult, ClientConfig, Implementation, ProtocolVersion},
    service::{ClientInitializeError, ClientLifecycleMode, ServiceError, serve_client_with_lifecycle},
    transport::{
        DynamicTransportError, StreamableHttpClientTransport,
        streamable_http_client::{StreamableHttpClientTransportConfig, StreamableHttpError},
    },
};
use serde_json::{Map, Value};

use super::trusted;
use crate::{args::Args, authn::bearer};

/// Which tool, and with what.
#[derive(Debug, Clone, ClapArgs)]
pub(crate) struct Call {
    /// The tool's name.
    tool: String,
    /// Its arguments, a JSON object.
    #[arg(default_value = "{}", value_parser = object)]
    arguments: Map<String, Value>,
    /// URL of the endpoint [default: this container's].
    #[arg(long)]
    url: Option<String>,
    /// PEM file of certificates that are trusted beside the system's authorities: the server's own, whatever name it has, or
    /// those of its authorities [default: the file of --tls-cert-file].
    #[arg(long)]
    trust: Option<PathBuf>,
}

fn object(text: &str) -> Result<Map<String, Value>, String> {
    serde_json::from_str(text).map_err(|error| format!("give a JSON object: {error}"))
}

impl Call {
    /// Calls, and prints the result's texts. The status says whether the tool did what it was asked for.
    pub(super) fn run(self, server: &Args) -> anyhow::Result<ExitCode> {
        let token = bearer::load(&server.token_path)?;
        let url = self.url.clone().unwrap_or_else(|| own_url(server));
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let result =
            runtime.block_on(self.ask(server, &url, &token)).with_context(|| format!("no result from {url}"))?;
        let mut out = std::io::stdout().lock();
        for text in result.content.iter().filter_map(|block| block.as_text()) {
            writeln!(out, "{}", text.text)?;
        }
        Ok(if result.is_error == Some(true) { ExitCode::FAILURE } else { ExitCode::SUCCESS })
    }

    async fn ask(self, server: &Args, url: &str, token: &str) -> anyhow::Result<CallToolResult> {
        let tls = trusted::client_config(self.trust.as_deref().or(server.tls.certificate()))?;
        // A redirection would take the token along.
        let http = reqwest::Client::builder().tls_backend_preconfigured(tls).redirect(Policy::none()).build()?;
        let config = StreamableHttpClientTransportConfig::with_uri(url).auth_header(token);
        let transport = StreamableHttpClientTransport::with_client(http, config);
        let lifecycle = ClientLifecycleMode::Discover { preferred_versions: vec![ProtocolVersion::V_2026_07_28] };
        let mut info = ClientConfig::default();
        info.client_info = Implementation::new("tentacular-kernel", env!("CARGO_PKG_VERSION"));
        let mcp = serve_client_with_lifecycle(info, transport, lifecycle).await.map_err(|error| match error {
            ClientInitializeError::TransportError { error, .. } => unsent(&error),
            error => anyhow!(error),
        })?;
        let call = CallToolRequestParams::new(self.tool).with_arguments(self.arguments);
        mcp.call_tool(call).await.map_err(|error| match error {
            ServiceError::TransportSend(error) => unsent(&error),
            ServiceError::McpError(error) => anyhow!("the server refuses the call: {}", error.message),
            error => anyhow!(error),
        })
    }
}

/// Why nothing was answered: down to the first cause, which the library does not tell, and without the library's own types, which
/// it does.
fn unsent(error: &DynamicTransportError) -> anyhow::Error {
    match error.error.downcast_ref::<StreamableHttpError<reqwest::Error>>() {
        Some(StreamableHttpError::Client(error)) => {
            let causes: Vec<_> =
                successors(error.source(), |&cause| cause.source()).map(ToString::to_string).collect();
            anyhow!(if causes.is_empty() { error.to_string() } else { causes.join(": ") })
        }
        Some(StreamableHttpError::AuthRequired(_)) => {
            anyhow!("it does not accept the token; give the file of the one that it has (--token-path)")
        }
        _ => anyhow!("{}", error.error),
    }
}

/// Where the server of the same container listens.
fn own_url(server: &Args) -> String {
    let scheme = if server.tls.certificate().is_some() { "https" } else { "http" };
    format!("{scheme}://localhost:{}/mcp", server.listen.port())
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;
    use crate::command::Command;

    fn parsed(args: &[&str]) -> Result<Args, clap::Error> {
        Args::try_parse_from([&["kernel"], args].concat())
    }

    #[test]
    fn a_tool_its_arguments_and_where() {
        let args = parsed(&["--listen=:9090", "call", "enclave_info", r#"{"enclave":"a"}"#]).expect("a call");
        let Some(Command::Call(call)) = &args.command else { panic!("no call") };
        assert_eq!((call.tool.as_str(), &call.arguments["enclave"]), ("enclave_info", &Value::from("a")));
        assert_eq!(own_url(&args), "http://localhost:9090/mcp");
        let args = parsed(&["call", "enclave_list", "--url=https://mcp.example.org/mcp"]).expect("a call");
        let Some(Command::Call(call)) = args.command else { panic!("no call") };
        assert_eq!((call.arguments.len(), call.url.as_deref()), (0, Some("https://mcp.example.org/mcp")));
    }

    #[test]
    fn arguments_that_are_no_object_are_refused() {
        for text in ["[]", "{", "1"] {
            let error = parsed(&["call", "enclave_list", text]).expect_err(text).to_string();
            assert!(error.contains("give a JSON object"), "{error}");
        }
    }
}
