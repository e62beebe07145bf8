//! One watch that never gives up: lists, follows changes, and starts over after an error.

use std::{
    collections::BTreeMap,
    pin::pin,
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

use backon::{BackoffBuilder, ExponentialBackoff, ExponentialBuilder};
use futures::StreamExt;
use kube::{
    Api, Resource,
    runtime::watcher::{self, Event, watcher},
};
use tokio::time::{Instant, sleep, timeout};

use crate::{
    error::{About, Error},
    objects::Stored,
    store::Store,
};

/// Longest wait for a page of the list with which a watch starts. Once it follows changes it may be idle.
const LIST: Duration = Duration::from_secs(30);
/// A watch that failed less than this long ago is still failing: its pauses go on growing.
const HEALED: Duration = Duration::from_mins(1);

/// A watch that fails for this long is logged, once. Shorter failures are part of an enclave's beginning and end.
const WORTH_TELLING: Duration = Duration::from_secs(2);

/// What is watched, and into which store.
pub(crate) struct Observation<'a, K, V> {
    api: Api<K>,
    config: watcher::Config,
    about: About,
    store: &'a Store<V>,
    told: AtomicBool,
}

impl<'a, K, V> Observation<'a, K, V>
where
    K: Stored + Resource<DynamicType = ()>,
{
    pub(crate) fn new(api: Api<K>, config: watcher::Config, about: About, store: &'a Store<V>) -> Self {
        Self { api, config, about, store, told: AtomicBool::new(false) }
    }

    /// Keeps the store filled with what `read` makes of each object, under the object's name; an object of which it
    /// makes nothing is left out. Ends only with an error that `is_final`; then the store is empty and marked gone.
    ///
    /// After an error everything is listed again, since a watch that goes on after one gives no sign of it until the
    /// next event.
    pub(crate) async fn run(&self, read: impl Fn(K) -> Option<V>, is_final: impl Fn(&Error) -> bool) {
        let mut pauses = Pauses::new();
        loop {
            let error = self.until_error(&read).await;
            if is_final(&error) {
                self.store.forget();
                return;
            }
            self.store.fail(error.is_forbidden());
            let failing = self.store.freshness().failing_since.is_some_and(|since| since.elapsed() >= WORTH_TELLING);
            if failing && !self.told.swap(true, Ordering::Relaxed) {
                tracing::warn!(%error, "a watch fails and is tried again");
            }
            sleep(pauses.after(&error, Instant::now())).await;
        }
    }

    async fn until_error(&self, read: impl Fn(K) -> Option<V>) -> Error {
        let mut events = pin!(watcher(self.api.clone(), self.config.clone()));
        let mut listed = BTreeMap::new();
        let mut following = false;
        loop {
            let next = if following { Ok(events.next().await) } else { timeout(LIST, events.next()).await };
            let Ok(next) = next else {
                return Error::unanswered(&self.about, LIST);
            };
            match next {
                Some(Ok(Event::Init)) => listed.clear(),
                Some(Ok(Event::InitApply(object))) => {
                    let (name, value) = stored(object, &read);
                    listed.extend(value.map(|value| (name, value)));
                }
                Some(Ok(Event::InitDone)) => {
                    self.fill(std::mem::take(&mut listed));
                    following = true;
                }
                Some(Ok(Event::Apply(object))) => {
                    let (name, value) = stored(object, &read);
                    self.store.put(name, value);
                }
                Some(Ok(Event::Delete(object))) => self.store.put(name(&object), None),
                Some(Err(error)) => return self.error(error),
                None => return Error::unavailable(&self.about, "the watch ended"),
            }
        }
    }

    fn fill(&self, listed: BTreeMap<String, V>) {
        if self.told.swap(false, Ordering::Relaxed) {
            tracing::info!(watch = %self.about, "a watch works again");
        }
        self.store.replace(listed);
    }

    fn error(&self, error: watcher::Error) -> Error {
        match error {
            watcher::Error::InitialListFailed(error)
            | watcher::Error::WatchStartFailed(error)
            | watcher::Error::WatchFailed(error) => Error::from_kube(&self.about, error),
            watcher::Error::WatchError(status) => Error::from_status(&self.about, &status),
            watcher::Error::NoResourceVersion => Error::other(&self.about, "an event had no resource version"),
        }
    }
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
}
