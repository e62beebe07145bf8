//! One watch that never gives up: lists, follows changes, and starts over after an error.

use std::{collections::BTreeMap, convert::Infallible, pin::pin, time::Duration};

use backon::{BackoffBuilder, ExponentialBackoff, ExponentialBuilder};
use futures::{Stream, StreamExt};
use kube::{Resource, core::WatchEvent};
use tokio::{
    sync::{Semaphore, SemaphorePermit},
    time::{Instant, sleep, timeout},
};

use crate::{
    error::{About, Error},
    objects::{Objects, Stored, checked},
    options::Selector,
    store::Store,
};

/// A watch is asked for anew this often, since an idle one cannot be told from one whose other end hangs. With the two
/// below, one that hangs is noticed before what it shows is stale.
const RENEWAL: Duration = Duration::from_secs(15);
/// Longest wait for the head of a watch's answer.
const ANSWER: Duration = Duration::from_secs(5);
/// How long after its time the API server may end a watch.
const GRACE: Duration = Duration::from_secs(5);
/// A process renews about so many watches a second: where it has many, each is renewed less often. Nobody may have to pay for
/// what is idle, and an API server's log has an entry for each.
const RENEWALS: usize = 2;
/// But this often in any case.
const LONGEST_RENEWAL: Duration = Duration::from_secs(290);
/// A process begins so many watches, or lists, at once. Others wait: where thousands begin together, as after an outage, an API
/// server that has to queue them answers too late for all.
const BEGINNINGS: usize = 8;
/// A watch that ends sooner than this has failed, lest one that is not served be asked for without a pause.
const SERVED: Duration = Duration::from_secs(1);

/// A watch that failed less than this long ago is still failing: its pauses go on growing.
const HEALED: Duration = Duration::from_mins(1);

/// A watch that fails for this long is logged, once. Shorter failures are part of an enclave's beginning and end.
const WORTH_TELLING: Duration = Duration::from_secs(2);

/// What the watches of a process take turns in: to begin.
#[derive(Debug)]
pub(crate) struct Turns(Semaphore);

impl Default for Turns {
    fn default() -> Self {
        Self(Semaphore::new(BEGINNINGS))
    }
}

/// What is watched, and into which store.
pub(crate) struct Observation<'a, K, V> {
    objects: Objects<K>,
    wanted: Selector,
    about: About,
    store: &'a Store<V>,
    turns: &'a Turns,
    failing_since: Option<Instant>,
    told: bool,
}

impl<'a, K: Stored, V> Observation<'a, K, V> {
    pub(crate) fn new(objects: Objects<K>, wanted: Selector, store: &'a Store<V>, turns: &'a Turns) -> Self {
        let about = objects.about(None);
        Self { objects, wanted, about, store, turns, failing_since: None, told: false }
    }

    /// Keeps the store filled with what `read` makes of each object, under the object's name; an object of which it
    /// makes nothing is left out. Ends only with an error that `is_final`; then the store is empty and marked gone.
    /// `watches` tells how many the process has of this kind.
    ///
    /// After an error everything is listed again: what the watch did not tell is not known.
    pub(crate) async fn run(
        mut self,
        read: impl Fn(K) -> Option<V>,
        is_final: impl Fn(&Error) -> bool,
        watches: impl Fn() -> usize,
    ) {
        let mut pauses = Pauses::new();
        loop {
            let Err(error) = self.follow(&read, &watches).await;
            if is_final(&error) {
                self.store.forget();
                return;
            }
            self.store.fail(error.is_forbidden());
            let failing = self.failing_since.get_or_insert_with(Instant::now).elapsed() >= WORTH_TELLING;
            if failing && !std::mem::replace(&mut self.told, true) {
                tracing::warn!(%error, "a watch fails and is tried again");
            }
            sleep(pauses.after(&error, Instant::now())).await;
        }
    }

    /// Lists, and follows what changes since, as long as that works.
    async fn follow(
        &mut self,
        read: impl Fn(K) -> Option<V>,
        watches: impl Fn() -> usize,
    ) -> Result<Infallible, Error> {
        let add = |listed: &mut BTreeMap<_, _>, object| {
            let (name, value) = stored(object, &read);
            listed.extend(value.map(|value| (name, value)));
        };
        let mut turn = self.turn().await;
        let (listed, mut version) = self.objects.snapshot(&self.wanted, BTreeMap::new, add).await?;
        self.fill(listed);
        loop {
            let (begun, period) = (Instant::now(), renewal(watches()));
            let mut events = pin!(self.objects.watch(&self.wanted, &version, period).await?);
            drop(turn);
            self.store.confirm();
            let silence = period + GRACE;
            let unheard = |_| Error::unavailable(&self.about, format!("the watch was silent for {silence:?}"));
            while let Some(event) = timeout(silence, events.next()).await.map_err(unheard)? {
                version = self.take(event?, &read)?;
            }
            if begun.elapsed() < SERVED {
                return Err(Error::unavailable(&self.about, "the watch ended at once"));
            }
            turn = self.turn().await;
        }
    }

    /// Waits for its turn to ask the API server. Meanwhile nothing is confirmed.
    async fn turn(&self) -> Option<SemaphorePermit<'a>> {
        let mut turn = pin!(self.turns.0.acquire());
        let turn = if let Ok(turn) = timeout(ANSWER, &mut turn).await {
            turn
        } else {
            self.store.fail(false);
            turn.await
        };
        // It is never closed.
        turn.ok()
    }

    /// Keeps what an event says. Returns the version that is known with it.
    fn take(&self, event: WatchEvent<K>, read: impl Fn(K) -> Option<V>) -> Result<String, Error> {
        let version = match event {
            WatchEvent::Added(object) | WatchEvent::Modified(object) => {
                let version = version(&object);
                let (name, value) = stored(object, read);
                self.store.put(name, value);
                version
            }
            WatchEvent::Deleted(object) => {
                self.store.put(name(&object), None);
                version(&object)
            }
            WatchEvent::Bookmark(bookmark) => {
                self.store.confirm();
                Some(bookmark.metadata.resource_version)
            }
            WatchEvent::Error(status) => return Err(Error::from_status(&self.about, &status)),
        };
        version.ok_or_else(|| Error::other(&self.about, "an event had no resource version"))
    }

    fn fill(&mut self, listed: BTreeMap<String, V>) {
        self.failing_since = None;
        if std::mem::take(&mut self.told) {
            tracing::info!(watch = %self.about, "a watch works again");
        }
        self.store.replace(listed);
    }
}

impl<K: Stored> Objects<K> {
    /// What changed since `version` of the objects that are `wanted`, until the API server ends that after `period`.
    async fn watch(
        &self,
        wanted: &Selector,
        version: &str,
        period: Duration,
    ) -> Result<impl Stream<Item = Result<WatchEvent<K>, Error>> + use<K>, Error> {
        let about = self.about(None);
        let params = wanted.watch_params(period);
        let request = if K::metadata_api() {
            self.request().watch_metadata(&params, version)
        } else {
            self.request().watch(&params, version)
        };
        let request = checked(&about, request)?;
        match timeout(ANSWER, self.client().request_events(request)).await {
            Ok(Ok(events)) => Ok(events.map(move |event| event.map_err(|error| Error::from_kube(&about, error)))),
            Ok(Err(error)) => Err(Error::from_kube(&about, error)),
            Err(_) => Err(Error::unanswered(&about, ANSWER)),
        }
    }
}

/// How long one of so many watches follows before it is renewed: up to a third less than its share, so that those that
/// began together do not go on together.
fn renewal(watches: usize) -> Duration {
    let share = Duration::from_secs((watches / RENEWALS) as u64).clamp(RENEWAL, LONGEST_RENEWAL).as_secs();
    Duration::from_secs(fastrand::u64(share - share / 3..=share))
}

fn version<K: Resource>(object: &K) -> Option<String> {
    object.meta().resource_version.clone().filter(|version| !version.is_empty())
}

fn name<K: Resource>(object: &K) -> String {
    object.meta().name.clone().unwrap_or_default()
}

/// The object's name and what is kept of it. Managed fields are often its largest part, and nobody reads them here.
fn stored<K: Resource, V>(mut object: K, read: impl Fn(K) -> Option<V>) -> (String, Option<V>) {
    object.meta_mut().managed_fields = None;
    (name(&object), read(object))
}

/// How long to wait before a watch is tried again.
struct Pauses {
    refused: ExponentialBackoff,
    failed: ExponentialBackoff,
    last: Option<Instant>,
}

impl Pauses {
    fn new() -> Self {
        let growing = |from, to| {
            let pauses = ExponentialBuilder::default().with_min_delay(from).with_max_delay(to);
            pauses.without_max_times().with_jitter().build()
        };
        Self {
            // A fresh RoleBinding takes some milliseconds to count.
            refused: growing(Duration::from_millis(50), Duration::from_secs(5)),
            // Below the time after which facts are stale.
            failed: growing(Duration::from_millis(200), Duration::from_secs(8)),
            last: None,
        }
    }

    fn after(&mut self, error: &Error, now: Instant) -> Duration {
        if self.last.is_some_and(|last| now - last >= HEALED) {
            *self = Self::new();
        }
        self.last = Some(now);
        let pauses = if error.is_forbidden() { &mut self.refused } else { &mut self.failed };
        // They never end.
        pauses.next().unwrap_or(HEALED)
    }
}

#[cfg(test)]
mod silence;

#[cfg(test)]
mod turns;

#[cfg(test)]
mod tests {
    use super::*;

    fn refused() -> Error {
        Error::Forbidden { object: String::new(), message: String::new() }
    }

    #[test]
    fn a_refusal_is_tried_again_soon_at_first_and_every_few_seconds_later() {
        let (mut pauses, now) = (Pauses::new(), Instant::now());
        let first = pauses.after(&refused(), now);
        assert!((Duration::from_millis(50)..=Duration::from_millis(100)).contains(&first), "{first:?}");
        let later = (0..20).map(|_| pauses.after(&refused(), now)).last().unwrap();
        assert!((Duration::from_secs(5)..=Duration::from_secs(10)).contains(&later), "{later:?}");
    }

    #[test]
    fn pauses_are_short_again_after_a_time_without_errors() {
        let (mut pauses, now) = (Pauses::new(), Instant::now());
        for _ in 0..20 {
            pauses.after(&refused(), now);
        }
        assert!(pauses.after(&refused(), now + HEALED) <= Duration::from_millis(100));
    }

    #[test]
    fn many_watches_are_renewed_less_often_and_never_all_at_once() {
        for (watches, shortest, longest) in [(1, 10, 15), (30, 10, 15), (300, 100, 150), (5000, 194, 290)] {
            let seconds: Vec<_> = (0..2000).map(|_| renewal(watches).as_secs()).collect();
            assert!(seconds.iter().all(|seconds| (shortest..=longest).contains(seconds)), "{watches}");
            assert!(seconds.contains(&shortest) && seconds.contains(&longest), "{watches}");
        }
    }
}
