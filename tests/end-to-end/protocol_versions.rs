//! What a request says of its protocol, in headers and `_meta`, and what an answer owes to each version.

use serde_json::{Value, json};
use tentacular_test_harness::mcp::{Answer, Era};

use crate::{
    hand_made::{HandMade, tool},
    support::{guests, until_listed},
    wire::{Message, meta},
};

const PROTOCOL_VERSION: &str = "mcp-protocol-version";
/// The versions with a handshake.
const HANDSHAKE: [&str; 4] = ["2024-11-05", "2025-03-26", "2025-06-18", "2025-11-25"];

fn initialize(version: &str) -> Message {
    let params = json!({ "protocolVersion": version, "capabilities": {},
        "clientInfo": { "name": "test", "version": "1" } });
    Message::new(Era::Handshake, "initialize", params).header(PROTOCOL_VERSION, None)
}

#[tokio::test]
async fn a_handshake_agrees_on_a_version_that_has_one() -> anyhow::Result<()> {
    let raw = guests().await?.raw();
    for version in HANDSHAKE {
        let answer = initialize(version).post(&raw).await?;
        assert_eq!(answer.json()["result"]["protocolVersion"], version, "{}", answer.text);
    }
    for version in ["2026-07-28", "1999-01-01", "2031-01-01", "", "x"] {
        let answer = initialize(version).post(&raw).await?;
        assert_eq!(answer.status, 200, "{}", answer.text);
        let offered = answer.json()["result"]["protocolVersion"].clone();
        assert_eq!(offered, "2025-11-25", "{version:?}: {}", answer.text);
    }
    let answer = initialize("2025-06-18").post(&raw).await?;
    let result = &answer.json()["result"];
    assert_eq!(result["capabilities"], json!({ "tools": {} }), "{}", answer.text);
    assert_eq!(result["serverInfo"]["name"], "tentacular-mcp");
    assert!(result["instructions"].as_str().is_some_and(|text| text.contains("enclave_list")), "{}", answer.text);
    for unknown in ["resultType", "ttlMs", "cacheScope", "supportedVersions"] {
        assert!(result.get(unknown).is_none(), "{unknown} is of the stateless era: {}", answer.text);
    }
    Ok(())
}

#[tokio::test]
async fn a_version_that_is_not_served_is_refused_before_a_sidecar_sees_it() -> anyhow::Result<()> {
    let stack = guests().await?;
    let (sidecar, mut calls) = HandMade::held(&stack.run_dir(), "versions", [tool("version_tool")])?;
    until_listed(stack, "version_tool", true).await?;
    let raw = stack.raw();
    let call = json!({ "name": "version_tool", "arguments": {} });
    for (method, params) in [("tools/list", json!({})), ("ping", json!({})), ("tools/call", call.clone())] {
        for version in ["1999-01-01", "2025-06-19", "x", ""] {
            let message =
                Message::new(Era::Handshake, method, params.clone()).header(PROTOCOL_VERSION, Some(version));
            let answer = message.post(&raw).await?;
            assert_eq!(answer.status, 400, "{method} {version:?}: {}", answer.text);
        }
    }
    for (method, params) in [("tools/list", json!({})), ("server/discover", json!({})), ("tools/call", call)] {
        for version in ["2031-01-01", "1900-01-01", "2026-07-29"] {
            let mut params = params.clone();
            params["_meta"] = meta();
            params["_meta"]["io.modelcontextprotocol/protocolVersion"] = json!(version);
            let message = Message::new(Era::Stateless, method, params).header(PROTOCOL_VERSION, Some(version));
            let answer = message.post(&raw).await?;
            assert_eq!((answer.status, answer.error_code()), (400, -32022), "{method} {version}: {}", answer.text);
            let data = &answer.json()["error"]["data"];
            assert_eq!(data["requested"], version, "{method}: {}", answer.text);
            assert!(data["supported"].as_array().is_some_and(|all| all.contains(&json!("2026-07-28"))), "{data}");
        }
    }
    drop(sidecar);
    assert!(calls.next().await.is_err(), "none of them reached the sidecar");
    Ok(())
}

#[tokio::test]
async fn a_stateless_request_must_say_in_meta_what_it_speaks() -> anyhow::Result<()> {
    let stack = guests().await?;
    let (sidecar, mut calls) = HandMade::held(&stack.run_dir(), "metas", [tool("meta_tool")])?;
    until_listed(stack, "meta_tool", true).await?;
    let version = "io.modelcontextprotocol/protocolVersion";
    let capabilities = "io.modelcontextprotocol/clientCapabilities";
    for (method, name) in [("tools/list", None), ("server/discover", None), ("tools/call", Some("meta_tool"))] {
        for meta in [
            None,
            Some(json!(null)),
            Some(json!({})),
            Some(json!({ capabilities: {} })),
            Some(json!({ version: "2026-07-28" })),
            Some(json!({ version: "2026-07-28", capabilities: null })),
            Some(json!({ version: "2026-07-28", capabilities: [] })),
            Some(json!({ version: 20_260_728, capabilities: {} })),
        ] {
            let mut params = json!({});
            if let Some(meta) = &meta {
                params["_meta"] = meta.clone();
            }
            if let Some(name) = name {
                params["name"] = json!(name);
            }
            let body = json!({ "jsonrpc": "2.0", "id": 1, "method": method, "params": params }).to_string();
            let answer = Message::written(Era::Stateless, method, name, body).post(&stack.raw()).await?;
            assert_eq!((answer.status, answer.error_code()), (400, -32602), "{method} {meta:?}: {}", answer.text);
        }
    }
    drop(sidecar);
    assert!(calls.next().await.is_err(), "none of them reached the sidecar");
    Ok(())
}

#[tokio::test]
async fn headers_must_say_what_the_body_says() -> anyhow::Result<()> {
    let stack = guests().await?;
    let mut tool = tool("header_tool");
    tool["inputSchema"] = json!({ "type": "object", "properties": {
        "region": { "type": "string", "x-mcp-header": "Region" },
        "count": { "type": "integer", "x-mcp-header": "Count" },
        "deep": { "type": "object", "properties": { "flag": { "type": "boolean", "x-mcp-header": "Flag" } } } } });
    let _sidecar = HandMade::listen(&stack.run_dir(), "headers", [tool], |call| async move {
        let headers = json!(call.headers);
        call.content(&headers).await
    })?;
    until_listed(stack, "header_tool", true).await?;
    let raw = stack.raw();
    let (region, count, flag) = ("mcp-param-region", "mcp-param-count", "mcp-param-flag");
    let arguments = json!({ "region": "Wien, Österreich", "count": 42, "deep": { "flag": true } });
    let encoded = "=?base64?V2llbiwgw5ZzdGVycmVpY2g=?=";
    let right = Message::call(Era::Stateless, "header_tool", &arguments)
        .header(region, Some(encoded))
        .header(count, Some("42"))
        .header(flag, Some("true"));
    let passed = |answer: &Answer| answer.json()["result"]["structuredContent"].clone();
    let answer = right.post(&raw).await?;
    assert_eq!(passed(&answer)[region], encoded, "the header is passed on: {}", answer.text);
    let answer = right.clone().header(count, Some("42.0")).post(&raw).await?;
    assert_eq!(passed(&answer)[count], "42.0", "integers are compared as numbers: {}", answer.text);
    let answer = right.clone().header("mcp-name", Some("=?base64?aGVhZGVyX3Rvb2w=?=")).post(&raw).await?;
    assert_eq!(answer.status, 200, "a name may be encoded: {}", answer.text);
    let none = Message::call(Era::Stateless, "header_tool", &json!({ "region": null })).post(&raw).await?;
    assert_eq!(none.status, 200, "what is null or absent has no header: {}", none.text);

    for wrong in [
        right.clone().header(region, None),
        right.clone().header(region, Some("Wien")),
        right.clone().header(region, Some("=?base64?V2llbg?=")),
        right.clone().header(region, Some("=?BASE64?V2llbiwgw5ZzdGVycmVpY2g=?=")),
        right.clone().header(count, Some("43")),
        right.clone().header(flag, Some("True")),
        right.clone().header("mcp-name", Some("other_tool")),
        right.clone().header("mcp-name", None),
        right.clone().header("mcp-method", Some("Tools/Call")),
        right.clone().header("mcp-method", None),
        right.clone().header(PROTOCOL_VERSION, Some("2025-06-18")),
        right.clone().header(PROTOCOL_VERSION, None),
        Message::call(Era::Stateless, "header_tool", &json!({})).header(count, Some("1")),
    ] {
        let answer = wrong.post(&raw).await?;
        assert_eq!((answer.status, answer.error_code()), (400, -32020), "{wrong:?}: {}", answer.text);
        assert_eq!(answer.json()["id"], 1, "{}", answer.text);
    }
    Ok(())
}

#[tokio::test]
async fn discovery_tells_what_is_served_and_how_long_that_holds() -> anyhow::Result<()> {
    let raw = guests().await?.raw();
    let answer = Message::new(Era::Stateless, "server/discover", json!({})).post(&raw).await?;
    assert_eq!(answer.status, 200, "{}", answer.text);
    assert_eq!(answer.headers["content-type"], "application/json");
    let result = &answer.json()["result"];
    assert_eq!(result["resultType"], "complete", "{}", answer.text);
    assert!(result["supportedVersions"].as_array().unwrap().contains(&json!("2026-07-28")), "{}", answer.text);
    assert_eq!(result["capabilities"], json!({ "tools": { "listChanged": true } }), "nothing else is served");
    assert!(result["instructions"].is_string(), "{}", answer.text);
    assert!(result["ttlMs"].is_u64() && result["cacheScope"].is_string(), "{}", answer.text);
    let info = &result["_meta"]["io.modelcontextprotocol/serverInfo"];
    assert_eq!(info["name"], "tentacular-mcp", "{}", answer.text);
    assert!(info["version"].is_string(), "{}", answer.text);
    Ok(())
}

#[tokio::test]
async fn lists_have_the_members_of_their_version() -> anyhow::Result<()> {
    let raw = guests().await?.raw();
    let hints = ["resultType", "ttlMs", "cacheScope"];
    let listed = async |message: Message| -> anyhow::Result<Value> {
        let answer = message.post(&raw).await?;
        assert_eq!(answer.status, 200, "{}", answer.text);
        Ok(answer.json()["result"].clone())
    };
    let list = || Message::new(Era::Handshake, "tools/list", json!({}));
    for version in HANDSHAKE.map(Some).into_iter().chain([None]) {
        let result = listed(list().header(PROTOCOL_VERSION, version)).await?;
        assert!(hints.iter().all(|hint| result.get(hint).is_none()), "{version:?}: {result}");
        assert!(result["tools"].is_array() && result.get("nextCursor").is_none(), "{version:?}: {result}");
    }
    let progress = Message::new(Era::Handshake, "tools/list", json!({ "_meta": { "progressToken": 1 } }));
    let result = listed(progress).await?;
    assert!(hints.iter().all(|hint| result.get(hint).is_none()), "a token for progress changes no version: {result}");
    let mut more = meta();
    more["io.modelcontextprotocol/clientInfo"] = json!({ "name": "test", "version": "1" });
    more["com.example/other"] = json!([1]);
    for meta in [meta(), more] {
        let result = listed(Message::new(Era::Stateless, "tools/list", json!({ "_meta": meta }))).await?;
        assert_eq!((&result["resultType"], &result["ttlMs"]), (&json!("complete"), &json!(30_000)), "{result}");
        assert_eq!(result["cacheScope"], "private");
    }
    let no_page = Message::new(Era::Stateless, "tools/list", json!({ "cursor": "x" })).post(&raw).await?;
    assert_eq!((no_page.status, no_page.error_code()), (200, -32602), "{}", no_page.text);
    Ok(())
}
