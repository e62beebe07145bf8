//! What was asked how often, what became of it, and what was wrong.

use std::{
    collections::BTreeMap,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tentacular_demo::say;

/// Wrong answers that are named; more are only counted.
const NAMED: usize = 20;

/// What became of one request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// Accepted, and the answer is right.
    Right,
    /// Refused, as it had to be.
    Refused,
    /// Refused just when what it showed was replaced.
    Changing,
    /// The answer that is documented for a sidecar that is away.
    Away,
    /// The client did not wait for the answer.
    Left,
    /// Anything else.
    Wrong(String),
}

#[derive(Debug, Default)]
struct Row {
    right: Vec<Duration>,
    refused: usize,
    changing: usize,
    away: usize,
    left: usize,
    wrong: usize,
}

#[derive(Debug, Default)]
struct Counts {
    rows: BTreeMap<&'static str, Row>,
    wrong: Vec<String>,
}

/// All answers so far.
#[derive(Debug, Default)]
pub(crate) struct Tally(Mutex<Counts>);

impl Tally {
    /// Counts one request of a kind, which `who` sent.
    pub(crate) fn count(&self, kind: &'static str, who: &str, outcome: Outcome, took: Duration) {
        let mut counts = self.counts();
        let row = counts.rows.entry(kind).or_default();
        match outcome {
            Outcome::Right => row.right.push(took),
            Outcome::Refused => row.refused += 1,
            Outcome::Changing => row.changing += 1,
            Outcome::Away => row.away += 1,
            Outcome::Left => row.left += 1,
            Outcome::Wrong(why) => {
                row.wrong += 1;
                if counts.wrong.len() < NAMED {
                    counts.wrong.push(format!("{kind} by {who} after {took:.1?}: {why}"));
                }
            }
        }
    }

    /// How many requests there were, and how many answers were wrong.
    pub(crate) fn so_far(&self) -> (usize, usize) {
        let counts = self.counts();
        let all = |row: &Row| row.right.len() + row.refused + row.changing + row.away + row.left + row.wrong;
        (counts.rows.values().map(all).sum(), counts.rows.values().map(|row| row.wrong).sum())
    }

    /// Right answers to requests of a kind.
    pub(crate) fn right(&self, kind: &str) -> usize {
        self.counts().rows.get(kind).map_or(0, |row| row.right.len())
    }

    /// Requests of a kind that were refused, as they had to be.
    pub(crate) fn refused(&self, kind: &str) -> usize {
        self.counts().rows.get(kind).map_or(0, |row| row.refused)
    }

    /// Requests of a kind that nobody waited for.
    pub(crate) fn left(&self, kind: &str) -> usize {
        self.counts().rows.get(kind).map_or(0, |row| row.left)
    }

    /// Prints the table, and the wrong answers.
    pub(crate) fn print(&self) {
        let mut counts = self.counts();
        say(&format!(
            "{:22}{:>9}{:>9}{:>10}{:>7}{:>7}{:>7}{:>10}{:>10}{:>10}",
            "", "right", "refused", "changing", "away", "left", "wrong", "p50", "p99", "slowest"
        ));
        for (kind, row) in &mut counts.rows {
            row.right.sort_unstable();
            let at = |percent: usize| {
                let time = row.right.get((row.right.len() * percent / 100).min(row.right.len().saturating_sub(1)));
                time.map(|time| format!("{:.1} ms", time.as_secs_f64() * 1000.0)).unwrap_or_default()
            };
            say(&format!(
                "{kind:22}{:>9}{:>9}{:>10}{:>7}{:>7}{:>7}{:>10}{:>10}{:>10}",
                row.right.len(),
                row.refused,
                row.changing,
                row.away,
                row.left,
                row.wrong,
                at(50),
                at(99),
                at(100),
            ));
        }
        for wrong in &counts.wrong {
            say(&format!("WRONG: {wrong}"));
        }
    }

    fn counts(&self) -> MutexGuard<'_, Counts> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
