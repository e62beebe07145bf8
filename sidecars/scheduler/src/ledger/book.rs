//! What a ledger says, read from the data of its `ConfigMap`.
//!
//! A person may have edited that: an entry that cannot be read counts for nothing, and is dropped by the next change.

use std::{
    cmp::Reverse,
    collections::{BTreeMap, BTreeSet},
    mem,
};

use serde::{Deserialize, Serialize};
use tentacular_contract::instant::is_rfc3339;

use super::{
    Change, Term, Time,
    run::{RUN_BYTES, Run, ScheduleId, State},
};
use crate::run::RunId;

/// Keys of the data: a prefix and the id of a run or the hash of a schedule, or all of a key.
pub(super) const RUN: &str = "run.";
pub(super) const NEWEST: &str = "newest.";
pub(super) const FLOOR: &str = "floor";
pub(super) const TERM: &str = "term";
/// Longest JSON of how far a schedule has come, in bytes.
pub(super) const NEWEST_BYTES: usize = 160;

/// No leader's term is higher: they begin with the minutes since 1970. What somebody wrote beyond would never let any
/// leader write again, and take the terms of all other ledgers with it.
const HIGHEST: Term = Term::MAX / 4;

/// What a ledger says.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Book {
    /// Newest first.
    pub(super) runs: Vec<Entry>,
    /// By schedule.
    pub(super) newest: Vec<Newest>,
    /// Of the schedules that were forgotten, how far they had come: no other claims an instant up to it.
    pub(super) floor: Option<Time>,
    /// The highest term that wrote here.
    pub(super) term: Term,
    /// Keys of what cannot be read.
    pub(super) unreadable: BTreeSet<String>,
}

/// A run, or of one that is not needed any more what gives it its place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) id: RunId,
    /// In milliseconds since the epoch, which takes less room than a time.
    claimed_at: i64,
    pub(super) run: Option<Box<Run>>,
}

/// The newest instant of a schedule that was claimed, skipped or passed before the schedule was first seen.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Newest {
    pub(super) schedule: ScheduleId,
    pub(super) instant: Time,
}

impl Entry {
    pub(super) fn key(&self) -> String {
        run_key(self.id)
    }

    /// Where it stands; none of one that ended, in a compact book.
    pub(super) fn state(&self) -> Option<State> {
        self.run.as_ref().map(|run| run.state)
    }

    pub(super) const fn place(&self) -> (i64, RunId) {
        (self.claimed_at, self.id)
    }
}

impl Newest {
    pub(super) fn key(&self) -> String {
        newest_key(&self.schedule)
    }
}

pub(super) fn run_key(id: RunId) -> String {
    format!("{RUN}{id}")
}

pub(super) fn newest_key(schedule: &ScheduleId) -> String {
    format!("{NEWEST}{}", schedule.hash())
}

impl Book {
    /// Reads the data of a `ConfigMap`.
    pub(crate) fn read(data: &BTreeMap<String, String>) -> Self {
        let mut book = Self::default();
        for (key, text) in data {
            if book.put(key, text).is_none() {
                book.unreadable.insert(key.clone());
            }
        }
        book.sort();
        book
    }

    /// Takes a change over that was written.
    pub(crate) fn apply(&mut self, change: &Change) {
        self.runs.retain(|entry| !change.touches(&entry.key()));
        self.newest.retain(|newest| !change.touches(&newest.key()));
        self.unreadable.retain(|key| !change.touches(key));
        for (key, text) in change.data() {
            match text {
                Some(text) if self.put(key, text).is_none() => drop(self.unreadable.insert(key.clone())),
                _ => {}
            }
        }
        self.sort();
    }

    /// Drops what judging needs no more, so that a process can keep the books of many tentacles: of the runs that ended,
    /// all but id and place.
    pub(crate) fn compact(&mut self) {
        let mut runs = mem::take(&mut self.runs);
        for entry in &mut runs {
            if !entry.state().is_some_and(State::is_open)
                && !entry.run.as_ref().is_some_and(|run| self.is_last_skip(run))
            {
                entry.run = None;
            }
        }
        runs.shrink_to_fit();
        self.runs = runs;
        self.newest.shrink_to_fit();
    }

    /// The runs, newest first. Of a compact book those that are still open, and what an equal skip folds into.
    pub(crate) fn runs(&self) -> impl Iterator<Item = &Run> {
        self.runs.iter().filter_map(|entry| entry.run.as_deref())
    }

    /// The runs that are going on, as far as is known, newest first.
    pub(crate) fn claimed(&self) -> impl Iterator<Item = &Run> {
        self.runs().filter(|run| run.state == State::Claimed)
    }

    /// The runs whose end nobody knows, newest first.
    pub(crate) fn interrupted(&self) -> impl Iterator<Item = &Run> {
        self.runs().filter(|run| run.state == State::Interrupted)
    }

    /// The newest instant of `schedule` that was claimed or skipped, or from which on it counts. None before
    /// [`Book::since`].
    pub(crate) fn newest(&self, schedule: &ScheduleId) -> Option<Time> {
        self.newest.iter().find(|newest| newest.schedule == *schedule).map(|newest| newest.instant)
    }

    /// The highest term that wrote here.
    #[cfg(test)]
    pub(crate) const fn term(&self) -> Term {
        self.term
    }

    /// Whether `run` is a skip, and the last of its schedule: nothing was claimed or skipped since.
    pub(super) fn is_last_skip(&self, run: &Run) -> bool {
        let newest = run.schedule.as_ref().and_then(|schedule| self.newest(schedule));
        run.state == State::Skipped && newest.is_some() && run.latest() == newest
    }

    fn sort(&mut self) {
        self.runs.sort_by_key(|entry| Reverse(entry.place()));
        self.newest.sort_by(|one, other| one.schedule.cmp(&other.schedule));
    }

    /// Reads one entry. None when it cannot be read, is longer than any that is written, or stands under another's key.
    fn put(&mut self, key: &str, text: &str) -> Option<()> {
        match key {
            FLOOR => self.floor = Some(text.parse().ok().filter(is_rfc3339)?),
            TERM => self.term = text.parse().ok().filter(|term| *term <= HIGHEST)?,
            _ if key.starts_with(RUN) && text.len() <= RUN_BYTES => {
                let run: Run = serde_json::from_str(text).ok().filter(|run: &Run| run.times().all(is_rfc3339))?;
                let claimed_at = run.claimed_at.timestamp_millis();
                let entry = Entry { id: run.id, claimed_at, run: Some(Box::new(run.within_limits())) };
                (entry.key() == key).then(|| self.runs.push(entry))?;
            }
            _ if key.starts_with(NEWEST) && text.len() <= NEWEST_BYTES => {
                let newest: Newest =
                    serde_json::from_str(text).ok().filter(|newest: &Newest| is_rfc3339(&newest.instant))?;
                (newest.key() == key).then(|| self.newest.push(newest))?;
            }
            _ => return None,
        }
        Some(())
    }
}
