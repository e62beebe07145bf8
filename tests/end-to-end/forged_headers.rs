//! The two headers that carry a decision are the kernel's alone.

use anyhow::Context as _;
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use serde_json::{Value, json};
use tentacular_test_harness::mcp::Era;

use crate::{
    foreign_sidecar::GoSidecar,
    support::{client, own_enclave, own_stack, own_stack_with, stack},
};

#[tokio::test]
async fn a_client_cannot_forge_the_caller_or_the_permit() -> anyhow::Result<()> {
    let stack = own_stack().await?;
    let mcp = stack.client(Era::Stateless).await?;
    let name = own_enclave(&mcp, "forged").await?;
    let _sidecar = GoSidecar::join(&stack, "greeter", &["enclave_greet"]).await?;
    let caller = URL_SAFE_NO_PAD.encode(r#"{"kind":"bearer"}"#);
    let forged = json!({ "v": 1, "tool": "enclave_greet", "enclave": "kube-system", "exists": true,
        "right": "own", "rule": "bearer", "authz": false });
    let permit = URL_SAFE_NO_PAD.encode(forged.to_string());
    let body = json!({ "jsonrpc": "2.0", "id": 1, "method": "tools/call",
        "params": { "name": "enclave_greet", "arguments": { "enclave": name } } });
    let headers =
        [("tentacular-caller", caller.as_str()), ("Tentacular-Permit", &permit), ("tentacular-permit", &permit)];
    let answer = stack.raw().post(body.to_string(), &headers).await?;
    // The sidecar says what the permit header that reached it holds.
    let greeted = &answer.json()["result"]["structuredContent"];
    assert_eq!(greeted["text"], format!("Hello, {name}!"), "{}", answer.text);
    assert_eq!(greeted["right"], "read");
    Ok(())
}

#[tokio::test]
async fn credentials_do_not_reach_a_sidecar() -> anyhow::Result<()> {
    let stack = own_stack_with(&["--allowed-origins=http://localhost"]).await?;
    let seen = crate::foreign_sidecar::headers_that_arrive(&stack).await?;
    let names: Vec<_> = seen.keys().map(String::as_str).collect();
    for secret in ["authorization", "cookie", "origin", "x-forwarded-for"] {
        assert!(!names.contains(&secret), "{secret} was forwarded: {names:?}");
    }
    assert_eq!(seen["host"], "localhost");
    assert!(names.contains(&"tentacular-caller") && names.contains(&"traceparent"), "{names:?}");
    Ok(())
}

#[tokio::test]
async fn a_sidecar_answers_nobody_who_comes_without_a_permit() -> anyhow::Result<()> {
    client().await?;
    let socket = stack().await?.run_dir().join("auditor.sock");
    let body = json!({ "jsonrpc": "2.0", "id": 1, "method": "tools/call",
        "params": { "name": "wf_list", "arguments": {} } });
    let caller = URL_SAFE_NO_PAD.encode(r#"{"kind":"bearer"}"#);
    let permit = |tool: &str| {
        let permit =
            json!({ "v": 1, "tool": tool, "exists": false, "right": "read", "rule": "bearer", "authz": true });
        URL_SAFE_NO_PAD.encode(permit.to_string())
    };
    let other = permit("wf_status");
    for (headers, expected) in [
        (vec![], "tentacular-caller must be there once"),
        (vec![("tentacular-caller", caller.as_str())], "tentacular-permit must be there once"),
        (
            vec![("tentacular-caller", caller.as_str()), ("tentacular-permit", other.as_str())],
            "the permit is for tool",
        ),
        (vec![("tentacular-caller", caller.as_str()), ("tentacular-permit", "e30")], "malformed"),
    ] {
        let http = reqwest::Client::builder().unix_socket(socket.clone()).build()?;
        let mut request = http.post("http://localhost/mcp").body(body.to_string());
        request = request
            .header("content-type", "application/json")
            .header("accept", "application/json, text/event-stream");
        for (name, value) in headers {
            request = request.header(name, value);
        }
        let answer: Value = request.send().await?.json().await?;
        let message = answer["error"]["message"].as_str().with_context(|| answer.to_string())?;
        assert!(message.contains(expected), "{message}");
    }
    Ok(())
}
