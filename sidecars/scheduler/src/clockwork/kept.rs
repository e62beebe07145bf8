//! The tentacles that have schedules, as the leader keeps them.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
};

use futures::{StreamExt as _, stream};
use tentacular_cluster::{Error, Leadership};
use tentacular_contract::{EnclaveName, Status, Tentacle, TentacleName, facts::Pairs, keys};
use tokio::{
    sync::{OnceCell, watch},
    time::Instant,
};

use super::{Lead, Place, Time, Timetable, is_ambiguous, relevant, wheel::Wheel};
use crate::{
    clock::Clock,
    engine::Engine,
    ledger::{Held, ScheduleId, Term},
};

/// Ledgers that are read at the same time.
const AT_ONCE: usize = 8;

/// Whether this process still leads, for everything that fires.
#[derive(Debug, Clone)]
pub(super) struct Leading {
    until: watch::Receiver<Instant>,
    later: watch::Sender<Term>,
}

impl Leading {
    pub(super) fn of(leadership: &Leadership) -> Self {
        Self { until: leadership.until(), later: watch::Sender::new(0) }
    }

    pub(super) fn is_valid(&self) -> bool {
        Instant::now() < *self.until.borrow()
    }

    /// Notes that a ledger was written in a later term.
    pub(super) fn is_fenced_by(&self, term: Term) {
        self.later.send_if_modified(|later| {
            let newer = term > *later;
            *later = term.max(*later);
            newer
        });
    }

    /// Waits until a ledger was found to be written in a later term, and returns that.
    pub(super) async fn fenced(&self) -> Term {
        let mut later = self.later.subscribe();
        // The sender lives as long as `self`.
        later.wait_for(|later| *later > 0).await.map_or(0, |later| *later)
    }
}

/// A tentacle with schedules.
#[derive(Debug)]
pub(super) struct Kept {
    pub(super) place: Place,
    /// Distinguishes it from what was at that place before.
    pub(super) generation: u64,
    uid: String,
    pub(super) relevant: Pairs,
    pub(super) timetable: Timetable,
    /// The names that the schedules have in `workflow.yaml`, once they were needed.
    pub(super) names: OnceCell<Vec<Option<String>>>,
    pub(super) ledger: Arc<tokio::sync::Mutex<Held>>,
    /// Runs of this process that go on.
    pub(super) running: Arc<AtomicUsize>,
    /// Schedules that count from this time on, whatever the ledger says: they were not there before, or stood still.
    pub(super) since: Mutex<BTreeMap<ScheduleId, Since>>,
}

/// From when on a schedule counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Since {
    /// It is new.
    New(Time),
    /// Its enclave was frozen until then.
    Frozen(Time),
}

impl Kept {
    /// Whether a run of this process goes on.
    pub(super) fn is_running(&self) -> bool {
        self.running.load(Ordering::Relaxed) > 0
    }

    pub(super) fn begin(&self) {
        self.running.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn end(&self) {
        self.running.fetch_sub(1, Ordering::Relaxed);
    }

    /// Whether something of it is left open that may be closed.
    pub(super) fn is_open(&self) -> bool {
        self.ledger
            .try_lock()
            .is_ok_and(|held| held.book().claimed().next().is_some() || held.book().interrupted().next().is_some())
    }

    /// From when on the schedule counts, where the ledger does not say so.
    pub(super) fn since(&self, id: &ScheduleId) -> Option<Since> {
        self.since.lock().unwrap_or_else(PoisonError::into_inner).get(id).copied()
    }

    /// The schedule counts from then on, which the ledger says now.
    pub(super) fn settled(&self, id: &ScheduleId) {
        self.since.lock().unwrap_or_else(PoisonError::into_inner).remove(id);
    }
}

/// All of them.
#[derive(Debug, Default)]
pub(super) struct Standing {
    kept: HashMap<Place, Arc<Kept>>,
    /// The enclaves whose ledgers were read, by uid, with the ledgers that were not taken yet.
    enclaves: HashMap<EnclaveName, (String, BTreeMap<TentacleName, Held>)>,
    /// Tentacles that could not be taken up although they were there.
    pending: HashSet<Place>,
    /// Tentacles of frozen enclaves, which come back when these thaw.
    frozen: HashSet<Place>,
    generation: u64,
}

/// What is to be kept.
struct Wanted {
    place: Place,
    uid: String,
    relevant: Pairs,
}

/// Something that is to be kept in another way than before.
struct Change {
    wanted: Wanted,
    before: Option<Arc<Kept>>,
    held: Option<Held>,
    /// From when on schedules count that were not there before.
    since: Option<Since>,
    generation: u64,
}

impl Standing {
    pub(super) fn get(&self, place: &Place) -> Option<&Arc<Kept>> {
        self.kept.get(place)
    }

    pub(super) fn all(&self) -> impl Iterator<Item = &Arc<Kept>> {
        self.kept.values()
    }

    /// Takes up what the watches show. Returns whether that was all of it: what cannot be read now is to be tried again.
    pub(super) async fn refresh<E: Engine, C: Clock + Clone>(
        &mut self,
        lead: &Lead<E, C>,
        wheel: &mut Wheel,
    ) -> bool {
        let now = lead.clockwork.clock.time();
        let seen: HashSet<_> = self.enclaves.keys().cloned().collect();
        let (wanted, mut complete) = self.wanted(lead).await;
        let places: HashSet<_> = wanted.iter().map(|wanted| wanted.place.clone()).collect();
        self.pending.retain(|place| places.contains(place));
        self.kept.retain(|place, kept| {
            let stays = places.contains(place);
            if !stays {
                wheel.remove(place, kept.timetable.entries.len());
            }
            stays
        });
        let mut changes = Vec::new();
        for wanted in wanted {
            let before = self.kept.get(&wanted.place).cloned();
            if before.as_ref().is_some_and(|kept| kept.uid == wanted.uid && kept.relevant == wanted.relevant) {
                continue;
            }
            let place = &wanted.place;
            let since = if self.frozen.remove(place) {
                Some(Since::Frozen(now))
            } else {
                // One that was there when this process began to lead counts from where its ledger is.
                let known = !seen.contains(&place.enclave) || self.pending.contains(place);
                (!known).then_some(Since::New(now))
            };
            let listed = self.enclaves.get_mut(&place.enclave);
            let held = listed.and_then(|(_, ledgers)| ledgers.remove(&place.tentacle)).filter(|_| before.is_none());
            self.generation += 1;
            changes.push(Change { wanted, before, held, since, generation: self.generation });
        }
        let kept = changes.into_iter().map(|change| async {
            let place = change.wanted.place.clone();
            lead.keep(change).await.map_err(|error| (place, error))
        });
        let kept: Vec<_> = stream::iter(kept.collect::<Vec<_>>()).buffer_unordered(AT_ONCE).collect().await;
        for outcome in kept {
            match outcome {
                Ok(kept) => self.put(kept, wheel, now),
                Err((place, error)) => {
                    let Place { enclave, tentacle } = &place;
                    tracing::warn!(%enclave, %tentacle, %error, "schedules cannot be taken up; trying again");
                    self.pending.insert(place);
                    complete = false;
                }
            }
        }
        complete
    }

    fn put(&mut self, kept: Kept, wheel: &mut Wheel, now: Time) {
        let entries = kept.timetable.entries.len();
        self.pending.remove(&kept.place);
        let place = kept.place.clone();
        if let Some(before) = self.kept.insert(place.clone(), Arc::new(kept)) {
            wheel.remove(&place, before.timetable.entries.len());
        }
        for index in 0..entries {
            wheel.set((place.clone(), index), now);
        }
    }

    /// The tentacles that have schedules and may run, and whether all enclaves could be looked at.
    async fn wanted<E: Engine, C: Clock + Clone>(&mut self, lead: &Lead<E, C>) -> (Vec<Wanted>, bool) {
        let clockwork = &lead.clockwork;
        let (mut wanted, mut complete) = (Vec::new(), true);
        let enclaves = clockwork.enclaves.list();
        self.enclaves.retain(|name, _| enclaves.iter().any(|enclave| enclave.name == *name));
        self.frozen.retain(|place| enclaves.iter().any(|enclave| enclave.name == place.enclave));
        for enclave in enclaves.iter().filter(|enclave| !enclave.terminating) {
            let name = &enclave.name;
            let uid = clockwork.enclaves.metadata(name).and_then(|metadata| metadata.uid.clone()).unwrap_or_default();
            if !clockwork.deployments.has_synced(name) || !self.has_ledgers(lead, name, &uid).await {
                // What was known stays until more is known.
                let known = self.kept.values().filter(|kept| kept.place.enclave == *name);
                wanted.extend(known.map(|kept| Wanted {
                    place: kept.place.clone(),
                    uid: kept.uid.clone(),
                    relevant: kept.relevant.clone(),
                }));
                complete &= !clockwork.deployments.has_synced(name);
                continue;
            }
            let found = clockwork.deployments.list(name).into_iter().filter_map(|deployment| {
                let metadata = &deployment.metadata;
                let annotations = metadata.annotations.as_ref()?;
                Tentacle::from_metadata(metadata.labels.as_ref()?, annotations)?;
                let relevant = relevant(annotations);
                relevant.contains_key(keys::CRON_SCHEDULE).then_some(())?;
                let tentacle = metadata.name.as_deref()?.parse().ok()?;
                let place = Place { enclave: name.clone(), tentacle };
                Some(Wanted { place, uid: metadata.uid.clone()?, relevant })
            });
            if enclave.status == Status::Frozen {
                self.frozen.extend(found.map(|wanted| wanted.place));
            } else {
                wanted.extend(found);
            }
        }
        (wanted, complete)
    }

    /// Whether the ledgers of the enclave are read; reads them if not.
    async fn has_ledgers<E: Engine, C: Clock + Clone>(
        &mut self,
        lead: &Lead<E, C>,
        enclave: &EnclaveName,
        uid: &str,
    ) -> bool {
        if self.enclaves.get(enclave).is_some_and(|(seen, _)| seen == uid) {
            return true;
        }
        match lead.clockwork.ledgers.list(enclave).await {
            Ok(ledgers) => {
                self.enclaves.insert(enclave.clone(), (uid.to_owned(), ledgers));
                true
            }
            Err(error) => {
                tracing::warn!(%enclave, %error, "the ledgers of an enclave cannot be read; trying again");
                false
            }
        }
    }
}

impl<E: Engine, C: Clock + Clone> Lead<E, C> {
    /// Reads what is needed to keep a tentacle.
    async fn keep(&self, change: Change) -> Result<Kept, Error> {
        let Change { wanted: Wanted { place, uid, relevant }, before, held, since, generation } = change;
        let Place { enclave, tentacle } = &place;
        let before = before.filter(|before| before.uid == uid);
        let (ledger, running) = match (&before, held) {
            (Some(before), _) => (Arc::clone(&before.ledger), Arc::clone(&before.running)),
            (None, Some(held)) => (Arc::new(tokio::sync::Mutex::new(held)), Arc::default()),
            (None, None) => {
                let held = self.clockwork.ledgers.load(enclave, tentacle).await?;
                (Arc::new(tokio::sync::Mutex::new(held)), Arc::default())
            }
        };
        let triggers = if is_ambiguous(&relevant) { self.triggers(&place).await? } else { None };
        let timetable = Timetable::read((enclave, tentacle), &relevant, triggers.as_deref());
        self.tell_invalid(&place, &uid, &timetable).await;
        let known = |id: &ScheduleId| {
            before.as_ref().is_some_and(|before| before.timetable.entries.iter().any(|entry| entry.id == *id))
        };
        let since = since.map(|since| {
            let new = timetable.entries.iter().filter(|entry| !known(&entry.id));
            new.map(|entry| (entry.id.clone(), since)).collect()
        });
        let since = Mutex::new(since.unwrap_or_default());
        Ok(Kept { place, generation, uid, relevant, timetable, names: OnceCell::new(), ledger, running, since })
    }
}
