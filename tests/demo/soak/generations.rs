//! A secret that is replaced now and then, and which of its generations counts when.

use std::{
    sync::{PoisonError, RwLock},
    time::{Duration, Instant},
};

/// What the answer to somebody who shows a generation must be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Expected {
    /// It counts.
    Accepted,
    /// It does not count.
    Refused,
    /// It has just been replaced, or has just replaced another.
    Either,
}

/// How long the kernel may take to notice a change.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Notice {
    /// Until the new one is accepted.
    pub(crate) new: Duration,
    /// Until the old one is refused.
    pub(crate) old: Duration,
}

/// All generations so far, with the time at which each began.
#[derive(Debug)]
pub(crate) struct Generations<T> {
    notice: Notice,
    all: RwLock<Vec<(Instant, T)>>,
}

impl<T: Clone> Generations<T> {
    pub(crate) fn new(first: T, notice: Notice) -> Self {
        Self { notice, all: RwLock::new(vec![(Instant::now(), first)]) }
    }

    /// The newest one and its number, while `what` is done with it: nothing is replaced meanwhile.
    pub(crate) fn with_newest<R>(&self, what: impl FnOnce(usize, &T) -> R) -> R {
        let all = self.all.read().unwrap_or_else(PoisonError::into_inner);
        let newest = all.len() - 1;
        what(newest, &all[newest].1)
    }

    /// Replaces the newest one by what `make` makes and puts into force.
    pub(crate) fn replace(&self, make: impl FnOnce(usize) -> anyhow::Result<T>) -> anyhow::Result<()> {
        let mut all = self.all.write().unwrap_or_else(PoisonError::into_inner);
        // What is refused from the moment on at which it is replaced must not count as too early.
        let from = Instant::now();
        let next = make(all.len())?;
        all.push((from, next));
        Ok(())
    }

    /// What must become of somebody who showed generation `number` between `begun` and `ended`.
    pub(crate) fn expected(&self, number: usize, begun: Instant, ended: Instant) -> Expected {
        let all = self.all.read().unwrap_or_else(PoisonError::into_inner);
        let new = number > 0 && begun < all[number].0 + self.notice.new;
        match all.get(number + 1).map(|(replaced, _)| *replaced) {
            Some(replaced) if begun >= replaced + self.notice.old => Expected::Refused,
            Some(replaced) if ended >= replaced => Expected::Either,
            _ if new => Expected::Either,
            _ => Expected::Accepted,
        }
    }

    /// How often it was replaced.
    pub(crate) fn replaced(&self) -> usize {
        self.with_newest(|number, _| number)
    }
}

impl<T: PartialEq> Generations<T> {
    /// The number of a generation.
    pub(crate) fn find(&self, wanted: &T) -> Option<usize> {
        let all = self.all.read().unwrap_or_else(PoisonError::into_inner);
        all.iter().position(|(_, generation)| generation == wanted)
    }
}
