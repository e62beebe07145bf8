//! The handle through which a process speaks to the Kubernetes API.

use std::{fmt, path::Path, time::Duration};

use backon::{ExponentialBuilder, Retryable};
use k8s_openapi::{api::core::v1::Namespace, apimachinery::pkg::version::Info};
use kube::core::PartialObjectMeta;
use serde::de::DeserializeOwned;
use tentacular_contract::keys;
use tokio::time::timeout;

use crate::{
    Object, connect,
    error::{About, Error},
    kind::{CustomKind, Kind},
    objects::{Namespaced, Objects, Typed},
    options::Selector,
    retry::Patience,
};

/// Longest wait for one answer: shorter than the default deadline of a tool, so that the caller hears the reason.
pub(crate) const CALL: Duration = Duration::from_secs(20);
/// A probe that takes longer has failed.
const PROBE: Duration = Duration::from_secs(5);
/// After a 429 nothing was done, so the request is sent again: up to four times, at most this long apart.
const LONGEST_WAIT: Duration = Duration::from_secs(5);
const TRIES: usize = 4;
/// Pauses between the tries of a patient read.
const SHORTEST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(2);
/// What a patient read's last try has at least.
const LAST_TRY: Duration = Duration::from_secs(5);

/// A connection to the Kubernetes API. Cheap to clone; clones share their connections.
///
/// There is no rate limit on this side. A request is sent once, except after a 429, and [`Cluster::patient`] says more
/// of reads. None waits longer than 20 s for its answer.
#[derive(Clone)]
pub struct Cluster {
    client: kube::Client,
    patience: Duration,
}

impl fmt::Debug for Cluster {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cluster").finish_non_exhaustive()
    }
}

impl Cluster {
    /// Prepares access with the credentials in the file that `KUBECONFIG` names, else in `~/.kube/config`, else of the
    /// pod's service account. Nothing is sent yet. `part` is the process's name in the user agent,
    /// `tentacular-<part>/<version>`.
    ///
    /// Fails when none of them can be used.
    pub async fn connect(part: &str) -> Result<Self, Error> {
        Ok(Self::new(connect::client(connect::inferred().await?, part)?))
    }

    /// Prepares access with the kubeconfig file at `path`, whatever the environment says.
    ///
    /// Fails when the file cannot be used.
    pub async fn from_kubeconfig(part: &str, path: &Path) -> Result<Self, Error> {
        Ok(Self::new(connect::client(connect::from_file(path).await?, part)?))
    }

    pub(crate) const fn new(client: kube::Client) -> Self {
        Self { client, patience: Duration::ZERO }
    }

    /// The same cluster for a caller who would rather wait than fail: each read and each dry run that ends with
    /// [`Error::Unavailable`] is sent again, with pauses of 100 ms to 2 s (growing, with jitter), until `limit` after
    /// it was first sent. A write is not, since nobody knows whether it was done.
    ///
    /// A request that is not answered at all ends 20 s after it was sent, or 5 s after `limit`, whichever is later.
    #[must_use]
    pub fn patient(&self, limit: Duration) -> Self {
        Self { patience: limit, ..self.clone() }
    }

    /// The objects of one kind in one namespace.
    pub fn namespaced<K: Namespaced>(&self, namespace: &str) -> Objects<K> {
        Objects::new(self.clone(), &(), Some(namespace))
    }

    /// The objects of a kind that has no namespaces, or those of all namespaces, which can only be listed.
    pub fn all<K: Typed>(&self) -> Objects<K> {
        Objects::new(self.clone(), &(), None)
    }

    /// The objects of one of a tentacle's kinds in one namespace, read and written as they stand in a manifest.
    pub fn objects(&self, kind: Kind, namespace: &str) -> Objects<Object> {
        self.custom(&kind.custom(), Some(namespace))
    }

    /// The objects of a kind that is no part of Kubernetes itself.
    pub fn custom(&self, kind: &CustomKind, namespace: Option<&str>) -> Objects<Object> {
        Objects::new(self.clone(), &kind.resource(), namespace)
    }

    /// Whether the API server answers, knows this account and reaches its storage: one enclave's metadata, read within
    /// 5 s.
    pub async fn probe(&self) -> Result<(), Error> {
        let namespaces = self.all::<PartialObjectMeta<Namespace>>();
        let one = Selector::labels(keys::MANAGED_SELECTOR).at_most(1);
        match timeout(PROBE, namespaces.list(&one)).await {
            Ok(answer) => answer.map(drop),
            Err(_) => Err(Error::unanswered(&namespaces.about(None), PROBE)),
        }
    }

    /// The version of the API server, such as `v1.33.2`, asked within 5 s.
    pub async fn version(&self) -> Result<String, Error> {
        let about =
            About { kind: "the version".to_owned(), plural: "the version".to_owned(), namespace: None, name: None };
        let request = http::Request::get("/version").body(Vec::new());
        let request = request.map_err(|error| Error::invalid(&about, error.to_string()))?;
        match timeout(PROBE, self.send::<Info>(&about, request, false)).await {
            Ok(info) => info.map(|info| info.git_version),
            Err(_) => Err(Error::unanswered(&about, PROBE)),
        }
    }

    pub(crate) const fn client(&self) -> &kube::Client {
        &self.client
    }

    /// Sends `request` and reads its answer; one that `changes` nothing is sent as often as the patience allows. kube's
    /// own reading is not used: it logs an answer that it cannot read.
    pub(crate) async fn send<T: DeserializeOwned>(
        &self,
        about: &About,
        request: http::Request<Vec<u8>>,
        changes: bool,
    ) -> Result<T, Error> {
        let limit = if changes { Duration::ZERO } else { self.patience };
        let mut patience = Patience::new(limit, SHORTEST_PAUSE, LONGEST_PAUSE);
        let mut within = CALL;
        loop {
            match self.answer(about, &request, within).await {
                Ok(text) => return serde_json::from_str(&text).map_err(|error| Error::unreadable(about, &error)),
                Err(error) if error.is_unavailable() && patience.pause().await => {
                    within = patience.left().clamp(LAST_TRY, CALL);
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// The answer's text. Each of the tries that a 429 asks for has its time `within`.
    async fn answer(
        &self,
        about: &About,
        request: &http::Request<Vec<u8>>,
        within: Duration,
    ) -> Result<String, Error> {
        let attempt = || async {
            match timeout(within, self.client.request_text(request.clone())).await {
                Ok(answer) => answer.map_err(|error| Error::from_kube(about, error)),
                Err(_) => Err(Error::unanswered(about, within)),
            }
        };
        attempt
            .retry(ExponentialBuilder::default().with_max_times(TRIES).with_jitter())
            .when(|error| error.retry_after().is_some())
            .adjust(|error, delay| {
                delay.map(|delay| delay.max(error.retry_after().unwrap_or(delay)).min(LONGEST_WAIT))
            })
            .await
    }
}
