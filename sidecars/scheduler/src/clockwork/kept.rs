//! A tentacle that has schedules, as the leader keeps it.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};

use tentacular_contract::facts::Pairs;
use tokio::sync::OnceCell;

use super::{Place, Time, Timetable};
use crate::ledger::{Held, ScheduleId};

/// What of a Deployment decides how its schedules are read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Seen {
    pub(super) uid: String,
    /// Its generation, which changes with the code that it runs.
    pub(super) generation: Option<i64>,
    pub(super) relevant: Pairs,
}

/// A tentacle with schedules.
#[derive(Debug)]
pub(super) struct Kept {
    pub(super) place: Place,
    /// Tells it from what was kept of that place before.
    pub(super) number: u64,
    pub(super) seen: Seen,
    pub(super) timetable: Timetable,
    /// The names that the schedules have in `workflow.yaml`, once they were needed.
    pub(super) names: OnceCell<Vec<Option<String>>>,
    pub(super) ledger: Arc<tokio::sync::Mutex<Held>>,
    since: Mutex<BTreeMap<ScheduleId, Since>>,
    retired: AtomicBool,
}

/// From when on a schedule counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Since {
    /// It is new.
    New(Time),
    /// Its enclave was frozen until then.
    Frozen(Time),
    /// Its Deployment was made then, and whatever had come to an instant before that was another one.
    Made(Time),
}

impl Kept {
    /// `since` are the schedules that count from some time on, whatever the ledger says.
    pub(super) fn new(
        place: Place,
        number: u64,
        seen: Seen,
        timetable: Timetable,
        ledger: Arc<tokio::sync::Mutex<Held>>,
        since: BTreeMap<ScheduleId, Since>,
    ) -> Self {
        let (names, since, retired) = (OnceCell::new(), Mutex::new(since), AtomicBool::new(false));
        Self { place, number, seen, timetable, names, ledger, since, retired }
    }

    /// Whether something else stands in its place now, or nothing.
    pub(super) fn is_retired(&self) -> bool {
        self.retired.load(Ordering::Acquire)
    }

    pub(super) fn retire(&self) {
        self.retired.store(true, Ordering::Release);
    }

    /// Whether something of it is left open that may be closed.
    pub(super) fn is_open(&self) -> bool {
        self.ledger.try_lock().is_ok_and(|held| held.book().runs().any(|run| run.state.is_open()))
    }

    /// From when on the schedule counts, where the ledger does not say so.
    pub(super) fn since(&self, id: &ScheduleId) -> Option<Since> {
        self.unsettled().get(id).copied()
    }

    /// The schedule counts from then on, which the ledger says now.
    pub(super) fn settled(&self, id: &ScheduleId) {
        self.unsettled().remove(id);
    }

    /// From when on its schedules count of which the ledger does not say so.
    fn unsettled(&self) -> MutexGuard<'_, BTreeMap<ScheduleId, Since>> {
        self.since.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
