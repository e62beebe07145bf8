//! All tentacles that have schedules, as the watches show them.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    sync::Arc,
};

use futures::{StreamExt as _, stream};
use k8s_openapi::api::apps::v1::Deployment;
use tentacular_cluster::{Error, Metadata};
use tentacular_contract::{EnclaveName, Status, Tentacle, TentacleName, keys};
use tokio::sync::Mutex;

use super::{
    Lead, Place, Time, Timetable, is_ambiguous,
    kept::{Kept, Seen, Since},
    relevant, tell,
    timetable::Entry,
    wheel::Wheel,
};
use crate::{
    clock::Clock,
    engine::Engine,
    ledger::{Held, ScheduleId},
};

/// Ledgers that are read at the same time.
const AT_ONCE: usize = 8;
/// Enclaves whose ledgers, with all that they say, are read at the same time.
const ENCLAVES_AT_ONCE: usize = 4;

/// All of them.
#[derive(Debug, Default)]
pub(super) struct Standing {
    kept: HashMap<Place, Arc<Kept>>,
    /// The enclaves whose ledgers were read, by uid, with the ledgers that were not taken yet.
    enclaves: HashMap<EnclaveName, (String, BTreeMap<TentacleName, Held>)>,
    /// Tentacles that could not be taken up although they were there, and from when on their schedules count.
    pending: HashMap<Place, Since>,
    /// The tentacles with schedules of enclaves that are frozen.
    frozen: HashMap<EnclaveName, HashSet<TentacleName>>,
    count: u64,
}

/// A tentacle with schedules, as its Deployment tells.
#[derive(Debug)]
pub(crate) struct Scheduled {
    tentacle: TentacleName,
    seen: Seen,
    made: Option<Time>,
}

impl Scheduled {
    /// The tentacle that `deployment` is, if it is one with schedules, and stays.
    pub(crate) fn of(deployment: Metadata<Deployment>) -> Option<Self> {
        let metadata = Some(deployment.metadata).filter(|metadata| metadata.deletion_timestamp.is_none())?;
        let annotations = metadata.annotations.as_ref()?;
        Tentacle::from_metadata(metadata.labels.as_ref()?, annotations)?;
        let relevant = relevant(annotations);
        relevant.contains_key(keys::CRON_SCHEDULE).then_some(())?;
        let made = metadata.creation_timestamp.and_then(|time| Time::from_timestamp(time.0.as_second(), 0));
        let seen = Seen { uid: metadata.uid?, generation: metadata.generation, relevant };
        Some(Self { tentacle: metadata.name?.parse().ok()?, seen, made })
    }

    fn wanted(&self, enclave: &EnclaveName, now: Time) -> Wanted {
        Wanted {
            place: Place { enclave: enclave.clone(), tentacle: self.tentacle.clone() },
            seen: self.seen.clone(),
            // The API server's clock may be ahead.
            made: self.made.map_or(now, |made| made.min(now)),
            thawed: false,
        }
    }
}

/// What is to be kept.
struct Wanted {
    place: Place,
    seen: Seen,
    made: Time,
    /// Whether its enclave was frozen until now, with it in it.
    thawed: bool,
}

/// Something that is to be kept in another way than before.
struct Change {
    wanted: Wanted,
    before: Option<Arc<Kept>>,
    held: Option<Held>,
    /// From when on schedules count that were not there before.
    since: Since,
    number: u64,
}

impl Standing {
    pub(super) fn get(&self, place: &Place) -> Option<&Arc<Kept>> {
        self.kept.get(place)
    }

    pub(super) fn all(&self) -> impl Iterator<Item = &Arc<Kept>> {
        self.kept.values()
    }

    /// Looks at all schedules at `now`, whenever they were to be looked at.
    pub(super) fn look_at_all(&self, wheel: &mut Wheel, now: Time) {
        self.kept.values().for_each(|kept| look_at(kept, wheel, now));
    }

    /// Takes up what the watches show. Returns whether that was all of it: what cannot be read now is to be tried again.
    pub(super) async fn refresh<E: Engine, C: Clock + Clone>(
        &mut self,
        lead: &Lead<E, C>,
        wheel: &mut Wheel,
    ) -> bool {
        let now = lead.clockwork.clock.time();
        let known: HashSet<_> = self.enclaves.keys().cloned().collect();
        let (wanted, mut complete) = self.wanted(lead, now).await;
        let places: HashSet<_> = wanted.iter().map(|wanted| &wanted.place).collect();
        self.pending.retain(|place, _| places.contains(place));
        self.kept.retain(|place, kept| {
            let stays = places.contains(place);
            if !stays {
                kept.retire();
                wheel.remove(place, kept.timetable.entries.len());
            }
            stays
        });
        let changes: Vec<_> = wanted.into_iter().filter_map(|wanted| self.change(wanted, now, &known)).collect();
        let kept = changes.into_iter().map(|change| async {
            let (place, since) = (change.wanted.place.clone(), change.since);
            lead.keep(change).await.map_err(|error| (place, since, error))
        });
        let kept: Vec<_> = stream::iter(kept.collect::<Vec<_>>()).buffer_unordered(AT_ONCE).collect().await;
        for outcome in kept {
            match outcome {
                Ok(kept) => self.put(kept, wheel, now),
                Err((place, since, error)) => {
                    let Place { enclave, tentacle } = &place;
                    tracing::warn!(%enclave, %tentacle, %error, "schedules cannot be taken up; trying again");
                    self.pending.insert(place, since);
                    complete = false;
                }
            }
        }
        complete
    }

    /// What is to be done so that `wanted` is kept; nothing when it is. `known` are the enclaves that were known before.
    fn change(&mut self, wanted: Wanted, now: Time, known: &HashSet<EnclaveName>) -> Option<Change> {
        let place = &wanted.place;
        let before = self.kept.get(place).cloned();
        if before.as_ref().is_some_and(|kept| kept.seen == wanted.seen) {
            return None;
        }
        let since = if let Some(since) = self.pending.get(place) {
            *since
        } else if wanted.thawed {
            Since::Frozen(now)
        } else if known.contains(&place.enclave) {
            Since::New(now)
        } else {
            // It was there when this process began to lead, and counts from where its ledger is.
            Since::Made(wanted.made)
        };
        let listed = self.enclaves.get_mut(&place.enclave);
        let held = listed.and_then(|(_, ledgers)| ledgers.remove(&place.tentacle)).filter(|_| before.is_none());
        self.count += 1;
        Some(Change { wanted, before, held, since, number: self.count })
    }

    fn put(&mut self, kept: Kept, wheel: &mut Wheel, now: Time) {
        self.pending.remove(&kept.place);
        let kept = Arc::new(kept);
        if let Some(before) = self.kept.insert(kept.place.clone(), Arc::clone(&kept)) {
            before.retire();
            wheel.remove(&kept.place, before.timetable.entries.len());
        }
        look_at(&kept, wheel, now);
    }

    /// The tentacles that have schedules and may run, and whether all enclaves could be looked at.
    async fn wanted<E: Engine, C: Clock + Clone>(&mut self, lead: &Lead<E, C>, now: Time) -> (Vec<Wanted>, bool) {
        let clockwork = &lead.clockwork;
        let (mut wanted, mut complete) = (Vec::new(), true);
        let enclaves = clockwork.enclaves.list();
        let names: HashSet<_> = enclaves.iter().map(|enclave| &enclave.name).collect();
        self.enclaves.retain(|name, _| names.contains(name));
        self.frozen.retain(|name, _| names.contains(name));
        let enclaves: Vec<_> = enclaves.iter().filter(|enclave| !enclave.terminating).collect();
        let synced = enclaves.iter().map(|enclave| &enclave.name).filter(|name| clockwork.scheduled.has_synced(name));
        self.read_ledgers(lead, synced.collect()).await;
        for enclave in enclaves {
            let name = &enclave.name;
            let is_known = self.is_known(name, &uid(lead, name));
            // The watch says when it is.
            let has_synced = clockwork.scheduled.has_synced(name);
            if !has_synced || !is_known {
                // What was known of this enclave, and of none before it of the name, stays until more is known.
                let known = self.kept.values().filter(|kept| is_known && kept.place.enclave == *name);
                wanted.extend(known.map(|kept| Wanted {
                    place: kept.place.clone(),
                    seen: kept.seen.clone(),
                    made: now,
                    thawed: false,
                }));
                complete &= !has_synced;
                continue;
            }
            let scheduled = clockwork.scheduled.list(name);
            let found = scheduled.iter().map(|scheduled| scheduled.wanted(name, now));
            if enclave.status == Status::Frozen {
                self.frozen.insert(name.clone(), found.map(|wanted| wanted.place.tentacle).collect());
            } else {
                let frozen = self.frozen.remove(name).unwrap_or_default();
                wanted.extend(found.map(|found| Wanted { thawed: frozen.contains(&found.place.tentacle), ..found }));
            }
        }
        (wanted, complete)
    }

    /// Reads the ledgers of those of the enclaves of which they are not known.
    async fn read_ledgers<E: Engine, C: Clock + Clone>(&mut self, lead: &Lead<E, C>, enclaves: Vec<&EnclaveName>) {
        let unknown = enclaves.into_iter().map(|name| (name, uid(lead, name)));
        let unknown = unknown.filter(|(name, uid)| !self.is_known(name, uid));
        let read = unknown.map(|(name, uid)| async move { (name, uid, lead.clockwork.ledgers.list(name).await) });
        let mut read = stream::iter(read.collect::<Vec<_>>()).buffer_unordered(ENCLAVES_AT_ONCE);
        while let Some((enclave, uid, ledgers)) = read.next().await {
            match ledgers {
                Ok(ledgers) => drop(self.enclaves.insert(enclave.clone(), (uid, ledgers))),
                Err(error) => {
                    tracing::warn!(%enclave, %error, "the ledgers of an enclave cannot be read; trying again");
                }
            }
        }
    }

    /// Whether the ledgers of the enclave with this uid were read.
    fn is_known(&self, enclave: &EnclaveName, uid: &str) -> bool {
        self.enclaves.get(enclave).is_some_and(|(known, _)| known == uid)
    }
}

/// Looks at all schedules of a tentacle at `now`.
fn look_at(kept: &Kept, wheel: &mut Wheel, now: Time) {
    for index in 0..kept.timetable.entries.len() {
        wheel.set((kept.place.clone(), index), now);
    }
}

/// The uid of the enclave's namespace.
fn uid<E, C>(lead: &Lead<E, C>, enclave: &EnclaveName) -> String {
    let metadata = lead.clockwork.enclaves.metadata(enclave);
    metadata.and_then(|metadata| metadata.uid.clone()).unwrap_or_default()
}

impl<E: Engine, C: Clock + Clone> Lead<E, C> {
    /// Reads what is needed to keep a tentacle.
    async fn keep(&self, change: Change) -> Result<Kept, Error> {
        let Change { wanted: Wanted { place, seen, .. }, before, held, since, number } = change;
        let Place { enclave, tentacle } = &place;
        let before = before.filter(|before| before.seen.uid == seen.uid);
        let ledger = match (&before, held) {
            (Some(before), _) => Arc::clone(&before.ledger),
            (None, Some(held)) => Arc::new(Mutex::new(held)),
            (None, None) => Arc::new(Mutex::new(self.clockwork.ledgers.load(enclave, tentacle).await?)),
        };
        let triggers =
            if is_ambiguous(&seen.relevant) { tell::triggers(&self.clockwork.cluster, &place).await? } else { None };
        let timetable = Timetable::read((enclave, tentacle), &seen.relevant, triggers.as_deref());
        self.tell_invalid(&place, &seen.uid, &timetable).await;
        let since = unsettled(&timetable, before.as_deref(), since);
        Ok(Kept::new(place, number, seen, timetable, ledger, since))
    }
}

/// From when on schedules count whatever their ledger says: those that were not there before, or meant something else,
/// from `since` on, and the others as before.
fn unsettled(timetable: &Timetable, before: Option<&Kept>, since: Since) -> BTreeMap<ScheduleId, Since> {
    let zone = |timetable: &Timetable, entry: &Entry| entry.schedule.timezone.or(timetable.timezone);
    let same = |entry: &&Entry| {
        before.map(|before| &before.timetable).is_some_and(|before| {
            let mut alike =
                before.entries.iter().filter(|other| other.id == entry.id && other.schedule == entry.schedule);
            alike.any(|other| zone(before, other) == zone(timetable, entry))
        })
    };
    let unsettled = timetable.entries.iter().filter_map(|entry| {
        let since = if same(&entry) { before?.since(&entry.id)? } else { since };
        Some((entry.id.clone(), since))
    });
    unsettled.collect()
}
