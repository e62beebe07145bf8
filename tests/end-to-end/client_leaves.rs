//! A client that leaves ends a read of the stateless era, and nothing else: without sessions a lost connection may be
//! anything in the older eras, and a write that was begun cannot be cancelled.

use std::time::Duration;

use anyhow::{Context as _, ensure};
use futures::StreamExt as _;
use k8s_openapi::api::core::v1::Namespace;
use kube::api::Api;
use serde_json::{Value, json};
use tentacular_test_harness::{
    eventually,
    mcp::{Era, Raw},
    until,
};
use tokio::task::JoinHandle;

use crate::{
    hand_made::{Call, Calls, HandMade, read_only, tool},
    support::{apply_word_count, client, enclave, guests, stack, unique, until_in_flight, until_listed},
    wire::{ERAS, Message, over_http2},
};

/// More than the kernel and the sockets between keep.
const MUCH: usize = 8 << 20;
/// Only a hang reaches it.
const PATIENCE: Duration = Duration::from_mins(3);

/// A call under way, up to where its client leaves: before the answer, or amid its events.
async fn under_way(raw: &Raw, calls: &mut Calls, message: &Message, amid: bool) -> anyhow::Result<(Call, Client)> {
    let (heard, first) = tokio::sync::oneshot::channel();
    let request = message.to(raw);
    let client = Client(tokio::spawn(async move {
        let mut events = request.send().await?.bytes_stream();
        let event = events.next().await;
        let _ = heard.send(());
        drop(event);
        while events.next().await.is_some() {}
        Ok(())
    }));
    let mut call = calls.next().await?;
    if amid {
        call.begin_stream().await?;
        call.piece(b": working\n\n").await?;
        first.await.context("the client heard nothing")?;
    }
    Ok((call, client))
}

/// A client that waits for its answer.
struct Client(JoinHandle<reqwest::Result<()>>);

impl Client {
    /// Gives up, which closes its connection.
    async fn leave(self) {
        self.0.abort();
        let _ = self.0.await;
    }
}

#[tokio::test]
async fn a_stateless_read_ends_with_its_client_and_nothing_else_does() -> anyhow::Result<()> {
    let stack = guests().await?;
    let (_sidecar, mut calls) =
        HandMade::held(&stack.run_dir(), "left", [read_only("left_read"), tool("left_write")])?;
    until_listed(stack, "left_read", true).await?;
    for amid in [false, true] {
        let mut go_on = Vec::new();
        for (era, name) in
            [(Era::Stateless, "left_write"), (Era::Handshake, "left_read"), (Era::Handshake, "left_write")]
        {
            let message = Message::call(era, name, &json!({}));
            let (call, client) = under_way(&stack.raw(), &mut calls, &message, amid).await?;
            client.leave().await;
            go_on.push((era, name, call));
        }
        let message = Message::call(Era::Stateless, "left_read", &json!({}));
        let (mut read, client) = under_way(&stack.raw(), &mut calls, &message, amid).await?;
        client.leave().await;
        read.closed().await?;
        // The others left before, and are read to their end.
        for (era, name, mut call) in go_on {
            if !amid {
                call.begin_stream().await?;
            }
            let end = async {
                call.piece(&vec![b'\n'; MUCH]).await?;
                call.end_stream().await
            };
            tokio::time::timeout(PATIENCE, end)
                .await
                .with_context(|| format!("{era:?} {name}: the answer is not read"))?
                .with_context(|| format!("{era:?} {name} was cancelled"))?;
        }
    }
    Ok(())
}

#[tokio::test]
async fn a_read_ends_alone_where_a_connection_carries_several_calls() -> anyhow::Result<()> {
    let stack = guests().await?;
    let (_sidecar, mut calls) =
        HandMade::held(&stack.run_dir(), "shared-connection", [read_only("one_read"), read_only("other_read")])?;
    until_listed(stack, "one_read", true).await?;
    let raw = over_http2(stack.raw())?;
    let other = tokio::spawn(Message::call(Era::Stateless, "other_read", &json!({})).to(&raw).send());
    let stays = calls.next().await?;
    let message = Message::call(Era::Stateless, "one_read", &json!({}));
    let (mut read, client) = under_way(&raw, &mut calls, &message, false).await?;
    client.leave().await;
    read.closed().await?;
    stays.content(&json!({ "still": "here" })).await?;
    let answer: Value = other.await??.json().await?;
    assert_eq!(answer["result"]["structuredContent"]["still"], "here", "{answer}");
    Ok(())
}

#[tokio::test]
async fn a_notification_of_cancellation_is_accepted_and_cancels_nothing() -> anyhow::Result<()> {
    let stack = guests().await?;
    let (_sidecar, mut calls) = HandMade::held(&stack.run_dir(), "notified", [read_only("notified_read")])?;
    until_listed(stack, "notified_read", true).await?;
    let raw = stack.raw();
    for era in ERAS {
        let waiting = tokio::spawn(Message::call(era, "notified_read", &json!({})).to(&raw).send());
        let call = calls.next().await?;
        let body = json!({ "jsonrpc": "2.0", "method": "notifications/cancelled", "params": { "requestId": 1 } });
        let accepted = Message::written(era, "notifications/cancelled", None, body.to_string()).post(&raw).await?;
        assert_eq!((accepted.status, accepted.text.as_str()), (202, ""));
        call.content(&json!({ "went": "on" })).await?;
        let answer: Value = waiting.await??.json().await?;
        assert_eq!(answer["result"]["structuredContent"]["went"], "on", "{era:?}: {answer}");
    }
    Ok(())
}

#[tokio::test]
async fn a_run_goes_on_when_its_client_has_left() -> anyhow::Result<()> {
    let (stack, mcp) = (stack().await?, client().await?);
    let name = enclave(&mcp, "left-run").await?;
    apply_word_count(&mcp, &name).await?;
    for (era, runs) in ERAS.into_iter().zip(1..) {
        let arguments = json!({ "enclave": name, "name": "word-count", "input": { "sleep_ms": 10_000 } });
        let client = Client(tokio::spawn({
            let request = Message::call(era, "wf_run", &arguments).to(&stack.raw());
            async move { request.send().await.map(drop) }
        }));
        until_in_flight(&mcp, &name).await?;
        client.leave().await;
        // The engine counts a run that is broken off as neither done nor failed.
        until("the run has ended", async || {
            let place = json!({ "enclave": name, "name": "word-count", "detail": true });
            let health = mcp.call("wf_health", place).await?;
            let detail: Value = serde_json::from_str(health["detail"].as_str().unwrap_or_default())?;
            assert!(detail["inFlight"] == 1 || detail["totalEvents"] == runs, "{era:?}: broken off: {detail}");
            ensure!(detail["totalEvents"] == runs, "{detail}");
            Ok(())
        })
        .await?;
    }
    Ok(())
}

#[tokio::test]
async fn an_enclave_is_finished_when_its_client_has_left() -> anyhow::Result<()> {
    let stack = stack().await?;
    let namespaces: Api<Namespace> = Api::all(stack.installation().control_plane().admin()?);
    let status = |namespace: Option<&Namespace>| {
        let annotations = namespace?.metadata.annotations.as_ref()?;
        annotations.get("tentacular.io/enclave-status").cloned()
    };
    for era in ERAS {
        // Where the registrar is faster than the one who leaves, another try is.
        for _ in 0..10 {
            let name = unique("left-half-way");
            let arguments = json!({ "name": name, "owner_email": "ann@example.com" });
            let request = Message::call(era, "enclave_provision", &arguments).to(&stack.raw());
            let client = Client(tokio::spawn(async move { request.send().await.map(drop) }));
            let seen = eventually(&namespaces, &name, |namespace: Option<&Namespace>| namespace.is_some()).await?;
            client.leave().await;
            eventually(&namespaces, &name, |namespace: Option<&Namespace>| {
                status(namespace).as_deref() == Some("active")
            })
            .await?;
            if status(seen.as_ref()).as_deref() == Some("provisioning") {
                break;
            }
        }
    }
    Ok(())
}
