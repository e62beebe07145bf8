//! What `wf_apply` costs: a release of six objects through the kernel, and as the least that it can be, six server-side
//! applies by the registrar's account. Both in the same run, in turns, each in an enclave of its own.

mod release;
mod requests;
mod ways;

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use tentacular_test_harness::Stack;
use tokio::task::JoinSet;

use self::{
    release::Release,
    ways::{State, WAYS, Way, Ways},
};
use crate::report::{Figure, Report, Unit, median, ms, percentile, ratio};

/// Releases that are applied one after the other, each for the first time and again.
const ROUNDS: usize = 100;
/// Tentacles that are applied at once.
const TENTACLES: usize = 16;
/// Rounds of all of them at once.
const ROUNDS_AT_ONCE: usize = 7;
/// How often each of them is applied again in a round.
const AGAIN: u32 = 5;

pub(crate) async fn measure(stack: &Stack, report: &mut Report) -> anyhow::Result<()> {
    let ways = Arc::new(Ways::open(stack).await?);
    let times = one_at_a_time(&ways).await?;
    let rates = at_once(&ways).await?;
    tell(&times, &rates, report);
    requests::measure(&ways, stack, report).await
}

/// A figure for each way and state.
#[derive(Debug, Default)]
struct Figures<T>([[Vec<T>; 2]; 2]);

impl<T> Figures<T> {
    fn of(&self, way: Way, state: State) -> &[T] {
        &self.0[way as usize][state as usize]
    }

    fn push(&mut self, way: Way, state: State, figure: T) {
        self.0[way as usize][state as usize].push(figure);
    }
}

async fn one_at_a_time(ways: &Ways) -> anyhow::Result<Figures<Duration>> {
    let mut times = Figures::default();
    // The first round warms up connections and caches.
    for round in 0..=ROUNDS {
        for way in WAYS {
            let release = way.release(&format!("alone-{round}"));
            for state in [State::New, State::Unchanged] {
                let time = ways.write(way, &release, state).await?;
                // What the controllers make of it is not to be measured along with the next.
                ways.ready(way, &release).await?;
                if round > 0 {
                    times.push(way, state, time);
                }
            }
            ways.remove(way, &release).await?;
        }
    }
    Ok(times)
}

/// Applies a second.
async fn at_once(ways: &Arc<Ways>) -> anyhow::Result<Figures<f64>> {
    let mut rates = Figures::default();
    for round in 0..ROUNDS_AT_ONCE {
        for way in WAYS {
            let releases: Vec<_> =
                (0..TENTACLES).map(|number| way.release(&format!("crowd-{round}-{number}"))).collect();
            rates.push(way, State::New, rate(ways, way, &releases, State::New, 1).await?);
            for release in &releases {
                ways.ready(way, release).await?;
            }
            rates.push(way, State::Unchanged, rate(ways, way, &releases, State::Unchanged, AGAIN).await?);
            for release in &releases {
                ways.remove(way, release).await?;
            }
        }
    }
    Ok(rates)
}

/// Writes all releases at once, each so many times, one after the other.
async fn rate(ways: &Arc<Ways>, way: Way, releases: &[Release], state: State, times: u32) -> anyhow::Result<f64> {
    let mut writers = JoinSet::new();
    let begun = Instant::now();
    for release in releases {
        let (ways, release) = (Arc::clone(ways), release.clone());
        writers.spawn(async move {
            for _ in 0..times {
                ways.write(way, &release, state).await?;
            }
            anyhow::Ok(times)
        });
    }
    let mut written = 0;
    while let Some(writer) = writers.join_next().await {
        written += writer??;
    }
    Ok(f64::from(written) / begun.elapsed().as_secs_f64())
}

fn tell(times: &Figures<Duration>, rates: &Figures<f64>, report: &mut Report) {
    let direct = Way::Direct.name();
    for state in [State::New, State::Unchanged] {
        let (ours, bare) = (times.of(Way::Apply, state), times.of(Way::Direct, state));
        let p99 = ms(percentile(ours, 99));
        let what = format!("wf_apply of {} objects, {}", release::OBJECTS, state.name());
        let (middle, bare_middle) = (ms(percentile(ours, 50)), ms(percentile(bare, 50)));
        let figure = Figure::new(&what, middle, Unit::Milliseconds).details(format!("p99 {p99:.1} ms"));
        report.add(figure.beside(direct, bare_middle, ratio(ours, bare, Duration::as_secs_f64)));
        let (ours, bare) = (rates.of(Way::Apply, state), rates.of(Way::Direct, state));
        let figure = Figure::new(format!("{what}, {TENTACLES} at once"), median(ours.to_vec()), Unit::PerSecond);
        report.add(figure.beside(direct, median(bare.to_vec()), ratio(ours, bare, |rate| *rate)));
    }
}
