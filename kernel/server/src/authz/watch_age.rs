//! How long ago the watches last worked, told at each scrape.

use std::{fmt, time::Duration};

use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, EncodeMetric},
    metrics::{MetricType, gauge::ConstGauge},
};
use tentacular_cluster::Freshness;
use tokio::time::Instant;

use super::Facts;

/// The age of what decisions rest on.
#[derive(Debug)]
pub(super) struct WatchAge {
    facts: Facts,
    begun: Instant,
}

impl WatchAge {
    /// Counts from now on for a watch that never works.
    pub(super) fn new(facts: Facts) -> Self {
        Self { facts, begun: Instant::now() }
    }
}

impl Collector for WatchAge {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let help = "Seconds since the `watch` last worked: `enclaves`, or `tentacles`, the oldest of theirs. Above 30, calls are refused, or ask the API server first";
        let mut metric = encoder.encode_descriptor("watch_age_seconds", help, None, MetricType::Gauge)?;
        let (enclaves, tentacles) = self.facts.freshness();
        let now = Instant::now();
        let age = |freshness| age(freshness, enclaves, self.begun, now);
        let oldest = tentacles.into_iter().map(age).max().unwrap_or(age(enclaves));
        for (watch, age) in [("enclaves", age(enclaves)), ("tentacles", oldest)] {
            ConstGauge::new(age.as_secs_f64()).encode(metric.encode_family(&[("watch", watch)])?)?;
        }
        Ok(())
    }
}

/// Time since a watch last worked. One that does not fail works for as long as the API server is known to answer, which
/// the enclaves' watch knows: where there are many, an idle one is renewed seldom.
fn age(watch: Freshness, enclaves: Freshness, begun: Instant, now: Instant) -> Duration {
    let idle = watch.last_success.is_some() && watch.failing_since.is_none();
    if idle { enclaves.age(begun, now) } else { watch.age(begun, now) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_idle_watch_is_as_old_as_the_last_word_of_the_api_server() {
        let begun = Instant::now();
        let at = |seconds| begun + Duration::from_secs(seconds);
        let working = |seconds| Freshness { last_success: Some(at(seconds)), failing_since: None };
        let failing = |seconds| Freshness { failing_since: Some(at(seconds)), ..working(seconds) };
        let probed = Freshness { last_success: Some(at(95)), ..failing(40) };
        let now = at(100);
        let seconds = |watch, enclaves| age(watch, enclaves, begun, now).as_secs();
        assert_eq!(seconds(working(95), working(95)), 5);
        assert_eq!(seconds(working(1), working(95)), 5, "no tentacle has changed for long");
        assert_eq!(seconds(failing(40), working(95)), 60, "this one alone fails");
        assert_eq!(seconds(failing(40), failing(40)), 60, "nothing answers");
        assert_eq!(seconds(probed, probed), 60, "what else is asked is answered");
        assert_eq!(seconds(Freshness::default(), working(95)), 100, "it never worked");
        assert_eq!(seconds(Freshness::default(), Freshness::default()), 100);
    }
}
