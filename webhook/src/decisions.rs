//! What is told of each decision: a counter, and a line of the log.

use std::time::Duration;

use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{counter::Counter, family::Family, histogram::Histogram},
};
use tentacular_process::metrics::Metrics;

use crate::{
    admit::{Finding, Kind, Verdict, told},
    wire::Asked,
};

/// Bounds of the latency histogram, in seconds: what is usual ends below the first, and the API server waits for 5.
const SECONDS: [f64; 10] = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.1, 0.5, 1.0, 5.0];
/// Characters of a finding that the log takes: a value may be long, and it is the user's.
const LOGGED: usize = 2000;

/// What a review was about and how it ended. All have few values: whoever reaches the port may send reviews of anything.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Labels {
    kind: &'static str,
    rule: &'static str,
    outcome: &'static str,
}

/// Counts decisions and logs them. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Decisions {
    decided: Family<Labels, Counter>,
    seconds: Histogram,
}

impl Decisions {
    /// Registers what it counts in `metrics`.
    pub fn new(metrics: &Metrics) -> Self {
        let decisions = Self { decided: Family::default(), seconds: Histogram::new(SECONDS) };
        metrics.register(|registry| {
            let help =
                "Decisions by `kind` of object, `rule` (each that a review breaks counts; `none` where it is allowed) and `outcome`: \
                 `allowed`, `warned`, `denied`, or `exempt` where an administrator did what is denied to others";
            registry.register("webhook_decisions", help, decisions.decided.clone());
            let help = "Seconds from a review's arrival to its answer";
            registry.register("webhook_review_duration_seconds", help, decisions.seconds.clone());
        });
        decisions
    }

    /// Counts and logs what `verdict` says of a write, whose object is of `kind`.
    pub(crate) fn record(&self, kind: Kind, asked: &Asked, verdict: &Verdict) {
        let kind = kind.label();
        let count = |rule, outcome| {
            self.decided.get_or_create(&Labels { kind, rule, outcome }).inc();
        };
        for rule in rules(&verdict.warnings) {
            count(rule, "warned");
        }
        for (outcome, findings) in [("denied", &verdict.violations), ("exempt", &verdict.exempt)] {
            for rule in rules(findings) {
                count(rule, outcome);
            }
            if !findings.is_empty() {
                log(outcome, kind, asked, findings);
            }
        }
        if verdict.violations.is_empty() {
            count("none", "allowed");
        }
    }

    /// Counts how long a review took.
    pub(crate) fn took(&self, time: Duration) {
        self.seconds.observe(time.as_secs_f64());
    }
}

/// Each rule once, however many findings it has.
fn rules(findings: &[Finding]) -> Vec<&'static str> {
    let mut rules: Vec<_> = findings.iter().map(|finding| finding.rule).collect();
    rules.sort_unstable();
    rules.dedup();
    rules
}

fn log(outcome: &'static str, kind: &'static str, asked: &Asked, findings: &[Finding]) {
    tracing::info!(
        outcome,
        rules = rules(findings).join(","),
        kind,
        resource = asked.resource.resource,
        subresource = asked.sub_resource.as_deref().unwrap_or_default(),
        operation = ?asked.operation,
        namespace = asked.namespace.as_deref().unwrap_or_default(),
        name = asked.name,
        user = asked.user_info.username,
        dry_run = asked.dry_run,
        problems = told(findings).join("\n").chars().take(LOGGED).collect::<String>(),
        "decision"
    );
}
