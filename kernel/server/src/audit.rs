//! The audit: one record of each tool call. The decision is counted where it is made; the record is logged when the call
//! ends, however it ends: answered, refused, left by its caller, in a panic, or with the process.

use std::sync::Arc;

use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{counter::Counter, family::Family, histogram::Histogram},
};
use tentacular_contract::{Caller, EnclaveName, Permit, TentacleName};
use tentacular_process::Context;
use tokio::time::Instant;

use crate::{edge::Arrival, refusal::Refusal, sidecars::Tool};

/// Characters of a tool's name that are kept where nobody has checked it, and of a reason.
const NAME: usize = 128;
const REASON: usize = 512;
/// Bounds of the histogram, in seconds.
const SECONDS: [f64; 9] = [0.002, 0.005, 0.02, 0.1, 0.5, 2.0, 10.0, 60.0, 600.0];

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct DecisionLabels {
    tool: String,
    outcome: &'static str,
    rule: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct CallLabels {
    sidecar: String,
    result: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct SidecarLabels {
    sidecar: String,
}

/// Where records come from. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Audit {
    decisions: Family<DecisionLabels, Counter>,
    calls: Family<CallLabels, Counter>,
    seconds: Family<SidecarLabels, Histogram>,
}

/// The record of one call, logged when it is dropped.
#[derive(Debug)]
pub(crate) struct Record {
    audit: Audit,
    arrival: Arrival,
    caller: Caller,
    /// The tool as the body spells it, cut.
    asked: String,
    tool: Option<Arc<Tool>>,
    enclave: Option<EnclaveName>,
    tentacle: Option<TentacleName>,
    decision: Option<Decision>,
    forwarded: Option<Instant>,
    result: Option<&'static str>,
}

#[derive(Debug)]
struct Decision {
    outcome: &'static str,
    rule: &'static str,
    reason: String,
}

impl Default for Audit {
    fn default() -> Self {
        let histogram: fn() -> Histogram = || Histogram::new(SECONDS);
        let seconds = Family::new_with_constructor(histogram);
        Self { decisions: Family::default(), calls: Family::default(), seconds }
    }
}

impl Audit {
    pub(crate) fn new(context: &Context) -> Self {
        let audit = Self::default();
        context.metrics.register(|registry| {
            let Self { decisions, calls, seconds } = audit.clone();
            let help = "Authorization decisions by `tool` (`other` for those of sidecars that are not built in), `outcome` (`allowed`, \
                        `denied`) and `rule`, the one that decided";
            registry.register("decisions", help, decisions);
            let help = "Calls forwarded to a `sidecar` (`other` for those that are not built in), by `result`: `answered`; `away`, it is \
                        not there; `busy`, it has 128 calls at once; `too-late`, the tool's deadline passed; `broken`, the \
                        connection broke; `no-answer`, it answered what is no answer to a call; `unread`, the client did not read \
                        until the deadline; `cancelled`, the client left; `cut`, the process ended; `panicked`";
            registry.register("sidecar_calls", help, calls);
            let help = "Seconds from forwarding a call to a `sidecar` to the end of its answer";
            registry.register("sidecar_call_duration_seconds", help, seconds);
        });
        audit
    }

    /// Begins the record of a call of the tool that the body calls `name`.
    pub(crate) fn begin(&self, arrival: Arrival, caller: &Caller, name: Option<&str>) -> Record {
        Record {
            audit: self.clone(),
            arrival,
            caller: caller.clone(),
            asked: cut(name.unwrap_or_default(), NAME),
            tool: None,
            enclave: None,
            tentacle: None,
            decision: None,
            forwarded: None,
            result: None,
        }
    }
}

impl Record {
    /// The tool that answers to the name.
    pub(crate) fn tool(&mut self, tool: &Arc<Tool>) {
        self.tool = Some(Arc::clone(tool));
    }

    /// The place that is decided on.
    pub(crate) fn place(&mut self, enclave: Option<&EnclaveName>, tentacle: Option<&TentacleName>) {
        self.enclave = enclave.cloned();
        self.tentacle = tentacle.cloned();
    }

    pub(crate) fn allowed(&mut self, permit: &Permit) {
        self.decide("allowed", permit.rule().label(), String::new());
    }

    pub(crate) fn denied(&mut self, refusal: &Refusal) {
        self.decide("denied", refusal.rule, cut(&refusal.reason, REASON));
    }

    fn decide(&mut self, outcome: &'static str, rule: &'static str, reason: String) {
        let (_, tool) = self.labels();
        self.audit.decisions.get_or_create(&DecisionLabels { tool, outcome, rule }).inc();
        self.decision = Some(Decision { outcome, rule, reason });
    }

    /// The exchange with the sidecar begins.
    pub(crate) fn forwarded(&mut self) {
        self.forwarded = Some(Instant::now());
    }

    /// The exchange with the sidecar has ended, in one of a fixed list of ways.
    pub(crate) const fn ended(&mut self, result: &'static str) {
        self.result = Some(result);
    }

    /// Sidecar and tool as labels. What others than the built-in sidecars offer has names without end.
    fn labels(&self) -> (String, String) {
        match &self.tool {
            Some(tool) if tool.built_in => (tool.sidecar.clone(), tool.name.clone()),
            _ => ("other".to_owned(), "other".to_owned()),
        }
    }

    /// How the exchange ended, or the call without one; nothing where the refusal says all.
    fn result(&self) -> Option<&'static str> {
        match (&self.decision, self.forwarded) {
            _ if self.result.is_some() => self.result,
            _ if std::thread::panicking() => Some("panicked"),
            (_, Some(_)) => Some("cut"),
            (None, None) => Some("cancelled"),
            (Some(_), None) => None,
        }
    }
}

impl Drop for Record {
    fn drop(&mut self) {
        let result = self.result();
        if let Some(since) = self.forwarded {
            let (sidecar, _) = self.labels();
            let labels = CallLabels { sidecar: sidecar.clone(), result: result.unwrap_or_default() };
            self.audit.calls.get_or_create(&labels).inc();
            let seconds = since.elapsed().as_secs_f64();
            self.audit.seconds.get_or_create(&SidecarLabels { sidecar }).observe(seconds);
        }
        let Self { arrival, caller, asked, tool, enclave, tentacle, decision, .. } = self;
        let identity = caller.identity();
        tracing::info!(
            request_id = %arrival.id(),
            kind = caller.kind(),
            caller = caller.label(),
            sub = identity.and_then(|identity| identity.sub.as_deref()),
            azp = identity.and_then(|identity| identity.azp.as_deref()),
            tool = tool.as_ref().map_or(asked.as_str(), |tool| &tool.name),
            sidecar = tool.as_ref().map(|tool| tool.sidecar.as_str()),
            enclave = enclave.as_ref().map(EnclaveName::as_str),
            tentacle = tentacle.as_ref().map(TentacleName::as_str),
            needs = tool.as_ref().map(|tool| tool.authz.needs.label()),
            outcome = decision.as_ref().map_or("denied", |decision| decision.outcome),
            rule = decision.as_ref().map_or("undecided", |decision| decision.rule),
            reason = decision.as_ref().map(|decision| decision.reason.as_str()),
            result,
            duration_ms = arrival.milliseconds(),
            "decision"
        );
    }
}

fn cut(text: &str, characters: usize) -> String {
    text.chars().take(characters).collect()
}

#[cfg(test)]
pub(crate) mod tests;
