//! Which namespaces are enclaves, and what their metadata says: one watch of the namespaces' metadata.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use k8s_openapi::{api::core::v1::Namespace, apimachinery::pkg::apis::meta::v1::ObjectMeta};
use kube::core::PartialObjectMeta;
use tentacular_contract::{Enclave, EnclaveName, Platform, keys};
use tokio::{
    sync::watch,
    time::{Instant, sleep, timeout},
};

use crate::{
    client::Cluster,
    error::Error,
    freshness::{Freshness, Stale},
    observe::{Observation, Turns},
    options::Selector,
    store::{Changes, Store},
};

/// Pause between two probes of the API server.
const PROBE: Duration = Duration::from_secs(10);
/// The same while it does not answer, so that its return is seen soon.
const PROBE_AGAIN: Duration = Duration::from_secs(2);

type Metadata = PartialObjectMeta<Namespace>;

/// The enclaves of the cluster. Cheap to clone; clones show the same.
///
/// An enclave is a namespace with the server's label and the enclave annotation that is not protected. One that is
/// being deleted still is one, and its facts say so.
#[derive(Debug, Clone)]
pub struct Enclaves(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    cluster: Cluster,
    platform: Platform,
    store: Store<Seen>,
    probe: Mutex<Freshness>,
}

/// A namespace with the server's label; one that is no enclave has no facts.
#[derive(Debug, Clone)]
struct Seen {
    facts: Option<Arc<Enclave>>,
    metadata: Arc<ObjectMeta>,
}

impl Enclaves {
    /// The enclaves, and the future that keeps them up to date. It is to be spawned; it ends with its caller only,
    /// never because of an error, and nothing is known before it ran.
    pub fn new(cluster: Cluster, platform: Platform) -> (Self, impl Future<Output = ()> + Send + 'static) {
        let store = Store::new(watch::Sender::new(0));
        let enclaves = Self(Arc::new(Shared { cluster, platform, store, probe: Mutex::default() }));
        let watching = enclaves.clone();
        (enclaves, async move {
            tokio::join!(watching.watch(), watching.probe());
        })
    }

    /// The facts of the enclave of that name, as last seen.
    pub fn get(&self, name: &EnclaveName) -> Option<Arc<Enclave>> {
        self.0.store.get(name.as_str())?.facts
    }

    /// All enclaves, in the order of their names.
    pub fn list(&self) -> Vec<Arc<Enclave>> {
        self.0.store.map(|(_, seen)| seen.facts.clone()).into_iter().flatten().collect()
    }

    /// The same where it can be trusted. A process that has just started lists them first, for which this waits that long.
    pub async fn trusted(&self, patience: Duration) -> Result<Vec<Arc<Enclave>>, Stale> {
        let _ = timeout(patience, self.ready()).await;
        if self.freshness().is_stale(Instant::now()) { Err(Stale) } else { Ok(self.list()) }
    }

    /// The metadata of the enclave's namespace, as last seen, without managed fields.
    pub fn metadata(&self, name: &EnclaveName) -> Option<Arc<ObjectMeta>> {
        self.0.store.get(name.as_str()).filter(|seen| seen.facts.is_some()).map(|seen| seen.metadata)
    }

    /// The same of any namespace with the server's label, also of one that is no enclave.
    pub fn labelled(&self, namespace: &str) -> Option<Arc<ObjectMeta>> {
        self.0.store.get(namespace).map(|seen| seen.metadata)
    }

    /// Whether the enclaves have been listed once. Stays so.
    pub fn is_ready(&self) -> bool {
        self.0.store.freshness().last_success.is_some()
    }

    /// Waits until [`Self::is_ready`].
    pub async fn ready(&self) {
        let mut changes = self.changes();
        while !self.is_ready() {
            changes.changed().await;
        }
    }

    /// Whether what is shown can be trusted: the watch, which is renewed every 15 s, and a probe every 10 s of whether the
    /// API server reaches its storage.
    pub fn freshness(&self) -> Freshness {
        let watch = self.0.store.freshness();
        let probe = *self.0.probe.lock().unwrap_or_else(PoisonError::into_inner);
        Freshness {
            last_success: watch.last_success.map(|seen| probe.last_success.map_or(seen, |ok| seen.max(ok))),
            ..watch.and(probe)
        }
    }

    /// Tells when an enclave, or whether the watch works, changed.
    pub fn changes(&self) -> Changes {
        Changes(self.0.store.revision().subscribe())
    }

    /// The facts of the enclave of that name, asked of the API server now. `None` when there is no such namespace, or
    /// it is no enclave.
    pub async fn read(&self, name: &EnclaveName) -> Result<Option<Enclave>, Error> {
        if self.0.platform.is_protected(name.as_str()) {
            return Ok(None);
        }
        let namespace = self.0.cluster.all::<Metadata>().get(name.as_str()).await?;
        Ok(namespace.and_then(|namespace| enclave_of(&namespace.metadata, &self.0.platform)))
    }

    /// The uid of each enclave's namespace.
    pub(crate) fn uids(&self) -> BTreeMap<EnclaveName, String> {
        let uids = self.0.store.map(|(_, seen)| {
            let name = seen.facts.as_ref()?.name.clone();
            Some((name, seen.metadata.uid.clone().unwrap_or_default()))
        });
        uids.into_iter().flatten().collect()
    }

    async fn watch(&self) {
        let namespaces = self.0.cluster.patient(Duration::ZERO).all::<Metadata>();
        let wanted = Selector::labels(keys::MANAGED_SELECTOR);
        let read = |namespace: Metadata| {
            let facts = enclave_of(&namespace.metadata, &self.0.platform).map(Arc::new);
            Some(Seen { facts, metadata: Arc::new(namespace.metadata) })
        };
        Observation::new(namespaces, wanted, &self.0.store, &Turns::default()).run(read, |_| false, || 1).await;
    }

    async fn probe(&self) {
        loop {
            let begun = Instant::now();
            let answer = self.0.cluster.probe().await;
            let pause = if answer.is_ok() { PROBE } else { PROBE_AGAIN };
            {
                let mut probe = self.0.probe.lock().unwrap_or_else(PoisonError::into_inner);
                match answer {
                    Ok(()) => probe.succeed(begun),
                    Err(_) => probe.fail(Instant::now()),
                }
            }
            sleep(pause).await;
        }
    }
}

/// The enclave that a namespace with this metadata is. `None` when it is none, or its name is protected.
pub fn enclave_of(namespace: &ObjectMeta, platform: &Platform) -> Option<Enclave> {
    let name = namespace.name.as_deref().filter(|name| !platform.is_protected(name))?;
    let none = BTreeMap::new();
    let (labels, annotations) = (namespace.labels.as_ref(), namespace.annotations.as_ref());
    let terminating = namespace.deletion_timestamp.is_some();
    Enclave::from_metadata(name, labels.unwrap_or(&none), annotations.unwrap_or(&none), terminating)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn namespace(name: &str) -> Metadata {
        let metadata = json!({
            "name": name,
            "labels": { keys::MANAGED_BY: keys::TENTACULAR },
            "annotations": { keys::ENCLAVE: name },
            "deletionTimestamp": "2026-01-01T00:00:00Z",
        });
        serde_json::from_value(json!({ "metadata": metadata })).unwrap()
    }

    #[test]
    fn a_protected_namespace_is_no_enclave_whatever_it_claims() {
        let platform = Platform { reserved_names: vec!["vault".to_owned()], ..Platform::default() };
        for name in ["kube-system", "default", "tentacular-system", "vault"] {
            assert_eq!(enclave_of(&namespace(name).metadata, &platform), None, "{name}");
        }
    }

    #[test]
    fn an_enclave_that_is_being_deleted_says_so() {
        let enclave = enclave_of(&namespace("team-a").metadata, &Platform::default()).unwrap();
        assert!(enclave.terminating);
    }
}
