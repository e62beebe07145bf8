//! What a watch has seen, for readers on any thread.

use std::{
    collections::BTreeMap,
    future,
    sync::{PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard},
};

use tokio::{sync::watch, time::Instant};

use crate::freshness::{Freshness, is_recent};

/// Where a watch is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum State {
    /// Not listed yet.
    Starting,
    /// Listed, and following changes.
    Synced,
    /// The API server refused the last attempt; what was seen before is kept.
    Refused,
    /// The namespace is going and may no longer be read: nothing is there, and nothing will be.
    Gone,
}

/// The objects that one watch shows, by name.
#[derive(Debug)]
pub(crate) struct Store<V> {
    inner: RwLock<Inner<V>>,
    revision: watch::Sender<u64>,
}

#[derive(Debug)]
struct Inner<V> {
    objects: BTreeMap<String, V>,
    /// What was asked of the API server because the watch had not been heard for a while, and when.
    asked: BTreeMap<String, (Instant, V)>,
    state: State,
    freshness: Freshness,
}

impl<V> Store<V> {
    /// An empty store that counts `revision` up with each change.
    pub(crate) fn new(revision: watch::Sender<u64>) -> Self {
        let inner = Inner {
            objects: BTreeMap::new(),
            asked: BTreeMap::new(),
            state: State::Starting,
            freshness: Freshness::default(),
        };
        Self { inner: RwLock::new(inner), revision }
    }

    pub(crate) fn get(&self, name: &str) -> Option<V>
    where
        V: Clone,
    {
        self.read().objects.get(name).cloned()
    }

    /// The object of that name as it was less than [`STALE_AFTER`](crate::freshness::STALE_AFTER) before `now`: as the watch
    /// shows it, or where that was not heard since, as it was asked for. `None` where neither tells.
    pub(crate) fn confirmed(&self, name: &str, now: Instant) -> Option<V>
    where
        V: Clone,
    {
        let inner = self.read();
        match inner.state {
            State::Synced if inner.freshness.is_confirmed(now) => inner.objects.get(name).cloned(),
            State::Synced => {
                inner.asked.get(name).filter(|(at, _)| is_recent(*at, now)).map(|(_, value)| value.clone())
            }
            _ => None,
        }
    }

    /// The API server was asked at `at` for the object of that name, and this is it.
    pub(crate) fn answer(&self, name: String, value: V, at: Instant) {
        let mut inner = self.write();
        inner.asked.retain(|_, (asked, _)| is_recent(*asked, at));
        inner.asked.insert(name, (at, value));
    }

    /// One of each object, in the order of their names.
    pub(crate) fn map<T>(&self, part: impl FnMut((&String, &V)) -> T) -> Vec<T> {
        self.read().objects.iter().map(part).collect()
    }

    pub(crate) fn state(&self) -> State {
        self.read().state
    }

    pub(crate) fn freshness(&self) -> Freshness {
        self.read().freshness
    }

    pub(crate) fn revision(&self) -> &watch::Sender<u64> {
        &self.revision
    }

    /// A list came: this is all there is.
    pub(crate) fn replace(&self, objects: BTreeMap<String, V>) {
        self.change(|inner| {
            inner.objects = objects;
            inner.state = State::Synced;
            inner.freshness.succeed(Instant::now());
        });
    }

    /// An event came: the object of that name is now `value`, or is gone.
    pub(crate) fn put(&self, name: String, value: Option<V>) {
        self.change(|inner| {
            match value {
                Some(value) => inner.objects.insert(name, value),
                None => inner.objects.remove(&name),
            };
            inner.freshness.succeed(Instant::now());
        });
    }

    /// The watch was heard, and nothing had changed.
    pub(crate) fn confirm(&self) {
        self.write().freshness.succeed(Instant::now());
    }

    /// The watch failed and will be tried again.
    pub(crate) fn fail(&self, refused: bool) {
        self.change(|inner| {
            inner.freshness.fail(Instant::now());
            if refused {
                inner.state = State::Refused;
            }
        });
    }

    /// The namespace is going: forgets everything.
    pub(crate) fn forget(&self) {
        self.change(|inner| {
            inner.objects = BTreeMap::new();
            inner.asked = BTreeMap::new();
            inner.state = State::Gone;
            inner.freshness.succeed(Instant::now());
        });
    }

    fn change(&self, change: impl FnOnce(&mut Inner<V>)) {
        change(&mut self.write());
        self.revision.send_modify(|revision| *revision = revision.wrapping_add(1));
    }

    // No code that could panic runs while the lock is held, and half a change cannot be seen.
    fn read(&self) -> RwLockReadGuard<'_, Inner<V>> {
        self.inner.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Inner<V>> {
        self.inner.write().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Tells when something changed that a watch shows, its state included. Several changes may be told as one.
#[derive(Debug, Clone)]
pub struct Changes(pub(crate) watch::Receiver<u64>);

impl Changes {
    /// Waits for a change since the last call, or since this value was made.
    pub async fn changed(&mut self) {
        if self.0.changed().await.is_err() {
            // Everything that could change is gone.
            future::pending::<()>().await;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn store() -> Store<u8> {
        Store::new(watch::Sender::new(0))
    }

    #[test]
    fn a_list_replaces_and_an_event_changes_one() {
        let store = store();
        store.put("x".to_owned(), Some(1));
        store.replace(BTreeMap::from([("a".to_owned(), 1), ("b".to_owned(), 2)]));
        store.put("b".to_owned(), None);
        store.put("c".to_owned(), Some(3));
        assert_eq!(store.map(|(name, value)| (name.clone(), *value)), [("a".to_owned(), 1), ("c".to_owned(), 3)]);
        assert_eq!((store.state(), *store.revision().borrow()), (State::Synced, 4));
    }

    #[test]
    fn a_refused_watch_keeps_what_it_saw_and_heals_with_the_next_list() {
        let store = store();
        store.replace(BTreeMap::from([("a".to_owned(), 1)]));
        store.fail(true);
        assert_eq!((store.state(), store.get("a")), (State::Refused, Some(1)));
        assert!(store.freshness().failing_since.is_some());
        store.replace(BTreeMap::new());
        assert_eq!((store.state(), store.get("a"), store.freshness().failing_since), (State::Synced, None, None));
    }

    #[test]
    fn a_gone_namespace_shows_nothing() {
        let store = store();
        store.replace(BTreeMap::from([("a".to_owned(), 1)]));
        store.forget();
        assert_eq!((store.state(), store.get("a")), (State::Gone, None));
    }

    #[test]
    fn what_was_asked_counts_for_a_while_and_what_the_watch_says_later_counts_more() {
        let (store, start) = (store(), Instant::now());
        let at = |seconds| start + Duration::from_secs(seconds);
        store.replace(BTreeMap::from([("a".to_owned(), 1)]));
        assert_eq!(store.confirmed("a", at(20)), Some(1));
        assert_eq!(store.confirmed("a", at(40)), None, "the watch was not heard for long");
        store.answer("a".to_owned(), 2, at(40));
        assert_eq!((store.confirmed("a", at(69)), store.confirmed("b", at(69))), (Some(2), None));
        assert_eq!(store.confirmed("a", at(70)), None);
        store.answer("b".to_owned(), 1, at(70));
        assert_eq!(store.read().asked.len(), 1, "what counts no more is not kept");
        store.put("b".to_owned(), Some(3));
        assert_eq!(store.confirmed("b", Instant::now()), Some(3));
        store.fail(true);
        assert_eq!(store.confirmed("b", Instant::now()), None, "who is refused is told nothing");
    }

    #[tokio::test(start_paused = true)]
    async fn changes_are_told() {
        let store = store();
        let mut changes = Changes(store.revision().subscribe());
        store.put("a".to_owned(), Some(1));
        store.put("b".to_owned(), Some(1));
        changes.changed().await;
        let quiet = tokio::time::timeout(Duration::from_secs(1), changes.changed()).await;
        assert!(quiet.is_err());
    }
}
