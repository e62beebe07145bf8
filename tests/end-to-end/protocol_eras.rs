//! Clients of both protocol eras work against the same address.

use std::collections::BTreeSet;

use serde_json::json;
use tentacular_test_harness::mcp::Era;

use crate::support::stack;

#[tokio::test]
async fn both_eras_see_the_same_tools_and_may_call_them() -> anyhow::Result<()> {
    let stack = stack().await?;
    let mut seen = Vec::new();
    for era in [Era::Handshake, Era::Stateless] {
        let mcp = stack.client(era).await?;
        let names: BTreeSet<_> = mcp.tools().await?.into_iter().map(|tool| tool.name.to_string()).collect();
        for tool in [
            "enclave_provision",
            "enclave_info",
            "enclave_list",
            "wf_apply",
            "wf_remove",
            "wf_run",
            "wf_list",
            "wf_status",
            "wf_health",
        ] {
            assert!(names.contains(tool), "{era:?} lists no {tool}");
        }
        mcp.call("enclave_list", json!({})).await?;
        let capabilities = mcp.service().peer_info().unwrap().capabilities.clone();
        let list_changed = capabilities.tools.unwrap().list_changed.unwrap_or_default();
        assert_eq!(list_changed, era == Era::Stateless, "only a stateless client has a stream to hear of a change");
        seen.push(names);
    }
    assert_eq!(seen[0], seen[1]);
    Ok(())
}

#[tokio::test]
async fn a_handshake_gives_no_session_and_get_is_refused() -> anyhow::Result<()> {
    let raw = stack().await?.raw();
    let initialize = json!({ "jsonrpc": "2.0", "id": 1, "method": "initialize", "params": {
        "protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": { "name": "t", "version": "1" },
    }});
    let answer = raw.post(initialize.to_string(), &[]).await?;
    assert_eq!(answer.status, 200, "{}", answer.text);
    assert_eq!(answer.json()["result"]["protocolVersion"], "2025-06-18");
    assert!(!answer.headers.contains_key("mcp-session-id"));
    let initialized = json!({ "jsonrpc": "2.0", "method": "notifications/initialized" });
    assert_eq!(raw.post(initialized.to_string(), &[]).await?.status, 202);
    assert_eq!(raw.request(reqwest::Method::GET).send().await?.status().as_u16(), 405);
    assert_eq!(raw.request(reqwest::Method::DELETE).send().await?.status().as_u16(), 405);
    Ok(())
}

#[tokio::test]
async fn errors_have_the_status_and_code_of_their_era() -> anyhow::Result<()> {
    let raw = stack().await?.raw();
    let meta = json!({
        "io.modelcontextprotocol/protocolVersion": "2026-07-28", "io.modelcontextprotocol/clientCapabilities": {},
    });
    let old = |method: &str| json!({ "jsonrpc": "2.0", "id": 1, "method": method, "params": {} }).to_string();
    let new = |method: &str| {
        json!({ "jsonrpc": "2.0", "id": 1, "method": method, "params": { "_meta": meta } }).to_string()
    };
    let version = ("mcp-protocol-version", "2026-07-28");

    let answer = raw.post(old("tasks/list"), &[]).await?;
    assert_eq!((answer.status, answer.error_code()), (200, -32601));
    let answer = raw.post(new("tasks/list"), &[version, ("mcp-method", "tasks/list")]).await?;
    assert_eq!((answer.status, answer.error_code()), (404, -32601));
    let answer = raw.post(new("tools/list"), &[version, ("mcp-method", "tools/list")]).await?;
    assert_eq!(answer.status, 200, "{}", answer.text);
    assert_eq!(
        (&answer.json()["result"]["ttlMs"], &answer.json()["result"]["cacheScope"]),
        (&json!(30_000), &json!("private"))
    );
    for headers in [
        vec![version],
        vec![version, ("mcp-method", "ping")],
        vec![version, ("mcp-method", "tools/list"), ("mcp-method", "tools/list")],
    ] {
        let answer = raw.post(new("tools/list"), &headers).await?;
        assert_eq!((answer.status, answer.error_code()), (400, -32020), "{headers:?}");
    }
    let unknown = new("tools/list").replace("2026-07-28", "2031-01-01");
    let headers = [("mcp-protocol-version", "2031-01-01"), ("mcp-method", "tools/list")];
    assert_eq!(raw.post(unknown, &headers).await?.error_code(), -32022);
    let answer = raw.call("no_such_tool", &json!({})).await?;
    assert_eq!(answer.error_code(), -32602);
    Ok(())
}
