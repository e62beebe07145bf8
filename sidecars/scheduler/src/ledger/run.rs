//! One run as a ledger keeps it, within a size that is known before it is written.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::{Term, Time, kept};
use crate::run::RunId;

/// Longest texts of a run, in bytes of JSON between the quotes.
const SCHEDULE: usize = 96;
const TRIGGER: usize = 64;
const BY: usize = 96;
const REASON: usize = 200;
/// Longest JSON of one run, in bytes: the texts above, and everything else at its longest (417).
pub(super) const RUN_BYTES: usize = 880;

/// Which schedule of a tentacle: its name or its expression with zone, whatever tells it from the others. A long text is
/// kept by its beginning and a hash of all of it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(from = "String")]
pub(crate) struct ScheduleId(String);

impl ScheduleId {
    /// The schedule that `text` tells from the others.
    pub(crate) fn new(text: &str) -> Self {
        let whole = plain(text, usize::MAX);
        let short = plain(text, SCHEDULE);
        if whole == short {
            return Self(whole);
        }
        let hash = format!("…{}", hash(text));
        Self(plain(text, SCHEDULE - hash.len()) + &hash)
    }

    /// 16 hexadecimal digits that stand for it in a key.
    pub(super) fn hash(&self) -> String {
        hash(&self.0)
    }
}

impl From<String> for ScheduleId {
    fn from(text: String) -> Self {
        Self::new(&text)
    }
}

impl fmt::Display for ScheduleId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Where a run stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum State {
    /// It goes on, or its end is not written yet.
    Claimed,
    /// It went well.
    Succeeded,
    /// It did not go well.
    Failed,
    /// It was not made, for a reason.
    Skipped,
    /// Nobody knows how it ended. A late outcome replaces this.
    Interrupted,
}

impl State {
    /// Whether an outcome may still come.
    pub(crate) const fn is_open(self) -> bool {
        matches!(self, Self::Claimed | Self::Interrupted)
    }
}

/// A run, or instants that were skipped.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Run {
    pub(crate) id: RunId,
    /// The schedule that fired it; none for `wf_run`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) schedule: Option<ScheduleId>,
    /// The name of the schedule, where it has one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) trigger: Option<String>,
    /// Who called `wf_run`; `schedule` for one that a schedule fired.
    pub(crate) by: String,
    /// The instant it was fired for; of skipped ones the first.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) instant: Option<Time>,
    /// When it was claimed last, or written down as skipped first.
    pub(crate) claimed_at: Time,
    /// When it has ended, whatever became of it. None for skipped ones.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) deadline: Option<Time>,
    pub(crate) state: State,
    /// The term of the leader that claimed it; none for `wf_run`, and once that leader has handed it over.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) term: Option<Term>,
    /// How long after its time it was claimed, in milliseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) lateness_ms: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) ended_at: Option<Time>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) duration_ms: Option<u64>,
    /// Why it did not go well or was not made: a sentence, never output of the tentacle.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) reason: Option<String>,
    /// How many instants it stands for.
    #[serde(default = "one", skip_serializing_if = "is_one")]
    pub(crate) count: u32,
    /// The last of the instants that it stands for, when they are more than one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) last_instant: Option<Time>,
}

impl Run {
    /// With texts and times as they are kept.
    pub(super) fn within_limits(mut self) -> Self {
        self.claimed_at = kept(self.claimed_at);
        self.instant = self.instant.map(kept);
        self.last_instant = self.last_instant.map(kept);
        self.deadline = self.deadline.map(kept);
        self.ended_at = self.ended_at.map(kept);
        self.trigger = self.trigger.map(|text| plain(&text, TRIGGER));
        self.by = plain(&self.by, BY);
        self.reason = self.reason.map(|text| plain(&text, REASON));
        self
    }

    /// All times that it tells.
    pub(super) fn times(&self) -> impl Iterator<Item = &Time> {
        let Self { instant, claimed_at, deadline, ended_at, last_instant, .. } = self;
        [instant, deadline, ended_at, last_instant].into_iter().flatten().chain([claimed_at])
    }

    /// Whether it has ended by `now`, whatever became of it.
    pub(crate) fn is_over(&self, now: Time) -> bool {
        self.deadline.is_none_or(|deadline| deadline <= now)
    }

    /// The last instant that it stands for.
    pub(super) fn latest(&self) -> Option<Time> {
        self.last_instant.or(self.instant)
    }
}

const fn one() -> u32 {
    1
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde calls it")]
const fn is_one(count: &u32) -> bool {
    *count == 1
}

/// The beginning of `text` that takes at most `limit` bytes in JSON; blanks stand for control characters.
fn plain(text: &str, limit: usize) -> String {
    let mut left = limit;
    let fits = |character: &char| {
        let bytes = if matches!(character, '"' | '\\') { 2 } else { character.len_utf8() };
        let fits = bytes <= left;
        left = left.saturating_sub(bytes);
        fits
    };
    text.chars().map(|character| if character.is_control() { ' ' } else { character }).take_while(fits).collect()
}

fn hash(text: &str) -> String {
    hex::encode(&Sha256::digest(text)[..8])
}
