//! What is to be written to a ledger, and the one merge patch of the `ConfigMap`'s data that it becomes.

use std::{collections::BTreeMap, time::Duration};

use chrono::TimeDelta;
use serde::Serialize;

use super::{
    Book, Run, SCHEDULES, ScheduleId, Term, Time,
    book::{Newest, RUN, TERM, newest_key, run_key},
    kept,
};
use crate::run::{self, RunError, RunId, millis};

/// What a run has beyond its limit before it counts as interrupted.
const MARGIN: Duration = Duration::from_secs(30);

/// What is written: a text for each key that changes, none for those that go.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub(crate) struct Change(BTreeMap<String, Option<String>>);

/// A run that is about to be made.
#[derive(Debug, Clone)]
pub(crate) struct Claim {
    pub(crate) id: RunId,
    /// When it is claimed.
    pub(crate) at: Time,
    /// When it will have ended, whatever becomes of it: [`deadline`].
    pub(crate) deadline: Time,
    /// Who called `wf_run`. For a run that a schedule fires it does not count.
    pub(crate) by: String,
    /// What fires it; none for `wf_run`.
    pub(crate) firing: Option<Firing>,
}

/// What fires a run.
#[derive(Debug, Clone)]
pub(crate) struct Firing {
    pub(crate) schedule: ScheduleId,
    /// The name of the schedule, where it has one.
    pub(crate) trigger: Option<String>,
    pub(crate) instant: Time,
    /// The leader's.
    pub(crate) term: Term,
    pub(crate) lateness_ms: u64,
    /// Whether it may be claimed once more when the ledger says that it was interrupted.
    pub(crate) again: bool,
    /// Whether it is not to be claimed while a run goes on that another process may make.
    pub(crate) alone: bool,
}

/// How a run ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Outcome {
    pub(crate) success: bool,
    pub(crate) at: Time,
    pub(crate) duration_ms: u64,
    /// Why it failed: a sentence, never output of the tentacle.
    pub(crate) reason: Option<String>,
}

/// Instants of one schedule that are not fired.
#[derive(Debug, Clone)]
pub(crate) struct Skip {
    /// The id that a run of the first would have.
    pub(crate) id: RunId,
    pub(crate) at: Time,
    pub(crate) schedule: ScheduleId,
    /// The name of the schedule, where it has one.
    pub(crate) trigger: Option<String>,
    pub(crate) first: Time,
    pub(crate) last: Time,
    /// How many there are from first to last.
    pub(crate) count: u32,
    pub(crate) reason: String,
    /// The leader's.
    pub(crate) term: Term,
}

/// Why something is not written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Refused {
    #[error("the ledger says that this schedule has come to {0} already")]
    NotNewer(Time),
    #[error("the ledger was written in term {0}, and this scheduler leads an earlier one")]
    LowerTerm(Term),
    #[error("the ledger has a run of this id already")]
    Taken,
    #[error("the ledger says that a run is going on")]
    Overlap,
    #[error("the ledger has no room for one schedule more: a tentacle may have {SCHEDULES}")]
    Full,
    #[error("the ledger has no run of this id: it was dropped, or never claimed")]
    NoRun,
    #[error("the ledger says already how this run ended")]
    Ended,
}

/// When a run has ended that begins at `at` and may take as long as `limit`.
pub(crate) fn deadline(at: Time, limit: Duration) -> Time {
    at + TimeDelta::from_std(limit + MARGIN).unwrap_or_default()
}

impl Outcome {
    /// How a run ended at `at`.
    pub(crate) fn of(ended: &Result<run::Outcome, RunError>, at: Time) -> Self {
        let (success, duration, reason) = match ended {
            Ok(ended) if ended.success => (true, ended.duration, None),
            Ok(ended) => (false, ended.duration, Some("the engine reported a failed run".to_owned())),
            Err(error) => (false, error.duration(), Some(error.reason())),
        };
        Self { success, at, duration_ms: millis(duration), reason }
    }
}

impl Change {
    /// Whether there is nothing to write.
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// What changes, by key; none for a key that goes.
    pub(crate) fn data(&self) -> &BTreeMap<String, Option<String>> {
        &self.0
    }

    /// Whether `data` shows that it was written: all its runs are there, word by word. They hold id, term and time, so
    /// that nobody else writes the same.
    pub(super) fn was_written(&self, data: &BTreeMap<String, String>) -> bool {
        let mut runs = self.0.iter().filter(|(key, text)| key.starts_with(RUN) && text.is_some()).peekable();
        runs.peek().is_some() && runs.all(|(key, text)| data.get(key) == text.as_ref())
    }

    pub(super) fn touches(&self, key: &str) -> bool {
        self.0.contains_key(key)
    }

    /// How many keys with this prefix it writes.
    pub(super) fn written(&self, prefix: &str) -> usize {
        self.0.iter().filter(|(key, text)| key.starts_with(prefix) && text.is_some()).count()
    }

    pub(super) fn set(&mut self, key: impl Into<String>, text: String) {
        self.0.insert(key.into(), Some(text));
    }

    pub(super) fn remove(&mut self, key: String) {
        self.0.insert(key, None);
    }

    pub(super) fn run(&mut self, run: Run) {
        self.set(run_key(run.id), json(&run.within_limits()));
    }

    /// Moves a schedule forward, never back.
    pub(super) fn advance(&mut self, book: &Book, schedule: &ScheduleId, instant: Time) {
        if book.newest(schedule).is_none_or(|newest| newest < instant) {
            self.set(newest_key(schedule), json(&Newest { schedule: schedule.clone(), instant: kept(instant) }));
        }
    }

    pub(super) fn term(&mut self, book: &Book, term: Term) {
        if term > book.term {
            self.set(TERM, term.to_string());
        }
    }
}

fn json(value: &impl Serialize) -> String {
    serde_json::to_string(value).expect("texts, numbers and times are JSON")
}
