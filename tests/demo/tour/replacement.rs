//! A sidecar that is replaced while clients call it, and loses none of their calls.

use std::{
    cell::{Cell, RefCell},
    time::{Duration, Instant},
};

use anyhow::{bail, ensure};
use futures::future::{join, join_all};
use serde_json::{Value, json};
use tentacular_test_harness::{Part, mcp::Raw};
use tokio::time::sleep;

use crate::{
    story::Story,
    tentacle,
    world::{self, PATIENCE, World},
};

/// Clients that call without a pause. Each run is noted in the one ledger of its tentacle, for which more would queue.
const CLIENTS: usize = 2;
/// Calls that are made before, with both processes there, and with the new one alone.
const CALLS: u32 = 40;

/// What became of the calls so far.
#[derive(Default)]
struct Tally {
    calls: Cell<u32>,
    failures: RefCell<Vec<String>>,
    longest: Cell<Duration>,
    over: Cell<bool>,
}

pub(super) async fn show(story: &mut Story, world: &World) -> anyhow::Result<()> {
    let tally = Tally::default();
    let token = world.token(world::OWNER);
    let clients = (0..CLIENTS).map(|_| call(&tally, world.stack.raw_as(&token)));
    let replaced = async {
        let replaced = replace(&tally, world).await;
        tally.over.set(true);
        replaced
    };
    let (_, replaced) = join(join_all(clients), replaced).await;
    replaced?;
    let failures = tally.failures.take();
    if let Some(first) = failures.first() {
        bail!(
            "{} of {} calls failed while the scheduler was replaced, first: {first}",
            failures.len(),
            tally.calls.get()
        );
    }
    story.step(&format!(
        "the scheduler is replaced while {CLIENTS} clients call wf_run: {} calls, 0 failed, the longest took {} ms",
        tally.calls.get(),
        tally.longest.get().as_millis()
    ));
    Ok(())
}

/// Calls again and again. No run may be made twice, so the kernel repeats none of these calls.
async fn call(tally: &Tally, raw: Raw) {
    let mut arguments = tentacle::place();
    arguments["input"] = json!({ "text": "once and once only" });
    while !tally.over.get() {
        let begun = Instant::now();
        let failure = match raw.call("wf_run", &arguments).await {
            Ok(answer) if answer.json()["result"]["structuredContent"]["success"] == true => None,
            Ok(answer) => Some(format!("HTTP {}: {}", answer.status, answer.text)),
            Err(error) => Some(format!("{error:#}")),
        };
        tally.failures.borrow_mut().extend(failure);
        tally.calls.set(tally.calls.get() + 1);
        tally.longest.set(tally.longest.get().max(begun.elapsed()));
    }
}

/// As an upgrade does it: another scheduler joins, then the one of before finishes what it runs and ends.
async fn replace(tally: &Tally, world: &World) -> anyhow::Result<()> {
    more_calls(tally).await?;
    let old = world.stack.process(Part::Scheduler)?;
    let joined = times_joined(world)?;
    world.stack.restart(Part::Scheduler)?;
    let until = Instant::now() + PATIENCE;
    while times_joined(world)? == joined {
        ensure!(Instant::now() < until, "the kernel does not take the new scheduler");
        sleep(Duration::from_millis(50)).await;
    }
    more_calls(tally).await?;
    old.terminate()?;
    ensure!(old.wait().await?.success(), "the scheduler did not end well: {}", old.last_lines(5));
    more_calls(tally).await
}

/// How often the kernel has taken a scheduler's socket, by its log.
fn times_joined(world: &World) -> anyhow::Result<usize> {
    let log = world.stack.process(Part::Kernel)?.log();
    let lines = log.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    Ok(lines.filter(|line| line["message"] == "joined" && line["sidecar"] == Part::Scheduler.name()).count())
}

async fn more_calls(tally: &Tally) -> anyhow::Result<()> {
    let (until, wanted) = (Instant::now() + PATIENCE, tally.calls.get() + CALLS);
    while tally.calls.get() < wanted {
        ensure!(Instant::now() < until, "calls stand still: {:?}", tally.failures.borrow());
        sleep(Duration::from_millis(10)).await;
    }
    Ok(())
}
