//! One caller, or one sidecar, does not take the kernel away from the others.

use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use futures::{
    StreamExt as _,
    future::{join_all, select_all},
    stream::{self, FuturesUnordered},
};
use reqwest::{Body, Response};
use serde_json::json;
use tentacular_test_harness::{
    Stack,
    mcp::{Answer, Era, Raw},
    until,
};
use tokio::{sync::Semaphore, task::JoinHandle};

use crate::{
    hand_made::{Call, Calls, HandMade, tool, within},
    support::{guests, person, until_listed},
    wire::{Message, over_http2},
};

/// Calls of one caller that run at once, and calls in one sidecar.
const OF_A_CALLER: usize = 64;
const IN_A_SIDECAR: usize = 128;
/// Requests of one caller whose bodies may be on their way.
const ON_THEIR_WAY: usize = 256;
/// How long a body may take.
const BODY_TIME: Duration = Duration::from_mins(1);
/// Only a hang reaches it.
const PATIENCE: Duration = Duration::from_mins(3);

/// A sidecar whose calls wait for the test, and one that answers at once.
async fn sidecars(silent: &str, quick: &str) -> anyhow::Result<(&'static Stack, HandMade, Calls, HandMade)> {
    let stack = guests().await?;
    let (held, calls) = HandMade::held(&stack.run_dir(), silent, [within(tool(silent), 600)])?;
    let answers =
        HandMade::listen(&stack.run_dir(), quick, [tool(quick)], |call| async { call.content(&json!({})).await })?;
    until_listed(stack, silent, true).await?;
    until_listed(stack, quick, true).await?;
    Ok((stack, held, calls, answers))
}

type Waiting = JoinHandle<anyhow::Result<Answer>>;

fn begin(raw: &Raw, tool: &str) -> Waiting {
    let (message, raw) = (Message::call(Era::Stateless, tool, &json!({})), raw.clone());
    tokio::spawn(async move { message.post(&raw).await })
}

/// As many calls as one caller may have.
async fn begin_all(raw: &Raw, tool: &str, calls: &mut Calls) -> anyhow::Result<(Vec<Waiting>, Vec<Call>)> {
    let waiting = (0..OF_A_CALLER).map(|_| begin(raw, tool)).collect();
    let mut held = Vec::new();
    while held.len() < OF_A_CALLER {
        held.push(calls.next().await?);
    }
    Ok((waiting, held))
}

async fn call(raw: &Raw, tool: &str) -> anyhow::Result<Answer> {
    let message = Message::call(Era::Stateless, tool, &json!({}));
    tokio::time::timeout(PATIENCE, message.post(raw)).await.with_context(|| format!("{tool} hangs"))?
}

#[tokio::test]
async fn a_caller_has_as_many_calls_as_the_limit_and_others_have_theirs() -> anyhow::Result<()> {
    let (stack, _silent, mut calls, _quick) = sidecars("limit_silent", "limit_quick").await?;
    let (busy, other) = (person(stack, "limit-busy").await?, person(stack, "limit-other").await?);
    let (waiting, mut held) = begin_all(&busy, "limit_silent", &mut calls).await?;

    // A new token is the same caller.
    let again = person(stack, "limit-busy").await?;
    for raw in [&busy, &again] {
        for tool in ["limit_silent", "limit_quick"] {
            let refused = call(raw, tool).await?;
            assert_eq!(refused.status, 200, "{}", refused.text);
            assert!(refused.tool_error().contains("64 calls of yours are running"), "{}", refused.text);
        }
    }
    let list = Message::new(Era::Stateless, "tools/list", json!({})).post(&busy).await?;
    assert_eq!(list.status, 200, "what the kernel answers itself takes no place: {}", list.text);
    for raw in [&other, &stack.raw()] {
        let answer = call(raw, "limit_quick").await?;
        assert_eq!(answer.json()["result"]["isError"], false, "another caller is served: {}", answer.text);
    }

    held.pop().context("a call")?.content(&json!({})).await?;
    let (answered, ..) = select_all(waiting).await;
    let answered = answered??;
    assert_eq!(answered.json()["result"]["isError"], false, "{}", answered.text);
    // The place is free when the answer was passed on, which its reader may be a little ahead of.
    until("the place is free", async || {
        let answer = call(&busy, "limit_quick").await?;
        ensure!(answer.json()["result"]["isError"] == false, "{}", answer.text);
        Ok(())
    })
    .await
}

#[tokio::test]
async fn a_sidecar_that_answers_nothing_slows_no_other() -> anyhow::Result<()> {
    let (stack, _silent, mut calls, _quick) = sidecars("stuck_silent", "stuck_quick").await?;
    let (hung, other) = (person(stack, "stuck-caller").await?, person(stack, "stuck-other").await?);
    let hundred = async || -> anyhow::Result<u128> {
        let begun = Instant::now();
        for _ in 0..100 {
            let answer = call(&other, "stuck_quick").await?;
            assert_eq!(answer.json()["result"]["isError"], false, "{}", answer.text);
        }
        Ok(begun.elapsed().as_millis())
    };
    let before = hundred().await?;
    let (_waiting, _held) = begin_all(&hung, "stuck_silent", &mut calls).await?;
    let beside = hundred().await?;
    println!("100 calls one after another: {before} ms alone, {beside} ms beside a sidecar with 64 calls that hang");
    Ok(())
}

#[tokio::test]
async fn a_sidecar_that_is_full_says_so_and_takes_nothing_from_others() -> anyhow::Result<()> {
    let (stack, _silent, mut calls, _quick) = sidecars("full_silent", "full_quick").await?;
    let mut all = Vec::new();
    for name in ["full-one", "full-two"] {
        all.push(begin_all(&person(stack, name).await?, "full_silent", &mut calls).await?);
    }
    assert_eq!(all.iter().map(|(_, held)| held.len()).sum::<usize>(), IN_A_SIDECAR);
    let third = person(stack, "full-three").await?;
    let refused = call(&third, "full_silent").await?;
    assert!(refused.tool_error().contains("busy"), "{}", refused.text);
    let answer = call(&third, "full_quick").await?;
    assert_eq!(answer.json()["result"]["isError"], false, "{}", answer.text);

    // Whoever waits gets the place of a call that ends.
    let waiting = begin(&third, "full_silent");
    all[0].1.pop().context("a call")?.content(&json!({})).await?;
    calls.next().await?.content(&json!({ "got": "in" })).await?;
    let answer = waiting.await??;
    assert_eq!(answer.json()["result"]["structuredContent"]["got"], "in", "{}", answer.text);
    Ok(())
}

/// Begins a message with this much of its body, of which the rest never comes.
async fn send_a_part(raw: &Raw, size: usize, sent: &'static Semaphore) -> reqwest::Result<Response> {
    let pieces = stream::iter([vec![b' '; size]]).chain(stream::once(async {
        sent.add_permits(1);
        std::future::pending().await
    }));
    let body = Body::wrap_stream(pieces.map(Ok::<_, std::io::Error>));
    Message::new(Era::Stateless, "tools/list", json!({})).to(raw).body(body).send().await
}

#[tokio::test]
async fn a_caller_has_as_many_bodies_on_their_way_as_the_limit_and_no_more() -> anyhow::Result<()> {
    static SENT: Semaphore = Semaphore::const_new(0);
    const MORE: usize = 50;
    let stack = guests().await?;
    let (slow, other) = (person(stack, "slow-sender").await?, person(stack, "slow-other").await?);
    let connections = [over_http2(slow.clone())?, over_http2(slow.clone())?];
    let each = (ON_THEIR_WAY + MORE) / connections.len();
    let all = connections.iter().flat_map(|raw| (0..each).map(|_| send_a_part(raw, 100, &SENT)));
    let mut all: FuturesUnordered<_> = all.collect();
    for _ in 0..MORE {
        let refused = tokio::time::timeout(BODY_TIME / 2, all.next()).await?.context("an answer")??;
        assert_eq!(refused.status(), 429);
        let text = refused.text().await?;
        assert!(text.contains("the bodies of 256 requests of yours"), "{text}");
    }
    let list = Message::new(Era::Stateless, "tools/list", json!({}));
    assert_eq!(list.post(&slow).await?.status, 429, "all others are on their way");
    assert_eq!(list.post(&other).await?.status, 200);
    drop(all);
    until("there is room again", async || {
        let answer = list.post(&slow).await?;
        ensure!(answer.status == 200, "HTTP {}: {}", answer.status, answer.text);
        Ok(())
    })
    .await
}

#[tokio::test]
async fn all_requests_that_a_connection_may_have_come_at_once_and_are_answered() -> anyhow::Result<()> {
    let stack = guests().await?;
    let raw = over_http2(person(stack, "many-at-once").await?)?;
    let list = Message::new(Era::Stateless, "tools/list", json!({}));
    for answer in join_all((0..ON_THEIR_WAY).map(|_| list.post(&raw))).await {
        let answer = answer?;
        assert_eq!(answer.status, 200, "{}", answer.text);
    }
    Ok(())
}

#[tokio::test]
async fn large_bodies_that_never_end_keep_those_of_their_sender_waiting_and_nobody_elses() -> anyhow::Result<()> {
    static SENT: Semaphore = Semaphore::const_new(0);
    const STOPPED: u32 = 40;
    let (stack, _silent, _calls, _quick) = sidecars("large_silent", "large_quick").await?;
    let (slow, other) = (person(stack, "large-sender").await?, person(stack, "large-other").await?);
    let stopped: Vec<_> = (0..STOPPED)
        .map(|_| {
            let slow = slow.clone();
            tokio::spawn(async move { send_a_part(&slow, 65 * 1024, &SENT).await })
        })
        .collect();
    SENT.acquire_many(STOPPED).await?.forget();
    let call = Message::call(Era::Stateless, "large_quick", &json!({ "filler": "x".repeat(100 * 1024) }));
    until("the sender's places are taken", async || {
        let answered = tokio::time::timeout(Duration::from_secs(1), call.post(&slow)).await;
        ensure!(answered.is_err(), "there is one left: {answered:?}");
        Ok(())
    })
    .await?;
    let begun = Instant::now();
    let answer = call.post(&other).await?;
    assert_eq!(answer.json()["result"]["isError"], false, "{}", answer.text);
    assert!(begun.elapsed() < BODY_TIME / 2, "it waited for the others: {:?}", begun.elapsed());
    let answer = Message::call(Era::Stateless, "large_quick", &json!({})).post(&slow).await?;
    assert_eq!(answer.json()["result"]["isError"], false, "a small one has its place: {}", answer.text);
    stopped.iter().for_each(JoinHandle::abort);
    Ok(())
}
