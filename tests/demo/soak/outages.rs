//! When which sidecar was away.

use std::{
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use tentacular_test_harness::Part;

/// How long a call may still fail after a sidecar can serve again: the kernel may hear of it a moment later.
const SETTLING: Duration = Duration::from_secs(1);

#[derive(Debug)]
struct Outage {
    part: Part,
    from: Instant,
    to: Option<Instant>,
}

/// All outages so far.
#[derive(Debug, Default)]
pub(crate) struct Outages(Mutex<Vec<Outage>>);

impl Outages {
    /// Notes that `part` is about to be killed.
    pub(crate) fn begin(&self, part: Part) {
        self.all().push(Outage { part, from: Instant::now(), to: None });
    }

    /// Notes that `part` can serve again.
    pub(crate) fn end(&self, part: Part) {
        let mut all = self.all();
        for outage in all.iter_mut().filter(|outage| outage.part == part && outage.to.is_none()) {
            outage.to = Some(Instant::now());
        }
    }

    /// Whether `part` was away at some time between the two.
    pub(crate) fn overlap(&self, part: Part, begun: Instant, ended: Instant) -> bool {
        self.all().iter().any(|outage| {
            outage.part == part && outage.from <= ended && outage.to.is_none_or(|to| begun <= to + SETTLING)
        })
    }

    /// How many there were.
    pub(crate) fn count(&self) -> usize {
        self.all().len()
    }

    fn all(&self) -> MutexGuard<'_, Vec<Outage>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
