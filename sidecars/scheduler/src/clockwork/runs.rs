//! The runs of this process that schedules fired. They outlast the lead in which they were begun, and the limits hold for
//! those of all leads together.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio::sync::{OwnedSemaphorePermit, Semaphore, SemaphorePermit};
use tokio_util::task::TaskTracker;

use super::{Place, kept::Kept};
use crate::run::RunId;

/// Runs that go on at the same time. As long as there are so many, nothing is claimed.
const RUNS: usize = 2000;
/// Ledgers that are written for runs, and tentacles that are looked after, at the same time.
pub(super) const WRITES: usize = 32;

/// Room for one run.
pub(super) type Room = OwnedSemaphorePermit;

/// Runs, and whose they are, by tentacle.
type ByTentacle = HashMap<Place, Vec<(RunId, Arc<Kept>)>>;

/// All of them.
#[derive(Debug)]
pub(super) struct Runs {
    /// Those that go on.
    ongoing: Mutex<ByTentacle>,
    room: Arc<Semaphore>,
    writes: Semaphore,
    /// Their tasks, which end when the outcome is written.
    pub(super) tasks: TaskTracker,
}

/// A run that goes on, until this is dropped.
#[derive(Debug)]
pub(super) struct Ongoing {
    runs: Arc<Runs>,
    place: Place,
    run: RunId,
}

impl Default for Runs {
    fn default() -> Self {
        let (room, writes) = (Arc::new(Semaphore::new(RUNS)), Semaphore::new(WRITES));
        Self { ongoing: Mutex::default(), room, writes, tasks: TaskTracker::new() }
    }
}

impl Runs {
    /// Room for one more, while there is any.
    pub(super) fn room(&self) -> Option<Room> {
        Arc::clone(&self.room).try_acquire_owned().ok()
    }

    /// Whether there is room for one more.
    pub(super) fn has_room(&self) -> bool {
        self.room.available_permits() > 0
    }

    /// Waits for a turn to write, which lasts until what is returned is dropped.
    pub(super) async fn turn_to_write(&self) -> Option<SemaphorePermit<'_>> {
        // None when it is closed, which nobody does.
        self.writes.acquire().await.ok()
    }

    pub(super) fn begin(self: &Arc<Self>, kept: &Arc<Kept>, run: RunId) -> Ongoing {
        let place = kept.place.clone();
        self.ongoing().entry(place.clone()).or_default().push((run, Arc::clone(kept)));
        Ongoing { runs: Arc::clone(self), place, run }
    }

    /// How many of a tentacle go on.
    pub(super) fn count(&self, place: &Place) -> usize {
        self.ongoing().get(place).map_or(0, Vec::len)
    }

    /// All that go on.
    pub(super) fn all(&self) -> Vec<(RunId, Arc<Kept>)> {
        self.ongoing().values().flatten().cloned().collect()
    }

    fn ongoing(&self) -> MutexGuard<'_, ByTentacle> {
        self.ongoing.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Ongoing {
    fn drop(&mut self) {
        let mut ongoing = self.runs.ongoing();
        let Some(runs) = ongoing.get_mut(&self.place) else { return };
        if let Some(index) = runs.iter().position(|(run, _)| *run == self.run) {
            runs.swap_remove(index);
        }
        if runs.is_empty() {
            ongoing.remove(&self.place);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeMap, time::SystemTime};

    use super::*;
    use crate::{
        clockwork::{Timetable, kept::Seen},
        ledger::Ledgers,
    };

    fn kept(tentacle: &str) -> Arc<Kept> {
        let place = Place { enclave: "team-a".parse().expect("a name"), tentacle: tentacle.parse().expect("a name") };
        let seen = Seen { uid: "uid".to_owned(), generation: None, relevant: BTreeMap::new() };
        let timetable = Timetable::read((&place.enclave, &place.tentacle), &seen.relevant, None);
        let held = Ledgers::unread(&place.enclave, &place.tentacle);
        Arc::new(Kept::new(place, 1, seen, timetable, Arc::new(tokio::sync::Mutex::new(held)), BTreeMap::new()))
    }

    #[test]
    fn a_tentacle_runs_until_its_last_run_has_ended_however_that_was() {
        let (runs, a, b) = (Arc::new(Runs::default()), kept("a"), kept("b"));
        let id = || RunId::new(SystemTime::UNIX_EPOCH);
        let (one, other) = (runs.begin(&a, id()), runs.begin(&a, id()));
        assert_eq!((runs.count(&a.place), runs.all().len()), (2, 2));
        drop(one);
        assert_eq!((runs.count(&a.place), runs.count(&b.place)), (1, 0));
        let panics = std::thread::spawn(move || {
            let _other = other;
            panic!("on purpose");
        });
        panics.join().expect_err("a panic");
        assert!(runs.ongoing().is_empty());
    }
}
