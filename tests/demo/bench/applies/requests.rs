//! Requests that one write of a release makes, by the API server's own count. It does not say whose they are: what comes
//! without any write is taken off by the time, what the controllers do after a write by what they do after the other way.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use anyhow::Context as _;
use kube::Client;
use tentacular_demo::say;
use tentacular_test_harness::Stack;
use tokio::time::sleep;

use super::{
    release::OBJECTS,
    ways::{State, WAYS, Way, Ways},
};
use crate::report::{Figure, Report, Unit};

/// Writes that are counted together.
const WRITES: u32 = 20;
/// How long nothing is written, to count what comes anyway.
const QUIET: Duration = Duration::from_secs(20);
/// How long controllers go on after a write.
const SETTLING: Duration = Duration::from_secs(3);
/// What is not told one by one.
const SELDOM: f64 = 0.1;

/// What is asked, and of which resource.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Request {
    verb: String,
    resource: String,
    dry_run: bool,
}

/// Requests by what they ask, of one write or since the API server's start.
#[derive(Debug, Clone, Default)]
struct Counts(BTreeMap<Request, f64>);

pub(super) async fn measure(ways: &Ways, stack: &Stack, report: &mut Report) -> anyhow::Result<()> {
    let admin = stack.installation().control_plane().admin()?;
    let (before, begun) = (so_far(&admin).await?, Instant::now());
    sleep(QUIET).await;
    let anyway = so_far(&admin).await?.less(&before, 1.0).scaled(1.0 / begun.elapsed().as_secs_f64());
    let mut counts = BTreeMap::new();
    for way in WAYS {
        let releases: Vec<_> = (0..WRITES).map(|number| way.release(&format!("counted-{number}"))).collect();
        for state in [State::New, State::Unchanged] {
            let (before, begun) = (so_far(&admin).await?, Instant::now());
            for release in &releases {
                ways.write(way, release, state).await?;
            }
            sleep(SETTLING).await;
            let made = so_far(&admin).await?.less(&before, 1.0).less(&anyway, begun.elapsed().as_secs_f64());
            counts.insert((state.name(), way.name()), made.scaled(1.0 / f64::from(WRITES)));
        }
        for release in &releases {
            ways.remove(way, release).await?;
        }
        sleep(SETTLING).await;
    }
    tell(&counts, report);
    Ok(())
}

fn tell(counts: &BTreeMap<(&str, &str), Counts>, report: &mut Report) {
    for state in [State::New, State::Unchanged] {
        let of = |way: Way| counts.get(&(state.name(), way.name()));
        let (Some(made), Some(direct)) = (of(Way::Apply), of(Way::Direct)) else { continue };
        // Six of these are the server-side applies, the rest is what controllers do after them.
        let own = |made: &Counts| made.write_like() - (direct.write_like() - f64::from(OBJECTS));
        let what = format!("requests of wf_apply of {OBJECTS} objects that are like writes, {}", state.name());
        let figure = Figure::new(what, own(made), Unit::Each);
        let figure = figure.beside(Way::Direct.name(), own(direct), own(made) / own(direct));
        report.add(figure.details(format!("{:.1} dry runs among them; {:.1} reads", made.dry_runs(), made.reads())));
    }
    for ((state, way), made) in counts {
        say(&format!("  {way}, {state}: {}", made.one_by_one()));
    }
}

/// What the API server counted since its start, watches apart: they are counted when they end.
async fn so_far(admin: &Client) -> anyhow::Result<Counts> {
    let text = admin.request_text(http::Request::get("/metrics").body(Vec::new())?).await?;
    let mut counts = Counts::default();
    for line in text.lines().filter_map(|line| line.strip_prefix("apiserver_request_total{")) {
        let (labels, count) = line.rsplit_once("} ").with_context(|| format!("a metric in another form: {line}"))?;
        let label = |name: &str| {
            let (_, rest) = labels.split_once(&format!(",{name}=\""))?;
            rest.split_once('"').map(|(value, _)| value.to_owned())
        };
        let text = |name| label(name).with_context(|| format!("no {name} in {labels}"));
        let resource = [text("resource")?, text("subresource")?].join("/");
        let resource = resource.trim_end_matches('/').to_owned();
        let request = Request { verb: text("verb")?, resource, dry_run: !text("dry_run")?.is_empty() };
        // Without a resource it is not about an object, such as this question.
        if !matches!(request.verb.as_str(), "WATCH" | "CONNECT") && !request.resource.is_empty() {
            *counts.0.entry(request).or_default() += count.parse::<f64>()?;
        }
    }
    Ok(counts)
}

impl Counts {
    fn less(mut self, other: &Self, times: f64) -> Self {
        for (request, count) in &other.0 {
            *self.0.entry(request.clone()).or_default() -= count * times;
        }
        self
    }

    fn scaled(mut self, factor: f64) -> Self {
        self.0.values_mut().for_each(|count| *count *= factor);
        self
    }

    fn sum(&self, counts: impl Fn(&Request) -> bool) -> f64 {
        self.0.iter().filter(|(request, _)| counts(request)).map(|(_, count)| count).sum()
    }

    fn reads(&self) -> f64 {
        self.sum(Request::reads)
    }

    fn write_like(&self) -> f64 {
        self.sum(|request| !request.reads())
    }

    fn dry_runs(&self) -> f64 {
        self.sum(|request| request.dry_run)
    }

    fn one_by_one(&self) -> String {
        let told = self.0.iter().filter(|(_, count)| **count > SELDOM);
        let texts: Vec<_> = told
            .map(|(Request { verb, resource, dry_run }, count)| {
                let dry_run = if *dry_run { " (dry run)" } else { "" };
                format!("{verb} {resource}{dry_run} {count:.1}")
            })
            .collect();
        texts.join(", ")
    }
}

impl Request {
    fn reads(&self) -> bool {
        matches!(self.verb.as_str(), "GET" | "LIST")
    }
}
