//! Ledgers in the cluster: each the `ConfigMap` `tentacular-runs-<tentacle>` of its enclave, which outlives the tentacle.
//!
//! A change is one merge patch with the uid and resource version that were read. Whoever comes second gets a conflict,
//! reads again and judges again.

use std::{collections::BTreeMap, time::Duration};

use k8s_openapi::{api::core::v1::ConfigMap, apimachinery::pkg::apis::meta::v1::ObjectMeta};
use serde_json::json;
use tentacular_cluster::{Cluster, Error, Metadata, Selector, retry_on_conflict_or_outage};
use tentacular_contract::{EnclaveName, TentacleName, keys};
use tokio::sync::Mutex;

use super::{Book, Change};

/// Reads and changes ledgers.
#[derive(Debug, Clone)]
pub(crate) struct Ledgers {
    cluster: Cluster,
}

/// A ledger as it was when it was read or written last.
#[derive(Debug)]
pub(crate) struct Held {
    enclave: EnclaveName,
    tentacle: TentacleName,
    book: Book,
    /// None while there is no `ConfigMap`.
    version: Option<Version>,
    /// Whether somebody else wrote since, or may have.
    stale: bool,
}

#[derive(Debug)]
struct Version {
    uid: Option<String>,
    resource_version: Option<String>,
}

/// Why a ledger was not changed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum ChangeError<R> {
    /// What the ledger says does not allow it. Nothing was written.
    #[error(transparent)]
    Refused(R),
    /// After [`Error::Unavailable`] it may have been written.
    #[error(transparent)]
    Cluster(Error),
}

impl Held {
    /// What it says. After [`Ledgers::load`] all of it, else what judging needs ([`Book::compact`]).
    pub(crate) const fn book(&self) -> &Book {
        &self.book
    }

    fn map_name(&self) -> String {
        format!("{}{}", keys::LEDGER_PREFIX, self.tentacle)
    }
}

impl Ledgers {
    pub(crate) const fn new(cluster: Cluster) -> Self {
        Self { cluster }
    }

    /// Reads a tentacle's ledger. It is empty where there is none.
    pub(crate) async fn load(&self, enclave: &EnclaveName, tentacle: &TentacleName) -> Result<Held, Error> {
        let mut held = Self::unread(enclave, tentacle);
        self.read(&mut held).await?;
        Ok(held)
    }

    /// A tentacle's ledger that is first read when it is changed.
    pub(crate) fn unread(enclave: &EnclaveName, tentacle: &TentacleName) -> Held {
        Held {
            enclave: enclave.clone(),
            tentacle: tentacle.clone(),
            book: Book::default(),
            version: None,
            stale: true,
        }
    }

    /// Reads all ledgers of an enclave, and keeps of each what judging needs: some 3 KB.
    pub(crate) async fn list(&self, enclave: &EnclaveName) -> Result<BTreeMap<TentacleName, Held>, Error> {
        let maps =
            self.cluster.namespaced::<ConfigMap>(enclave.as_str()).list(&Selector::labels(keys::LEDGER)).await?;
        let held = maps.into_iter().filter_map(|map| {
            let name = map.metadata.name.as_deref()?;
            let tentacle: TentacleName = name.strip_prefix(keys::LEDGER_PREFIX)?.parse().ok()?;
            let mut book = Book::read(&map.data.unwrap_or_default());
            book.compact();
            let version = Some(Version::of(map.metadata));
            Some((tentacle.clone(), Held { enclave: enclave.clone(), tentacle, book, version, stale: false }))
        });
        Ok(held.collect())
    }

    /// Writes what `judge` makes of the ledger: one request where nobody else wrote since it was read, none for an empty
    /// change. After a conflict it reads and judges again, and so it does while the API server is away; no attempt begins
    /// later than `limit` after the first. A refusal is believed only of a ledger that was just read.
    ///
    /// A write whose answer was lost and that stands in the ledger is a success, and is not done twice.
    pub(crate) async fn change<R>(
        &self,
        held: &mut Held,
        limit: Duration,
        judge: impl FnMut(&Book) -> Result<Change, R>,
    ) -> Result<(), ChangeError<R>> {
        let attempts = Mutex::new(Attempts { ledgers: self, held, judge, unanswered: Vec::new() });
        let ended = retry_on_conflict_or_outage(limit, async || attempts.lock().await.next().await).await;
        attempts.into_inner().held.book.compact();
        match ended {
            Ok(judged) => judged.map_err(ChangeError::Refused),
            Err(error) => Err(ChangeError::Cluster(error)),
        }
    }

    /// Reads the ledger again, and returns the data.
    async fn read(&self, held: &mut Held) -> Result<BTreeMap<String, String>, Error> {
        let map = self.cluster.namespaced::<ConfigMap>(held.enclave.as_str()).get(&held.map_name()).await?;
        let (data, version) = match map {
            Some(map) => (map.data.unwrap_or_default(), Some(Version::of(map.metadata))),
            None => (BTreeMap::new(), None),
        };
        held.book = Book::read(&data);
        held.version = version;
        held.stale = false;
        Ok(data)
    }

    async fn write(&self, held: &Held, change: &Change) -> Result<Version, Error> {
        let (namespace, name) = (held.enclave.as_str(), held.map_name());
        let Some(version) = &held.version else {
            let map = self.cluster.namespaced::<ConfigMap>(namespace).create(&new_map(name, change)).await?;
            return Ok(Version::of(map.metadata));
        };
        let patch = json!({
            "metadata": { "uid": version.uid, "resourceVersion": version.resource_version },
            "data": change,
        });
        let map = self.cluster.namespaced::<Metadata<ConfigMap>>(namespace).patch(&name, &patch).await;
        match map {
            // It was removed since; whether its enclave was, too, the next attempt sees.
            Err(Error::NotFound { object }) => Err(Error::Conflict { object, message: "it was removed".to_owned() }),
            map => Ok(Version::of(map?.metadata)),
        }
    }
}

/// The attempts to make one change.
struct Attempts<'a, J> {
    ledgers: &'a Ledgers,
    held: &'a mut Held,
    judge: J,
    /// What was sent and may have been written, or may still be.
    unanswered: Vec<Change>,
}

impl<R, J: FnMut(&Book) -> Result<Change, R>> Attempts<'_, J> {
    async fn next(&mut self) -> Result<Result<(), R>, Error> {
        let mut is_fresh = false;
        let change = loop {
            if self.held.stale {
                let data = self.ledgers.read(self.held).await?;
                is_fresh = true;
                if self.unanswered.iter().any(|change| change.was_written(&data)) {
                    return Ok(Ok(()));
                }
            }
            match (self.judge)(&self.held.book) {
                Ok(change) => break change,
                Err(refused) if is_fresh => return Ok(Err(refused)),
                Err(_) => self.held.stale = true,
            }
        };
        if !change.is_empty() {
            self.write(change).await?;
        }
        Ok(Ok(()))
    }

    async fn write(&mut self, change: Change) -> Result<(), Error> {
        // Until the answer is there, and when it never comes as the caller has gone.
        self.held.stale = true;
        match self.ledgers.write(self.held, &change).await {
            Ok(version) => {
                self.held.version = Some(version);
                self.held.book.apply(&change);
                self.held.stale = false;
                Ok(())
            }
            Err(Error::AlreadyExists { object }) => {
                Err(Error::Conflict { object, message: "it was made in the meantime".to_owned() })
            }
            Err(error) => {
                if error.is_unavailable() {
                    self.unanswered.push(change);
                }
                Err(error)
            }
        }
    }
}

impl Version {
    fn of(metadata: ObjectMeta) -> Self {
        Self { uid: metadata.uid, resource_version: metadata.resource_version }
    }
}

fn new_map(name: String, change: &Change) -> ConfigMap {
    let labels = [(keys::LEDGER, "true"), (keys::MANAGED_BY, keys::TENTACULAR)];
    let data = change.data().iter().filter_map(|(key, text)| Some((key.clone(), text.clone()?)));
    ConfigMap {
        metadata: ObjectMeta {
            name: Some(name),
            labels: Some(labels.map(|(key, value)| (key.to_owned(), value.to_owned())).into()),
            ..ObjectMeta::default()
        },
        data: Some(data.collect()),
        ..ConfigMap::default()
    }
}
