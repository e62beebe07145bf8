//! A sidecar that is killed takes nothing else along, and no call that comes later is lost.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU32, Ordering},
    },
    time::{Duration, Instant},
};

use anyhow::ensure;
use serde_json::json;
use tentacular_test_harness::{Part, mcp::Era};

use crate::support::{apply_word_count, enclave, own_stack};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sidecar_killed_and_restarted_loses_no_later_call() -> anyhow::Result<()> {
    let stack = Arc::new(own_stack().await?);
    let mcp = stack.client(Era::Stateless).await?;
    let name = enclave(&mcp, "restart").await?;
    let stop = Arc::new(AtomicBool::new(false));
    let calls = Arc::new(AtomicU32::new(0));
    let stream = {
        let (stack, stop, calls, name) = (Arc::clone(&stack), Arc::clone(&stop), Arc::clone(&calls), name.clone());
        tokio::spawn(async move {
            let raw = stack.raw();
            while !stop.load(Ordering::Relaxed) {
                let answer = raw.call("wf_list", &json!({ "enclave": name })).await?;
                ensure!(answer.json()["result"]["isError"] == false, "call {calls:?}: {}", answer.text);
                calls.fetch_add(1, Ordering::Relaxed);
            }
            anyhow::Ok(())
        })
    };
    for _ in 0..3 {
        let before = calls.load(Ordering::Relaxed);
        stack.kill(Part::Auditor).await?;
        stack.restart(Part::Auditor)?;
        let until = Instant::now() + Duration::from_secs(20);
        while calls.load(Ordering::Relaxed) < before + 20 && !stream.is_finished() {
            ensure!(Instant::now() < until, "calls stand still after {before}");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
    stop.store(true, Ordering::Relaxed);
    stream.await??;
    Ok(())
}

#[tokio::test]
async fn other_parts_work_while_one_is_away() -> anyhow::Result<()> {
    let stack = own_stack().await?;
    let mcp = stack.client(Era::Stateless).await?;
    let name = enclave(&mcp, "away").await?;
    let before = stack.raw().tools().await?;
    stack.kill(Part::Registrar).await?;
    mcp.call("wf_list", json!({ "enclave": name })).await?;
    assert_eq!(stack.raw().tools().await?, before, "a crash unlists nothing");
    let refusal = mcp.refusal("enclave_info", json!({ "name": name })).await?;
    assert!(refusal.contains("registrar is not available"), "{refusal}");
    stack.restart(Part::Registrar)?;
    mcp.call("enclave_info", json!({ "name": name })).await?;
    Ok(())
}

#[tokio::test]
async fn a_write_that_was_begun_is_not_sent_again() -> anyhow::Result<()> {
    let stack = own_stack().await?;
    let mcp = stack.client(Era::Stateless).await?;
    let name = enclave(&mcp, "once").await?;
    apply_word_count(&mcp, &name).await?;
    let raw = stack.raw();
    let arguments = json!({ "enclave": name, "name": "word-count", "input": { "sleep_ms": 20_000 } });
    let call = tokio::spawn(async move { raw.call("wf_run", &arguments).await });
    let engine = stack.process(Part::Engine)?;
    let until = Instant::now() + Duration::from_secs(20);
    let in_flight = async || -> anyhow::Result<bool> {
        let health = mcp.call("wf_health", json!({ "enclave": name, "name": "word-count" })).await?;
        Ok(health["reason"].to_string().contains("in flight"))
    };
    while !in_flight().await? {
        ensure!(Instant::now() < until, "the run did not start: {}", engine.log());
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    stack.kill(Part::Scheduler).await?;
    stack.restart(Part::Scheduler)?;
    let answer = call.await??;
    assert!(answer.tool_error().contains("may have had effect"), "{}", answer.text);
    Ok(())
}
