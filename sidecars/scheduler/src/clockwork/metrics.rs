//! What /metrics says of schedules.

use std::{sync::atomic::AtomicI64, time::Duration};

use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{counter::Counter, family::Family, gauge::Gauge, histogram::Histogram},
};
use tentacular_process::metrics::Metrics;

use super::look::Why;

/// Bounds of the lateness histogram, in seconds.
const SECONDS: [f64; 10] = [0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 15.0, 60.0, 600.0];

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct EndedLabels {
    outcome: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct SkippedLabels {
    reason: &'static str,
}

/// Counts of what schedules did.
#[derive(Debug, Clone)]
pub(crate) struct Measures {
    leader: Gauge<i64, AtomicI64>,
    fired: Counter,
    lateness: Histogram,
    ended: Family<EndedLabels, Counter>,
    skipped: Family<SkippedLabels, Counter>,
    lost: Counter,
}

impl Default for Measures {
    fn default() -> Self {
        Self {
            leader: Gauge::default(),
            fired: Counter::default(),
            lateness: Histogram::new(SECONDS),
            ended: Family::default(),
            skipped: Family::default(),
            lost: Counter::default(),
        }
    }
}

impl Measures {
    /// Counts that `metrics` shows, from 0 on: of a counter that begins later Prometheus does not see how it begins.
    pub(crate) fn new(metrics: &Metrics) -> Self {
        let measures = Self::default();
        for why in [Why::Missed, Why::Frozen, Why::Overlap] {
            drop(measures.skipped.get_or_create(&SkippedLabels { reason: why.as_str() }));
        }
        for success in [true, false] {
            drop(measures.ended.get_or_create(&EndedLabels { outcome: outcome(success) }));
        }
        metrics.register(|registry| {
            let Self { leader, fired, lateness, ended, skipped, lost } = measures.clone();
            registry.register("scheduler_leader", "1 while this process fires schedules, else 0", leader);
            registry.register("schedule_fired", "Instants that were claimed, and so fired", fired);
            registry.register("schedule_lateness_seconds", "Seconds from an instant, with its jitter, to its claim", lateness);
            registry.register("schedule_runs", "Runs that schedules fired, by `outcome`: `succeeded` or `failed`", ended);
            let help = "Instants that were not fired, by `reason`: `missed` (no scheduler was there in time), `frozen` or `overlap`";
            registry.register("schedule_skipped", help, skipped);
            registry.register("schedule_claims_lost", "Claims that the ledger refused, as another scheduler was first", lost);
        });
        measures
    }

    pub(super) fn leads(&self, leads: bool) {
        self.leader.set(i64::from(leads));
    }

    pub(super) fn fired(&self, lateness: Duration) {
        self.fired.inc();
        self.lateness.observe(lateness.as_secs_f64());
    }

    pub(super) fn ended(&self, success: bool) {
        self.ended.get_or_create(&EndedLabels { outcome: outcome(success) }).inc();
    }

    pub(super) fn skipped(&self, why: Why, count: u32) {
        self.skipped.get_or_create(&SkippedLabels { reason: why.as_str() }).inc_by(u64::from(count));
    }

    pub(super) fn lost(&self) {
        self.lost.inc();
    }
}

const fn outcome(success: bool) -> &'static str {
    if success { "succeeded" } else { "failed" }
}
