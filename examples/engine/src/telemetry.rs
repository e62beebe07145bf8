//! What a tentacle did so far, as `/health?detail=1` tells it.

use std::{
    collections::VecDeque,
    sync::{Mutex, MutexGuard, PoisonError},
    time::{SystemTime, UNIX_EPOCH},
};

use serde_json::{Value, json};
use tokio::time::Instant;

/// Events that are told.
const RECENT: usize = 20;

/// The counters of one tentacle. Every run is one event.
#[derive(Debug)]
pub(crate) struct Telemetry {
    since: Instant,
    counters: Mutex<Counters>,
}

#[derive(Debug, Default)]
struct Counters {
    total: u64,
    errors: u64,
    last_error: Option<(String, u64)>,
    last_run_failed: bool,
    in_flight: u64,
    recent: VecDeque<Value>,
}

impl Default for Telemetry {
    fn default() -> Self {
        Self { since: Instant::now(), counters: Mutex::default() }
    }
}

impl Telemetry {
    /// A run begins: its id, and the name of the trigger that it was fired by, where there are such.
    pub(crate) fn begin(&self, run_id: Option<&str>, trigger: Option<&str>) -> Event<'_> {
        self.counters().in_flight += 1;
        Event { telemetry: self, run: json!({ "type": "run", "runId": run_id, "trigger": trigger }) }
    }

    /// The answer of `/health?detail=1`.
    pub(crate) fn detail(&self) -> Value {
        let counters = self.counters();
        let (last_error, last_error_at) = counters.last_error.clone().unzip();
        json!({
            "status": "ok",
            "totalEvents": counters.total,
            "errorCount": counters.errors,
            "errorRate": rate(counters.errors, counters.total),
            "uptimeMs": u64::try_from(self.since.elapsed().as_millis()).unwrap_or(u64::MAX),
            "lastError": last_error,
            "lastErrorAt": last_error_at,
            "recentEvents": counters.recent,
            "lastRunFailed": counters.last_run_failed,
            "inFlight": counters.in_flight,
        })
    }

    fn counters(&self) -> MutexGuard<'_, Counters> {
        self.counters.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[expect(clippy::cast_precision_loss, reason = "a rate needs no more digits than a float has")]
fn rate(errors: u64, total: u64) -> f64 {
    if total == 0 { 0.0 } else { errors as f64 / total as f64 }
}

/// A run in flight. One whose client left counts as neither done nor failed.
#[derive(Debug)]
pub(crate) struct Event<'a> {
    telemetry: &'a Telemetry,
    /// What is told of it once it is over.
    run: Value,
}

impl Event<'_> {
    /// The run is over; `failure` says why it failed.
    pub(crate) fn end(mut self, failure: Option<&str>) {
        let mut run = self.run.take();
        (run["at"], run["success"]) = (json!(epoch_ms()), json!(failure.is_none()));
        let mut counters = self.telemetry.counters();
        counters.total += 1;
        counters.last_run_failed = failure.is_some();
        if let Some(failure) = failure {
            counters.errors += 1;
            counters.last_error = Some((failure.to_owned(), epoch_ms()));
        }
        if counters.recent.len() == RECENT {
            counters.recent.pop_front();
        }
        counters.recent.push_back(run);
    }
}

impl Drop for Event<'_> {
    fn drop(&mut self) {
        self.telemetry.counters().in_flight -= 1;
    }
}

/// Milliseconds since 1970.
pub(crate) fn epoch_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}
