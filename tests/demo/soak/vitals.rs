//! The kernel's memory and file descriptors over time.

use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use tentacular_demo::say;
use tentacular_test_harness::Part;
use tokio::time::{MissedTickBehavior, interval};

use crate::world::World;

/// The first part of the load, after which memory must not grow.
const WARM_UP: Duration = Duration::from_mins(1);
/// How much memory may grow after it, in MB: what the allocator does not give back at once.
const GROWTH_MB: f64 = 8.0;
/// How many more file descriptors there may be: connections come and go.
const GROWTH_FDS: f64 = 32.0;
/// Samples, one a second, whose median counts.
const SAMPLES: usize = 10;

#[derive(Debug, Clone, Copy)]
struct Sample {
    mb: f64,
    fds: f64,
}

/// Looks every second until `time` is over, and says once a minute how things are.
pub(crate) async fn watch(world: &World, time: Duration) -> anyhow::Result<Vitals> {
    let begun = Instant::now();
    let mut samples = Vec::new();
    let mut every_second = interval(Duration::from_secs(1));
    every_second.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut minutes = 0;
    while begun.elapsed() < time {
        every_second.tick().await;
        let sample = look(world)?;
        samples.push((begun.elapsed(), sample));
        if begun.elapsed().as_secs() / 60 > minutes {
            minutes += 1;
            let (answers, wrong) = world.tally.so_far();
            let Sample { mb, fds } = sample;
            say(&format!("minute {minutes}: {answers} answers, {wrong} wrong, kernel {mb:.1} MB, {fds} descriptors"));
        }
    }
    let warm = time.div_f64(2.0).min(WARM_UP);
    let first: Vec<_> =
        samples.iter().filter(|(at, _)| *at >= warm).map(|(_, sample)| *sample).take(SAMPLES).collect();
    let last: Vec<_> = samples.iter().rev().map(|(_, sample)| *sample).take(SAMPLES).collect();
    Ok(Vitals { warm, first: median(&first)?, last: median(&last)? })
}

fn look(world: &World) -> anyhow::Result<Sample> {
    let kernel = world.stack.process(Part::Kernel)?;
    ensure!(kernel.is_running(), "the kernel ended: {}", kernel.last_lines(5));
    let folder = format!("/proc/{}", kernel.pid());
    let status = std::fs::read_to_string(format!("{folder}/status"))?;
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).context("no VmRSS")?;
    let kib: u32 = line.split_whitespace().nth(1).context("no figure")?.parse()?;
    let fds = u32::try_from(std::fs::read_dir(format!("{folder}/fd"))?.count())?;
    Ok(Sample { mb: f64::from(kib) * 1.024 / 1000.0, fds: f64::from(fds) })
}

fn median(samples: &[Sample]) -> anyhow::Result<Sample> {
    let middle = |figure: fn(&Sample) -> f64| {
        let mut figures: Vec<_> = samples.iter().map(figure).collect();
        figures.sort_unstable_by(f64::total_cmp);
        figures.get(figures.len() / 2).copied().context("no samples")
    };
    Ok(Sample { mb: middle(|sample| sample.mb)?, fds: middle(|sample| sample.fds)? })
}

/// How the kernel was after the warm-up, and at the end.
#[derive(Debug)]
pub(crate) struct Vitals {
    warm: Duration,
    first: Sample,
    last: Sample,
}

impl Vitals {
    pub(crate) fn print(&self) {
        let Self { warm, first, last } = self;
        say(&format!(
            "kernel after {} s: {:.1} MB, {} descriptors; at the end: {:.1} MB, {} descriptors",
            warm.as_secs(),
            first.mb,
            first.fds,
            last.mb,
            last.fds
        ));
    }

    /// What has grown that must not grow.
    pub(crate) fn problems(&self) -> Vec<String> {
        let Self { first, last, .. } = self;
        let mut problems = Vec::new();
        if last.mb - first.mb > GROWTH_MB {
            problems.push(format!("the kernel's memory has grown by more than {GROWTH_MB} MB"));
        }
        if last.fds - first.fds > GROWTH_FDS {
            problems.push(format!("the kernel has more than {GROWTH_FDS} file descriptors more"));
        }
        problems
    }
}
