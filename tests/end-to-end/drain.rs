//! At SIGTERM a process finishes what runs, takes nothing new, and exits with 0.

use anyhow::ensure;
use serde_json::json;
use tentacular_test_harness::{Part, mcp::Era, until};

use crate::support::{apply_word_count, own_enclave, own_stack, own_stack_with, until_in_flight};

#[tokio::test]
async fn a_call_in_flight_is_answered_while_the_kernel_drains() -> anyhow::Result<()> {
    let stack = own_stack().await?;
    let mcp = stack.client(Era::Stateless).await?;
    let name = own_enclave(&mcp, "drain").await?;
    apply_word_count(&mcp, &name).await?;
    let raw = stack.raw();
    let arguments = json!({ "enclave": name, "name": "word-count", "input": { "text": "a b", "sleep_ms": 10_000 } });
    let call = tokio::spawn(async move { raw.call("wf_run", &arguments).await });
    until_in_flight(&mcp, &name).await?;
    let kernel = stack.process(Part::Kernel)?;
    kernel.terminate()?;
    let answer = call.await??;
    assert_eq!(answer.json()["result"]["structuredContent"]["output"]["success"], true, "{}", answer.text);
    assert_eq!(kernel.wait().await?.code(), Some(0), "{}", kernel.last_lines(5));
    Ok(())
}

#[tokio::test]
async fn a_kernel_that_is_about_to_end_still_answers_and_sends_clients_elsewhere() -> anyhow::Result<()> {
    let stack = own_stack_with(&["--linger-seconds=600"]).await?;
    let raw = stack.raw();
    let before = raw.call("enclave_list", &json!({})).await?;
    ensure!(before.status == 200 && !before.headers.contains_key("connection"), "{:?}", before.headers);
    stack.process(Part::Kernel)?.terminate()?;
    until("connections are closed", async || {
        let answer = raw.call("enclave_list", &json!({})).await?;
        assert!(answer.status == 200 && answer.tool_error().is_empty(), "{}", answer.text);
        let closed = answer.headers.get("connection").is_some_and(|value| value == "close");
        ensure!(closed, "{:?}", answer.headers);
        Ok(())
    })
    .await
}

#[tokio::test]
async fn every_process_exits_with_zero() -> anyhow::Result<()> {
    let stack = own_stack().await?;
    for part in Part::SIDECARS.into_iter().chain([Part::Kernel]) {
        let process = stack.process(part)?;
        process.terminate()?;
        assert_eq!(process.wait().await?.code(), Some(0), "{part:?}: {}", process.last_lines(5));
    }
    Ok(())
}
