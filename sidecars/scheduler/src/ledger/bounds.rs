//! What keeps a ledger small, whatever is written to it: below 64 KiB of the 1 MiB that a `ConfigMap` may have.

use super::{
    Book, Change, State, Time,
    book::{Entry, FLOOR, NEWEST, Newest, RUN},
};

/// Runs in a ledger.
pub(crate) const RUNS: usize = 50;
/// Schedules of which a ledger says how far they have come.
pub(crate) const SCHEDULES: usize = 100;

impl Book {
    /// Completes a change, unless it is empty: also drops what cannot be read and what is beyond the limits. Runs that
    /// go on stay longest, and of schedules those whose newest instant is oldest.
    pub(super) fn bounded(&self, mut change: Change) -> Change {
        if change.is_empty() {
            return change;
        }
        for key in self.unreadable.iter().filter(|key| !change.touches(key)).cloned().collect::<Vec<_>>() {
            change.remove(key);
        }
        let mut runs: Vec<&Entry> = self.runs.iter().filter(|entry| !change.touches(&entry.key())).collect();
        runs.sort_by_key(|entry| (entry.state() == Some(State::Claimed), entry.place()));
        let excess = (runs.len() + change.written(RUN)).saturating_sub(RUNS);
        for entry in runs.into_iter().take(excess) {
            change.remove(entry.key());
        }
        let mut newest: Vec<&Newest> = self.newest.iter().filter(|newest| !change.touches(&newest.key())).collect();
        newest.sort_by_key(|newest| newest.instant);
        let excess = (newest.len() + change.written(NEWEST)).saturating_sub(SCHEDULES);
        let forgotten: Vec<_> = newest.into_iter().take(excess).collect();
        let floor = forgotten.iter().map(|newest| newest.instant).max();
        for newest in forgotten {
            change.remove(newest.key());
        }
        if floor > self.floor
            && let Some(floor) = floor
        {
            change.set(FLOOR, floor.to_rfc3339());
        }
        change
    }

    /// Whether there is no room for a schedule that is at `instant` now, as all others are as far: to forget one of them
    /// would take instants from it.
    pub(super) fn is_full(&self, instant: Time) -> bool {
        self.newest.len() >= SCHEDULES && self.newest.iter().all(|newest| newest.instant >= instant)
    }
}
