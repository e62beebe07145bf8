//! Resident memory: of each process when nothing happens, and of the kernel before and after clients that never come back.

use std::time::Duration;

use anyhow::Context as _;
use tentacular_demo::Message;
use tentacular_test_harness::{Part, Stack};

use crate::{
    address,
    load::{self, Target, Until},
    report::{Figure, Report, Unit},
};

/// How long a process is left alone before its memory is read.
const IDLE: Duration = Duration::from_secs(5);
/// Figures of a process: resident memory, and the most that it was since its start.
pub(crate) const NOW: &str = "VmRSS:";
pub(crate) const MOST: &str = "VmHWM:";
/// Clients that begin and do not go on.
const ABANDONED: usize = 100_000;

pub(crate) async fn idle(stack: &Stack, report: &mut Report) -> anyhow::Result<()> {
    tokio::time::sleep(IDLE).await;
    let mut all = 0.0;
    for part in [Part::Kernel, Part::Registrar, Part::Scheduler, Part::Auditor, Part::Webhook] {
        let resident = match part {
            Part::Webhook => of(stack.installation().webhook().context("there is no webhook")?.pid(), NOW)?,
            _ => resident(stack, part)?,
        };
        all += resident;
        let figure = Figure::new(format!("{}, resident memory when idle", part.name()), resident, Unit::Megabytes);
        report.add(if part == Part::Kernel { figure.at_most(25.0) } else { figure });
    }
    report.add(Figure::new("all five together", all, Unit::Megabytes).at_most(80.0));
    Ok(())
}

/// `initialize` again and again, and nothing after it.
pub(crate) async fn abandoned(stack: &Stack, report: &mut Report) -> anyhow::Result<()> {
    let target = Target::post("initialize", address(stack)?, Some(stack.token()), Message::initialize("1"))?;
    let target = target.probed("serverInfo").await?;
    // The first ones warm up what is kept per connection and per thread.
    load::run(&target, Until::Count(ABANDONED / 20)).await?;
    tokio::time::sleep(IDLE).await;
    let before = resident(stack, Part::Kernel)?;
    let round = load::run(&target, Until::Count(ABANDONED)).await?;
    let right_after = resident(stack, Part::Kernel)?;
    tokio::time::sleep(IDLE).await;
    let after = resident(stack, Part::Kernel)?;
    let what = format!("kernel, memory gained by {ABANDONED} clients that initialize and leave");
    report.add(Figure::new(what, after - before, Unit::Megabytes).at_most(2.0).details(format!(
        "{before:.1} MB before, {right_after:.1} right after, {after:.1} {} s later; {round}",
        IDLE.as_secs()
    )));
    Ok(())
}

/// In MB of 1,000,000 bytes.
pub(crate) fn resident(stack: &Stack, part: Part) -> anyhow::Result<f64> {
    of(stack.process(part)?.pid(), NOW)
}

/// The most that it was since its start, in MB of 1,000,000 bytes.
pub(crate) fn most_resident(stack: &Stack, part: Part) -> anyhow::Result<f64> {
    of(stack.process(part)?.pid(), MOST)
}

/// A figure of a process, in MB of 1,000,000 bytes.
pub(crate) fn of(pid: u32, figure: &str) -> anyhow::Result<f64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = status.lines().find(|line| line.starts_with(figure)).with_context(|| format!("no {figure}"))?;
    let kib: u32 = line.split_whitespace().nth(1).context("no figure")?.parse()?;
    Ok(f64::from(kib) / 1000.0 * 1.024)
}
