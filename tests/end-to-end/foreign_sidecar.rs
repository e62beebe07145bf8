//! A sidecar in another language joins by putting a socket into the run folder, and leaves by taking it away.

use std::{collections::BTreeMap, path::PathBuf, process::Command, sync::OnceLock};

use anyhow::{Context as _, ensure};
use serde_json::{Value, json};
use tentacular_test_harness::{
    Child, Part, Program, Stack,
    mcp::{Era, Raw},
    part, until,
};

use crate::{
    hand_made::{HandMade, tool},
    support::{SEEN, own_enclave, own_stack, until_listed},
};

/// The example sidecar in Go, as a process.
pub(crate) struct GoSidecar {
    process: Child,
}

impl GoSidecar {
    /// Starts it and waits until its first tool is listed.
    pub(crate) async fn join(stack: &Stack, name: &str, tools: &[&str]) -> anyhow::Result<Self> {
        let binary = tokio::task::spawn_blocking(build).await??;
        let process = Program::new(binary)
            .arg(format!("--run-dir={}", stack.run_dir().display()))
            .arg(format!("--name={name}"))
            .arg(format!("--tools={}", tools.join(",")))
            .start(&stack.folder().join(format!("{name}.log")))?;
        let sidecar = Self { process };
        until_listed(stack, tools[0], true).await.with_context(|| sidecar.process.log())?;
        Ok(sidecar)
    }
}

/// Builds the example once in a test run, beside the Rust binaries; go keeps what it built before.
fn build() -> anyhow::Result<PathBuf> {
    static BUILT: OnceLock<Result<PathBuf, String>> = OnceLock::new();
    let build = || -> anyhow::Result<PathBuf> {
        let target = std::env::current_exe()?.with_file_name("go-sidecar");
        let output = Command::new("go")
            .args(["build", "-o"])
            .arg(&target)
            .arg(".")
            .current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/../../examples/go-sidecar"))
            .env("CGO_ENABLED", "0")
            .output()
            .context("cannot run go")?;
        ensure!(output.status.success(), "go build: {}", String::from_utf8_lossy(&output.stderr));
        Ok(target)
    };
    BUILT.get_or_init(|| build().map_err(|error| format!("{error:#}"))).clone().map_err(anyhow::Error::msg)
}

/// A sidecar that answers every call with the headers that reached it.
pub(crate) async fn headers_that_arrive(stack: &Stack) -> anyhow::Result<BTreeMap<String, Value>> {
    let _echo = HandMade::listen(&stack.run_dir(), "echo", [tool("echo_headers")], |call| async move {
        let headers = json!(call.headers);
        call.content(&headers).await
    })?;
    until_listed(stack, "echo_headers", true).await?;
    let body = json!({ "jsonrpc": "2.0", "id": 1, "method": "tools/call",
        "params": { "name": "echo_headers", "arguments": {} } });
    let headers = [
        ("cookie", "session=1"),
        ("origin", "http://localhost"),
        ("x-forwarded-for", "127.0.0.1"),
        ("traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"),
    ];
    let answer = stack.raw().post(body.to_string(), &headers).await?;
    serde_json::from_value(answer.json()["result"]["structuredContent"].clone()).context(answer.text)
}

#[tokio::test]
async fn a_go_sidecar_joins_is_called_and_leaves() -> anyhow::Result<()> {
    let stack = own_stack().await?;
    for era in [Era::Stateless, Era::Handshake] {
        let mcp = stack.client(era).await?;
        let name = own_enclave(&mcp, "greeted").await?;
        let sidecar = GoSidecar::join(&stack, "greeter", &["enclave_greet"]).await?;
        let greeted = mcp.call("enclave_greet", json!({ "enclave": name, "greeting": "Servus" })).await?;
        assert_eq!(greeted["text"], format!("Servus, {name}!"));
        let refusal = mcp.refusal("enclave_greet", json!({ "enclave": "kube-system" })).await?;
        assert!(refusal.contains("protected"), "{refusal}");
        let past = past_the_kernel(&stack, "greeter", "enclave_greet").await?;
        assert!(past.contains("header Tentacular-Caller is there 0 times"), "{past}");
        sidecar.process.terminate()?;
        sidecar.process.wait().await?;
        until_listed(&stack, "enclave_greet", false).await?;
        assert!(mcp.call("enclave_greet", json!({ "enclave": name })).await.is_err());
    }
    Ok(())
}

/// What a sidecar answers to a call that does not come through the kernel.
async fn past_the_kernel(stack: &Stack, sidecar: &str, tool: &str) -> anyhow::Result<String> {
    let socket = stack.run_dir().join(format!("{sidecar}.sock"));
    let call =
        json!({ "jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": { "name": tool, "arguments": {} } });
    let request = reqwest::Client::builder().unix_socket(socket).build()?.post("http://localhost/mcp");
    let request = request.header("content-type", "application/json");
    let request = request.header("accept", "application/json, text/event-stream");
    Ok(request.body(call.to_string()).send().await?.text().await?)
}

#[tokio::test]
async fn a_foreign_sidecar_cannot_take_a_built_in_name() -> anyhow::Result<()> {
    let stack = own_stack().await?;
    let mcp = stack.client(Era::Stateless).await?;
    let name = own_enclave(&mcp, "claimed").await?;
    let _sidecar = GoSidecar::join(&stack, "a-claimer", &["enclave_greet", "wf_list", "enclave_list"]).await?;
    let listed = stack.raw().tools().await?;
    assert_eq!(listed.iter().filter(|tool| *tool == "wf_list").count(), 1);
    let workflows = mcp.call("wf_list", json!({ "enclave": name })).await?;
    assert!(workflows["workflows"].is_array(), "the auditor answers: {workflows}");
    let log = stack.process(Part::Kernel)?.log();
    assert!(log.contains("tool wf_list of a-claimer: the name is taken by auditor"), "{log}");
    Ok(())
}

/// A sidecar that says `meta` of its contract, and answers every call.
fn of_contract(
    stack: &Stack,
    name: &str,
    tools: impl IntoIterator<Item = Value>,
    meta: &Value,
) -> anyhow::Result<HandMade> {
    HandMade::with_meta(&stack.run_dir(), name, tools, meta, |call| async { call.content(&json!({})).await })
}

#[tokio::test]
async fn a_tool_without_a_valid_declaration_is_neither_listed_nor_callable() -> anyhow::Result<()> {
    let stack = own_stack().await?;
    let mcp = stack.client(Era::Stateless).await?;
    let declaring = |name: &str, authz: Value| {
        let mut tool = tool(name);
        tool["_meta"]["tentacular.io/authz"] = authz;
        tool
    };
    let tools = [
        json!({ "name": "undeclared", "inputSchema": { "type": "object" } }),
        declaring("unclear", json!({ "on": "tentacle", "needs": "everything", "tentacle": ["/name"] })),
        declaring("placeless", json!({ "on": "enclave", "needs": "read" })),
        tool("declared"),
    ];
    let _sidecar = of_contract(&stack, "loose", tools, &json!({ "tentacular.io/contract": "1.3" }))?;
    until_listed(&stack, "declared", true).await?;
    mcp.call("declared", json!({})).await?;
    let listed = stack.raw().tools().await?;
    for name in ["undeclared", "unclear", "placeless"] {
        assert!(!listed.iter().any(|tool| tool == name), "{name} is listed");
        let answer = stack.raw().call(name, &json!({})).await?;
        assert_eq!(answer.error_code(), -32602, "{}", answer.text);
        assert!(answer.text.contains("unknown tool"), "{}", answer.text);
    }
    Ok(())
}

#[tokio::test]
async fn another_major_of_the_contract_does_not_join() -> anyhow::Result<()> {
    let stack = own_stack().await?;
    let _none = of_contract(&stack, "no-contract", [tool("of_none")], &json!({}))?;
    let _next = of_contract(&stack, "next-major", [tool("of_next")], &json!({ "tentacular.io/contract": "2.0" }))?;
    let _same = of_contract(&stack, "same-major", [tool("of_same")], &json!({ "tentacular.io/contract": "1.7" }))?;
    until_listed(&stack, "of_same", true).await?;
    let listed = stack.raw().tools().await?;
    assert!(!listed.iter().any(|tool| tool == "of_none" || tool == "of_next"));
    let log = stack.process(Part::Kernel)?.log();
    assert!(log.contains("is \\\"2.0\\\", the kernel speaks 1.0"), "{log}");
    Ok(())
}

#[tokio::test]
async fn a_built_in_socket_of_another_uid_does_not_join() -> anyhow::Result<()> {
    let stack = own_stack().await?;
    let kernel = part::program(Part::Kernel)?
        .env("KUBECONFIG", stack.folder().join("kernel.kubeconfig"))
        .arg(format!("--token-path={}", stack.folder().join("token").display()))
        .arg(format!("--run-dir={}", stack.run_dir().display()))
        .args(["--listen=127.0.0.1:0", "--observe-addr=127.0.0.1:0", "--auditor-uid=54321"])
        .start(&stack.folder().join("other-kernel.log"))?;
    let address = part::logged(&kernel, "serving MCP on /mcp", "address").await?;
    let reason = part::logged(&kernel, "not joined", "reason").await?;
    assert!(reason.contains("not as 54321"), "{reason}");
    let raw = Raw::new(&format!("http://{address}/mcp"), Some(stack.token()));
    let joined = until("the others join", async || {
        let tools = raw.tools().await?;
        ensure!(tools.contains(&"wf_run".to_owned()), "{tools:?}");
        Ok(())
    });
    joined.await.with_context(|| kernel.log())?;
    assert!(!raw.tools().await?.contains(&"wf_list".to_owned()));
    Ok(())
}

#[tokio::test]
async fn a_stateless_client_hears_when_the_list_changes() -> anyhow::Result<()> {
    use futures::StreamExt as _;
    let stack = own_stack().await?;
    let body = json!({ "jsonrpc": "2.0", "id": "listen-1", "method": "subscriptions/listen", "params": {
        "notifications": { "toolsListChanged": true },
        "_meta": { "io.modelcontextprotocol/protocolVersion": "2026-07-28", "io.modelcontextprotocol/clientCapabilities": {} },
    }});
    let request = stack.raw().request(reqwest::Method::POST).body(body.to_string());
    let response = request
        .header("mcp-protocol-version", "2026-07-28")
        .header("mcp-method", "subscriptions/listen")
        .send()
        .await?;
    let mut stream = response.bytes_stream();
    let mut heard = String::new();
    let _sidecar = GoSidecar::join(&stack, "greeter", &["enclave_greet"]).await?;
    while !heard.contains("notifications/tools/list_changed") {
        let bytes = tokio::time::timeout(SEEN, stream.next()).await?.context("the stream ended")??;
        heard.push_str(&String::from_utf8_lossy(&bytes));
    }
    stack.process(Part::Kernel)?.terminate()?;
    while let Some(bytes) = tokio::time::timeout(SEEN, stream.next()).await? {
        heard.push_str(&String::from_utf8_lossy(&bytes?));
    }
    let last = heard.lines().filter_map(|line| line.strip_prefix("data:")).next_back().unwrap_or_default();
    let last: Value = serde_json::from_str(last).with_context(|| heard.clone())?;
    assert_eq!((&last["id"], &last["result"]["resultType"]), (&json!("listen-1"), &json!("complete")), "{heard}");
    Ok(())
}
