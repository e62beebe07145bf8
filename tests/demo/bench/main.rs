//! Measures, prints one table, and writes docs/performance.md; never fails on a figure. Medians of several runs, as machines
//! are noisy; where two things are compared, the ratio is of runs that alternate.

mod admission;
mod applies;
mod backing;
mod bare;
mod changes;
mod floor;
mod forwarding;
mod lists;
mod load;
mod memory;
mod report;
mod schedules;
mod start;
mod throughput;

use std::{net::SocketAddr, process::ExitCode, sync::Arc};

use anyhow::Context as _;
use clap::{Parser, ValueEnum};
use tentacular_demo::say;
use tentacular_test_harness::{Installation, Provider, Stack, stack::Options};

use self::report::Report;

/// Measures tentacular-mcp.
#[derive(Debug, Parser)]
struct Args {
    /// Measure only this.
    #[arg(long)]
    only: Option<Measure>,
    /// Be a server that others are compared with.
    #[arg(long, hide = true)]
    serve: Option<Server>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Server {
    Bare,
    Floor,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Measure {
    /// From the start of the kernel to its first answer.
    Start,
    /// What the webhook adds to a write, and its memory.
    Admission,
    /// Resident memory of processes that do nothing.
    Memory,
    /// The way through the kernel.
    Forwarding,
    /// Calls a second.
    Load,
    /// The kernel's memory after clients that never come back.
    Abandoned,
    /// The time until a change of owner or mode is effective.
    Changes,
    /// What an apply costs, against the least that it can be.
    Applies,
    /// Lists of many tentacles, and what the auditor needs to keep these in mind.
    Lists,
    /// Many tentacles that are due in the same minute.
    Schedules,
    /// Tentacles that are given shares of backing services.
    Backing,
}

#[tokio::main]
async fn main() -> ExitCode {
    let args = Args::parse();
    let ended = match args.serve {
        Some(Server::Bare) => bare::serve().await,
        Some(Server::Floor) => floor::serve().await,
        None => run(args.only).await,
    };
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            say(&format!("cannot measure: {error:#}"));
            ExitCode::FAILURE
        }
    }
}

async fn run(only: Option<Measure>) -> anyhow::Result<()> {
    if cfg!(debug_assertions) {
        say("note: this is a debug build; `make bench` measures what is shipped");
    }
    let mut report = Report::default();
    let wanted = |measure| only.is_none_or(|only| only == measure);
    let installation = Installation::start().await?;
    if wanted(Measure::Start) {
        start::measure(&installation, &mut report).await?;
    }
    if wanted(Measure::Admission) {
        admission::measure(&installation, &mut report).await?;
    }
    let provider = Provider::start()?;
    let options = Options { kernel_args: provider.kernel_args(), ..Options::default() };
    let stack = Stack::start_with(Arc::clone(&installation), options).await?;
    if wanted(Measure::Memory) {
        memory::idle(&stack, &mut report).await?;
    }
    if wanted(Measure::Forwarding) {
        forwarding::measure(&stack, &mut report).await?;
    }
    if wanted(Measure::Load) {
        throughput::measure(&stack, &provider, &mut report).await?;
    }
    if wanted(Measure::Abandoned) {
        memory::abandoned(&stack, &mut report).await?;
    }
    if wanted(Measure::Changes) {
        changes::measure(&stack, &provider, &mut report).await?;
    }
    if wanted(Measure::Applies) {
        applies::measure(&stack, &mut report).await?;
    }
    if wanted(Measure::Schedules) {
        schedules::measure(&stack, &mut report).await?;
    }
    drop(stack);
    if wanted(Measure::Backing) {
        backing::measure(Arc::clone(&installation), &mut report).await?;
    }
    if wanted(Measure::Lists) {
        lists::measure(&mut report).await?;
    }
    report.tell();
    if only.is_none() && !cfg!(debug_assertions) {
        report.write(&installation.control_plane().admin()?).await?;
    }
    Ok(())
}

/// Where the kernel listens.
fn address(stack: &Stack) -> anyhow::Result<SocketAddr> {
    let address = stack.url().trim_start_matches("http://").trim_end_matches("/mcp");
    address.parse().with_context(|| format!("no address in {}", stack.url()))
}
