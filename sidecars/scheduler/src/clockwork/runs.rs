//! The runs of this process that schedules fired. They outlast the lead in which they were begun, and the limits hold for
//! those of all leads together.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tentacular_contract::EnclaveName;
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

/// Runs that go on, and how many they are.
#[derive(Debug, Default)]
struct Counted {
    by_tentacle: HashMap<Place, Vec<(RunId, Arc<Kept>)>>,
    by_enclave: HashMap<EnclaveName, usize>,
}

/// All of them.
#[derive(Debug)]
pub(super) struct Runs {
    ongoing: Mutex<Counted>,
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

    /// Whether an enclave may have one more: it has no more of them than there is room left for. However many are full of runs that
    /// never end, there is as much left as each of them has, for one that has none.
    pub(super) fn is_fair(&self, enclave: &EnclaveName) -> bool {
        let has = self.ongoing().by_enclave.get(enclave).copied().unwrap_or_default();
        has <= self.room.available_permits()
    }

    /// Waits for a turn to write, which lasts until what is returned is dropped.
    pub(super) async fn turn_to_write(&self) -> Option<SemaphorePermit<'_>> {
        // None when it is closed, which nobody does.
        self.writes.acquire().await.ok()
    }

    pub(super) fn begin(self: &Arc<Self>, kept: &Arc<Kept>, run: RunId) -> Ongoing {
        let place = kept.place.clone();
        let mut ongoing = self.ongoing();
        ongoing.by_tentacle.entry(place.clone()).or_default().push((run, Arc::clone(kept)));
        *ongoing.by_enclave.entry(place.enclave.clone()).or_default() += 1;
        drop(ongoing);
        Ongoing { runs: Arc::clone(self), place, run }
    }

    /// How many of a tentacle go on.
    pub(super) fn count(&self, place: &Place) -> usize {
        self.ongoing().by_tentacle.get(place).map_or(0, Vec::len)
    }

    /// All that go on.
    pub(super) fn all(&self) -> Vec<(RunId, Arc<Kept>)> {
        self.ongoing().by_tentacle.values().flatten().cloned().collect()
    }

    fn ongoing(&self) -> MutexGuard<'_, Counted> {
        self.ongoing.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Ongoing {
    fn drop(&mut self) {
        let mut ongoing = self.runs.ongoing();
        let Counted { by_tentacle, by_enclave } = &mut *ongoing;
        if let Some(runs) = by_tentacle.get_mut(&self.place) {
            runs.retain(|(run, _)| *run != self.run);
            if runs.is_empty() {
                by_tentacle.remove(&self.place);
            }
        }
        if let Some(count) = by_enclave.get_mut(&self.place.enclave) {
            *count -= 1;
            if *count == 0 {
                by_enclave.remove(&self.place.enclave);
            }
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

    fn kept(enclave: &str, tentacle: &str) -> Arc<Kept> {
        let place = Place { enclave: enclave.parse().expect("a name"), tentacle: tentacle.parse().expect("a name") };
        let seen = Seen { uid: "uid".to_owned(), generation: None, relevant: BTreeMap::new() };
        let timetable = Timetable::read((&place.enclave, &place.tentacle), &seen.relevant, None);
        let held = Ledgers::unread(&place.enclave, &place.tentacle);
        Arc::new(Kept::new(place, 1, seen, timetable, Arc::new(tokio::sync::Mutex::new(held)), BTreeMap::new()))
    }

    #[test]
    fn a_tentacle_runs_until_its_last_run_has_ended_however_that_was() {
        let (runs, a, b) = (Arc::new(Runs::default()), kept("team-a", "a"), kept("team-a", "b"));
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
        let ongoing = runs.ongoing();
        assert!(ongoing.by_tentacle.is_empty() && ongoing.by_enclave.is_empty());
    }

    #[test]
    fn however_many_enclaves_are_full_of_runs_there_is_room_for_others() {
        let (runs, mut going_on) = (Arc::new(Runs::default()), Vec::new());
        let run = |enclave: &str| {
            let kept = kept(enclave, "a");
            let room = runs.room().filter(|_| runs.is_fair(&kept.place.enclave))?;
            Some((runs.begin(&kept, RunId::new(SystemTime::now())), room))
        };
        for number in 0..10 {
            going_on.extend(std::iter::from_fn(|| run(&format!("full-{number}"))));
        }
        assert!(going_on.len() > RUNS / 2, "{}", going_on.len());
        assert!(run("other").is_some());
    }
}
