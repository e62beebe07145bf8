//! Two registrars in one cluster, asked by many at once: one call's writes never mix with another's, and every answer is
//! true.

use std::collections::BTreeMap;

use anyhow::{Context as _, bail, ensure};
use futures::future::try_join_all;
use serde_json::{Value, json};

use super::{
    history::{History, Revision, Settled, State, now},
    lane::Lane,
    live::Live,
    release::six,
};

/// Calls at the same time, over both registrars.
const CALLS: usize = 50;

/// A call that succeeded: what it brought about, between which revisions, and what it said.
struct Said {
    tentacle: String,
    state: State,
    between: (Revision, Revision),
    answer: Value,
}

/// What a call says that did not get its turn in time. As the others take as long as the machine needs, it is made again.
const NOT_ITS_TURN: &str = "nothing was changed: another call is at work on ";

/// Every third call removes; each other one applies a version of its own.
async fn call(lane: &Lane, place: (&Live, &str), number: usize, tentacles: usize) -> anyhow::Result<Said> {
    let (live, enclave) = place;
    let tentacle = format!("many-{}", number % tentacles);
    let mut arguments = json!({ "enclave": enclave, "name": tentacle });
    let (state, tool) = if number % 3 == 2 {
        (State::Gone, "wf_remove")
    } else {
        arguments["manifests"] = json!(six(&tentacle, number, 0));
        (State::Version(number), "wf_apply")
    };
    loop {
        let begun = now(live, enclave).await?;
        match lane.mcp.call(tool, arguments.clone()).await {
            Err(error) if error.to_string().starts_with(NOT_ITS_TURN) => {}
            answer => {
                let answer = answer.with_context(|| format!("call {number}"))?;
                return Ok(Said { tentacle, state, between: (begun, now(live, enclave).await?), answer });
            }
        }
    }
}

/// Asks both registrars for all at once, and holds what they say against what was written.
async fn many_at_once(tentacles: usize) -> anyhow::Result<()> {
    let one = Lane::new("one", 1).await?;
    let other = one.another().await?;
    let (live, enclave) = (&one.live, one.enclave(0));
    let history = History::begin(live, enclave).await?;
    let calls = (0..CALLS).map(|number| {
        // The calls about one tentacle go to both in turn.
        let lane = if (number / tentacles).is_multiple_of(2) { &one } else { &other };
        call(lane, (live, enclave), number, tentacles)
    });
    let said = try_join_all(calls).await?;
    let states = history.end().await?;
    for said in &said {
        is_true(said, &states)?;
    }
    for tentacle in states.keys() {
        ensure!(live.lease(enclave, tentacle).await?.is_none(), "{tentacle} is still locked");
    }
    one.beside_is_untouched().await
}

fn is_true(said: &Said, states: &BTreeMap<String, Vec<Settled>>) -> anyhow::Result<()> {
    let Said { tentacle, state, between: (begun, answered), answer } = said;
    let never = [Settled { state: State::Gone, from: 0, until: None }];
    let states = states.get(tentacle).map_or(&never[..], Vec::as_slice);
    let then = |settled: &Settled| {
        settled.state == *state && settled.from <= *answered && settled.until.is_none_or(|until| until > *begun)
    };
    let Some(index) = states.iter().position(then) else {
        bail!(
            "{tentacle} was never {state:?} between {begun} and {answered}, and the answer was {answer}: {states:?}"
        )
    };
    if matches!(state, State::Version(_)) {
        let before = states[index.checked_sub(1).context("it begins with nothing")?].state;
        let should = if before == State::Gone { "created" } else { "updated" };
        ensure!(
            answer["status"] == should,
            "{tentacle} went from {before:?} to {state:?}, and the answer was {answer}"
        );
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn e2e_faults_two_registrars_never_mix_calls_about_one_tentacle() -> anyhow::Result<()> {
    many_at_once(1).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn e2e_faults_two_registrars_never_mix_calls_about_twenty_tentacles() -> anyhow::Result<()> {
    many_at_once(20).await
}
