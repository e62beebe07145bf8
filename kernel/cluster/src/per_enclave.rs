//! One kind of object in every enclave: a watch for each enclave, since no account may read a kind cluster-wide.

use std::{
    collections::BTreeMap,
    fmt, panic,
    sync::{Arc, PoisonError, RwLock},
    time::Duration,
};

use tentacular_contract::EnclaveName;
use tokio::{
    sync::watch,
    task::{AbortHandle, JoinSet},
    time::Instant,
};

use crate::{
    client::Cluster,
    enclaves::Enclaves,
    error::Error,
    follow::{Follow, Step},
    freshness::Freshness,
    objects::{Namespaced, Objects},
    observe::{Observation, Turns},
    options::Selector,
    store::{Changes, State, Store},
};

/// What is kept of the objects of kind `K` in every enclave, as last seen: a `V` of each. Cheap to clone; clones show the
/// same. With [`crate::Metadata`] of a kind only metadata is transferred; managed fields are never kept.
///
/// Each enclave's watch lives and fails alone. One that is refused, as happens until a new enclave's
/// `RoleBinding` counts, is tried again after 50 ms at first and every few seconds later.
pub struct PerEnclave<K, V = K>(Arc<Shared<K, V>>);

struct Shared<K, V> {
    cluster: Cluster,
    enclaves: Enclaves,
    selector: Option<String>,
    keep: fn(K) -> Option<V>,
    stores: RwLock<BTreeMap<EnclaveName, Arc<Store<Arc<V>>>>>,
    turns: Turns,
    revision: watch::Sender<u64>,
    ready: watch::Sender<bool>,
}

impl<K, V> Clone for PerEnclave<K, V> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<K, V> fmt::Debug for PerEnclave<K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PerEnclave").finish_non_exhaustive()
    }
}

impl<K: Namespaced> PerEnclave<K> {
    /// [`Self::keeping`] the objects whole.
    pub fn new(
        cluster: Cluster,
        enclaves: Enclaves,
        selector: Option<&str>,
    ) -> (Self, impl Future<Output = ()> + Send + 'static) {
        Self::keeping(cluster, enclaves, selector, Some)
    }
}

impl<K: Namespaced, V: Send + Sync + 'static> PerEnclave<K, V> {
    /// What `keep` makes of the objects whose labels match `selector` (all when `None`), and the future that keeps it up
    /// to date. It is to be spawned, beside that of `enclaves`; it ends with its caller only, never because of an error.
    ///
    /// An object is several times as large in memory as it is on the wire. Whoever watches many of them keeps what is
    /// read of them and no more. An object of which `keep` makes nothing counts as not there.
    pub fn keeping(
        cluster: Cluster,
        enclaves: Enclaves,
        selector: Option<&str>,
        keep: fn(K) -> Option<V>,
    ) -> (Self, impl Future<Output = ()> + Send + 'static) {
        let shared = Shared {
            cluster,
            enclaves,
            selector: selector.map(str::to_owned),
            keep,
            stores: RwLock::default(),
            turns: Turns::default(),
            revision: watch::Sender::new(0),
            ready: watch::Sender::new(false),
        };
        let objects = Self(Arc::new(shared));
        (objects.clone(), async move { objects.follow().await })
    }

    /// What is kept of the object of that name in the enclave, as last seen.
    pub fn get(&self, enclave: &EnclaveName, name: &str) -> Option<Arc<V>> {
        self.store(enclave)?.get(name)
    }

    /// What is kept of the enclave's objects, in the order of their names. Complete only while [`Self::has_synced`].
    pub fn list(&self, enclave: &EnclaveName) -> Vec<Arc<V>> {
        self.store(enclave).map(|store| store.map(|(_, object)| Arc::clone(object))).unwrap_or_default()
    }

    /// Whether the enclave's objects have been listed and their changes are followed. `false` for an enclave that is
    /// not known or new, and while the API server refuses the watch: then only [`Self::read`] can tell what is there.
    pub fn has_synced(&self, enclave: &EnclaveName) -> bool {
        self.store(enclave).is_some_and(|store| matches!(store.state(), State::Synced | State::Gone))
    }

    /// Whether what is shown of this enclave can be trusted, its being an enclave included.
    pub fn freshness(&self, enclave: &EnclaveName) -> Freshness {
        let own = self.store(enclave).map(|store| store.freshness()).unwrap_or_default();
        own.and(self.0.enclaves.freshness())
    }

    /// Whether each enclave that was known at first has been listed or refused, so that one bad enclave holds up
    /// nothing. Stays so.
    pub fn is_ready(&self) -> bool {
        *self.0.ready.borrow()
    }

    /// Waits until [`Self::is_ready`].
    pub async fn ready(&self) {
        // The sender lives as long as `self`.
        let _ = self.0.ready.subscribe().wait_for(|ready| *ready).await;
    }

    /// Tells when an object, or the state of an enclave's watch, changed.
    pub fn changes(&self) -> Changes {
        Changes(self.0.revision.subscribe())
    }

    /// The object of that name in the enclave, whole, asked of the API server now, whatever its labels.
    pub async fn read(&self, enclave: &EnclaveName, name: &str) -> Result<Option<K>, Error> {
        match self.objects(enclave).get(name).await {
            Err(Error::Forbidden { .. }) if self.is_terminating(enclave) => Ok(None),
            answer => answer,
        }
    }

    /// What is kept of the object of that name in the enclave: as last seen when the watch shows it and was heard less
    /// than [`crate::STALE_AFTER`] ago, else asked of the API server, whose answer counts for as long.
    pub async fn get_or_read(&self, enclave: &EnclaveName, name: &str) -> Result<Option<Arc<V>>, Error> {
        let (store, now) = (self.store(enclave), Instant::now());
        if let Some(kept) = store.as_ref().and_then(|store| store.confirmed(name, now)) {
            return Ok(Some(kept));
        }
        let read = self.read(enclave, name).await?.and_then(self.0.keep).map(Arc::new);
        if let Some((store, read)) = store.zip(read.as_ref()) {
            store.answer(name.to_owned(), Arc::clone(read), now);
        }
        Ok(read)
    }

    fn objects(&self, enclave: &EnclaveName) -> Objects<K> {
        self.0.cluster.namespaced(enclave.as_str())
    }

    /// Whether a refusal means that the enclave is gone: its bindings may go before its last object does.
    fn is_terminating(&self, enclave: &EnclaveName) -> bool {
        self.0.enclaves.get(enclave).is_some_and(|facts| facts.terminating)
    }

    fn store(&self, enclave: &EnclaveName) -> Option<Arc<Store<Arc<V>>>> {
        self.0.stores.read().unwrap_or_else(PoisonError::into_inner).get(enclave).cloned()
    }

    async fn follow(self) {
        let mut enclaves = self.0.enclaves.changes();
        self.0.enclaves.ready().await;
        let mut own = self.changes();
        let mut follow = Follow::default();
        // Dropping the set, with this future, ends the watches.
        let mut watches = JoinSet::new();
        let mut running = BTreeMap::new();
        loop {
            for step in follow.steps(&self.0.enclaves.uids()) {
                self.take(step, &mut watches, &mut running);
            }
            self.settle();
            tokio::select! {
                () = enclaves.changed() => {}
                () = own.changed(), if !self.is_ready() => {}
                Some(ended) = watches.join_next() => {
                    if let Err(error) = ended
                        && error.is_panic()
                    {
                        panic::resume_unwind(error.into_panic());
                    }
                }
            }
        }
    }

    fn take(&self, step: Step, watches: &mut JoinSet<()>, running: &mut BTreeMap<EnclaveName, AbortHandle>) {
        let mut stores = self.0.stores.write().unwrap_or_else(PoisonError::into_inner);
        match step {
            Step::Stop(enclave) => {
                stores.remove(&enclave);
                if let Some(watch) = running.remove(&enclave) {
                    watch.abort();
                }
            }
            Step::Start(enclave) => {
                let store = Arc::new(Store::new(self.0.revision.clone()));
                stores.insert(enclave.clone(), Arc::clone(&store));
                running.insert(enclave.clone(), watches.spawn(self.clone().watch(enclave, store)));
            }
        }
        drop(stores);
        self.0.revision.send_modify(|revision| *revision = revision.wrapping_add(1));
    }

    async fn watch(self, enclave: EnclaveName, store: Arc<Store<Arc<V>>>) {
        // The watch waits and tries again in its own way: none of its requests is to do so by itself.
        let objects = self.0.cluster.patient(Duration::ZERO).namespaced::<K>(enclave.as_str());
        let wanted = self.0.selector.as_deref().map_or_else(Selector::all, Selector::labels);
        let watches = || self.0.stores.read().unwrap_or_else(PoisonError::into_inner).len();
        let gone = |error: &Error| error.is_forbidden() && self.is_terminating(&enclave);
        Observation::new(objects, wanted, &store, &self.0.turns)
            .run(|object| (self.0.keep)(object).map(Arc::new), gone, watches)
            .await;
    }

    fn settle(&self) {
        let stores = self.0.stores.read().unwrap_or_else(PoisonError::into_inner);
        let settled = stores.values().all(|store| store.state() != State::Starting);
        drop(stores);
        if settled {
            self.0.ready.send_if_modified(|ready| !std::mem::replace(ready, true));
        }
    }
}
