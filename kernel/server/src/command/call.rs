//! One call of a tool, by a real MCP client.

use std::{fs, io::Write as _, process::ExitCode};

use anyhow::{Context as _, ensure};
use clap::Args as ClapArgs;
use reqwest::redirect::Policy;
use rmcp::{
    model::{CallToolRequestParams, CallToolResult, ClientConfig, Implementation, ProtocolVersion},
    service::{ClientLifecycleMode, serve_client_with_lifecycle},
    transport::{StreamableHttpClientTransport, streamable_http_client::StreamableHttpClientTransportConfig},
};
use serde_json::{Map, Value};
use tentacular_process::trust;

use crate::args::Args;

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
}

fn object(text: &str) -> Result<Map<String, Value>, String> {
    serde_json::from_str(text).map_err(|error| format!("give a JSON object: {error}"))
}

impl Call {
    /// Calls, and prints the result's texts. The status says whether the tool did what it was asked for.
    pub(super) fn run(self, server: &Args) -> anyhow::Result<ExitCode> {
        let path = server.token_path.display();
        let token =
            fs::read_to_string(&server.token_path).with_context(|| format!("cannot read {path} (--token-path)"))?;
        ensure!(!token.trim().is_empty(), "{path} is empty (--token-path)");
        let url = self.url.clone().unwrap_or_else(|| own_url(server));
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let result =
            runtime.block_on(self.ask(&url, token.trim())).with_context(|| format!("no result from {url}"))?;
        let mut out = std::io::stdout().lock();
        for text in result.content.iter().filter_map(|block| block.as_text()) {
            writeln!(out, "{}", text.text)?;
        }
        Ok(if result.is_error == Some(true) { ExitCode::FAILURE } else { ExitCode::SUCCESS })
    }

    async fn ask(self, url: &str, token: &str) -> anyhow::Result<CallToolResult> {
        let config = StreamableHttpClientTransportConfig::with_uri(url).auth_header(token);
        let transport = StreamableHttpClientTransport::with_client(client()?, config);
        let lifecycle = ClientLifecycleMode::Discover { preferred_versions: vec![ProtocolVersion::V_2026_07_28] };
        let mut info = ClientConfig::default();
        info.client_info = Implementation::new("tentacular-kernel", env!("CARGO_PKG_VERSION"));
        let mcp = serve_client_with_lifecycle(info, transport, lifecycle).await?;
        Ok(mcp.call_tool(CallToolRequestParams::new(self.tool).with_arguments(self.arguments)).await?)
    }
}

/// Where the server of the same container listens.
fn own_url(server: &Args) -> String {
    let scheme = if server.tls.is_set() { "https" } else { "http" };
    format!("{scheme}://localhost:{}/mcp", server.listen.port())
}

/// Trusts the system's authorities (those of `SSL_CERT_FILE`), and follows no redirection with the token.
fn client() -> anyhow::Result<reqwest::Client> {
    let tls = trust::client_config(trust::system_roots())?;
    Ok(reqwest::Client::builder().tls_backend_preconfigured(tls).redirect(Policy::none()).build()?)
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
