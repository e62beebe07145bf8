//! A sidecar that is killed takes nothing else along, and no call that comes later is lost.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU32, Ordering},
    },
    time::Instant,
};

use anyhow::ensure;
use serde_json::json;
use tentacular_contract::limits::SIDECAR_PATIENCE;
use tentacular_test_harness::{Part, mcp::Era, until};
use tokio::net::UnixStream;

use crate::support::{apply_word_count, own_enclave, own_stack, until_in_flight};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sidecar_killed_and_restarted_loses_no_later_call() -> anyhow::Result<()> {
    let stack = Arc::new(own_stack().await?);
    let mcp = stack.client(Era::Stateless).await?;
    let name = own_enclave(&mcp, "restart").await?;
    let stop = Arc::new(AtomicBool::new(false));
    let (calls, refused) = (Arc::new(AtomicU32::new(0)), Arc::new(AtomicU32::new(0)));
    let stream = {
        let (stack, stop, name) = (Arc::clone(&stack), Arc::clone(&stop), name.clone());
        let (calls, refused) = (Arc::clone(&calls), Arc::clone(&refused));
        tokio::spawn(async move {
            let raw = stack.raw();
            while !stop.load(Ordering::Relaxed) {
                let answer = raw.call("wf_list", &json!({ "enclave": name })).await?;
                if answer.text.contains("the auditor is not available right now") {
                    refused.fetch_add(1, Ordering::Relaxed);
                    continue;
                }
                ensure!(answer.json()["result"]["isError"] == false, "call {calls:?}: {}", answer.text);
                calls.fetch_add(1, Ordering::Relaxed);
            }
            anyhow::Ok(())
        })
    };
    for _ in 0..3 {
        let before = calls.load(Ordering::Relaxed);
        let killed = Instant::now();
        stack.kill(Part::Auditor).await?;
        stack.restart(Part::Auditor)?;
        let socket = stack.run_dir().join("auditor.sock");
        until("the auditor is back", async || Ok(UnixStream::connect(&socket).await?)).await?;
        let away = killed.elapsed();
        until("calls go on", async || {
            ensure!(calls.load(Ordering::Relaxed) >= before + 20 || stream.is_finished());
            Ok(())
        })
        .await?;
        // On a slow machine it may be away for longer than a call waits for it.
        let refused = refused.swap(0, Ordering::Relaxed);
        ensure!(
            refused == 0 || away > SIDECAR_PATIENCE,
            "{refused} calls were refused while it was away for {away:?}"
        );
    }
    stop.store(true, Ordering::Relaxed);
    stream.await??;
    Ok(())
}

/// As when its container alone is restarted. That it is away is no loss: then nothing was sent.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sidecar_that_is_told_to_end_answers_every_call_that_reached_it() -> anyhow::Result<()> {
    let stack = Arc::new(own_stack().await?);
    let mcp = stack.client(Era::Stateless).await?;
    let name = own_enclave(&mcp, "told").await?;
    let (stop, answered) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU32::new(0)));
    let callers: Vec<_> = (0..4)
        .map(|_| {
            let (stack, stop, answered) = (Arc::clone(&stack), Arc::clone(&stop), Arc::clone(&answered));
            let arguments = json!({ "name": name, "new_mode": "rwxrwx---" });
            tokio::spawn(async move {
                let raw = stack.raw();
                while !stop.load(Ordering::Relaxed) {
                    let answer = raw.call("enclave_sync", &arguments).await?;
                    let error = answer.tool_error();
                    ensure!(error.is_empty() || error.contains("the registrar is not available"), "{}", answer.text);
                    answered.fetch_add(u32::from(error.is_empty()), Ordering::Relaxed);
                }
                anyhow::Ok(())
            })
        })
        .collect();
    for _ in 0..10 {
        let before = answered.load(Ordering::Relaxed);
        until("calls are answered", async || {
            let ended = callers.iter().any(tokio::task::JoinHandle::is_finished);
            ensure!(ended || answered.load(Ordering::Relaxed) >= before + 20);
            Ok(())
        })
        .await?;
        let registrar = stack.process(Part::Registrar)?;
        registrar.terminate()?;
        registrar.wait().await?;
        stack.restart(Part::Registrar)?;
    }
    stop.store(true, Ordering::Relaxed);
    for caller in callers {
        caller.await??;
    }
    Ok(())
}

#[tokio::test]
async fn other_parts_work_while_one_is_away() -> anyhow::Result<()> {
    let stack = own_stack().await?;
    let mcp = stack.client(Era::Stateless).await?;
    let name = own_enclave(&mcp, "away").await?;
    let before = stack.raw().tools().await?;
    stack.kill(Part::Registrar).await?;
    mcp.call("wf_list", json!({ "enclave": name })).await?;
    assert_eq!(stack.raw().tools().await?, before, "a crash unlists nothing");
    let refusal = mcp.refusal("enclave_info", json!({ "name": name })).await?;
    assert!(refusal.contains("registrar is not available"), "{refusal}");
    stack.restart(Part::Registrar)?;
    until("the registrar is back", async || mcp.call("enclave_info", json!({ "name": name })).await).await?;
    Ok(())
}

#[tokio::test]
async fn a_write_that_was_begun_is_not_sent_again() -> anyhow::Result<()> {
    let stack = own_stack().await?;
    let mcp = stack.client(Era::Stateless).await?;
    let name = own_enclave(&mcp, "once").await?;
    apply_word_count(&mcp, &name).await?;
    let raw = stack.raw();
    let arguments = json!({ "enclave": name, "name": "word-count", "input": { "sleep_ms": 60_000 } });
    let call = tokio::spawn(async move { raw.call("wf_run", &arguments).await });
    until_in_flight(&mcp, &name).await?;
    stack.kill(Part::Scheduler).await?;
    stack.restart(Part::Scheduler)?;
    let answer = call.await??;
    assert!(answer.tool_error().contains("may have had effect"), "{}", answer.text);
    Ok(())
}
