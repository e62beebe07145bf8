//! What the auditor has in view: the enclaves and their tentacles, watched, and read where the watch cannot be relied on.

use std::{
    future::{Future, pending},
    sync::Arc,
    time::Duration,
};

use k8s_openapi::api::apps::v1::Deployment;
use tentacular_cluster::{Cluster, Enclaves, Error, Namespaced, PerEnclave, Selector, retry_until_bound};
use tentacular_contract::{Enclave, EnclaveName, Platform, TentacleName, keys, limits::SIDECAR_PATIENCE};
use tentacular_process::{Context, link::ToolError};
use tokio::time::{Instant, timeout};

use crate::tentacle::Kept;

/// How long a new enclave's role bindings may take to count. Some milliseconds are usual.
const COUNTS_WITHIN: Duration = Duration::from_millis(300);

/// The enclaves and their tentacles.
#[derive(Debug, Clone)]
pub(crate) struct Observed {
    pub(crate) cluster: Cluster,
    enclaves: Enclaves,
    tentacles: PerEnclave<Deployment, Kept>,
}

impl Observed {
    /// Starts the watches; /readyz waits until they are filled.
    pub(crate) fn watch(cluster: Cluster, platform: Platform, context: &Context) -> Self {
        let (enclaves, follow_enclaves) = Enclaves::new(cluster.clone(), platform);
        let keep = |deployment: Deployment| Kept::of(&deployment);
        let (tentacles, follow_tentacles) =
            PerEnclave::keeping(cluster.clone(), enclaves.clone(), Some(keys::MANAGED_SELECTOR), keep);
        context.spawn("enclave watch", endless(follow_enclaves));
        context.spawn("tentacle watch", endless(follow_tentacles));
        let (enclaves_seen, tentacles_seen) =
            (context.health.condition("enclaves"), context.health.condition("tentacles"));
        let (first, second) = (enclaves.clone(), tentacles.clone());
        context.spawn("readiness", async move {
            first.ready().await;
            enclaves_seen.set(true);
            second.ready().await;
            tentacles_seen.set(true);
            pending().await
        });
        Self { cluster, enclaves, tentacles }
    }

    /// All enclaves, in the order of their names. Waits a moment for the watches of an auditor that has just started.
    pub(crate) async fn enclaves(&self) -> Result<Vec<Arc<Enclave>>, ToolError> {
        // Where tentacles take longer, the answer says what is missing.
        let tentacles = timeout(SIDECAR_PATIENCE, self.tentacles.ready());
        let (enclaves, _) = tokio::join!(self.enclaves.trusted(SIDECAR_PATIENCE), tentacles);
        enclaves.map_err(ToolError::new)
    }

    /// The enclave of that name; an error where there is none.
    pub(crate) async fn enclave(&self, name: &EnclaveName) -> Result<Arc<Enclave>, ToolError> {
        self.find(name).await?.ok_or_else(|| {
            ToolError::new(format_args!("there is no enclave {name}; enclave_list shows those that you may read"))
        })
    }

    /// The enclave of that name, if there is one.
    pub(crate) async fn find(&self, name: &EnclaveName) -> Result<Option<Arc<Enclave>>, ToolError> {
        Ok(match self.enclaves.get(name).filter(|_| !self.enclaves.freshness().is_stale(Instant::now())) {
            Some(enclave) => Some(enclave),
            None => self.enclaves.read(name).await?.map(Arc::new),
        })
    }

    /// The enclave's tentacles, in the order of their names, as far as the watch is to be trusted.
    pub(crate) fn watched(&self, enclave: &EnclaveName) -> Option<Vec<Arc<Kept>>> {
        self.is_trusted(enclave).then(|| self.tentacles.list(enclave))
    }

    /// The same, asked of the API server where the watch is not to be trusted.
    pub(crate) async fn tentacles(&self, enclave: &Enclave) -> Result<Vec<Arc<Kept>>, ToolError> {
        if let Some(watched) = self.watched(&enclave.name) {
            return Ok(watched);
        }
        let found = self.select::<Deployment>(enclave, &Selector::labels(keys::MANAGED_SELECTOR)).await?;
        let mut found: Vec<_> = found.iter().filter_map(Kept::of).map(Arc::new).collect();
        found.sort_by(|one, other| one.name.cmp(&other.name));
        Ok(found)
    }

    /// All objects of one kind in the enclave, as they are now.
    pub(crate) async fn list<K: Namespaced>(&self, enclave: &Enclave) -> Result<Vec<K>, Error> {
        self.select(enclave, &Selector::all()).await
    }

    /// Those of them that `wanted` selects.
    pub(crate) async fn select<K: Namespaced>(&self, enclave: &Enclave, wanted: &Selector) -> Result<Vec<K>, Error> {
        let objects = self.cluster.namespaced::<K>(enclave.name.as_str());
        match patiently(|| objects.list(wanted)).await {
            // Its bindings may go before its last object does.
            Err(Error::Forbidden { .. }) if enclave.terminating => Ok(Vec::new()),
            answer => answer,
        }
    }

    /// The tentacle of that name, as last seen where the watch is to be trusted, else as it is now.
    pub(crate) async fn tentacle(
        &self,
        enclave: &EnclaveName,
        name: &TentacleName,
    ) -> Result<Option<Arc<Kept>>, ToolError> {
        match self.tentacles.get(enclave, name.as_str()).filter(|_| self.is_trusted(enclave)) {
            Some(tentacle) => Ok(Some(tentacle)),
            None => Ok(self.deployment_now(enclave, name).await?.as_ref().and_then(Kept::of).map(Arc::new)),
        }
    }

    /// The Deployment of that name, as it is now.
    pub(crate) async fn deployment_now(
        &self,
        enclave: &EnclaveName,
        tentacle: &TentacleName,
    ) -> Result<Option<Deployment>, ToolError> {
        Ok(patiently(|| self.tentacles.read(enclave, tentacle.as_str())).await?)
    }

    fn is_trusted(&self, enclave: &EnclaveName) -> bool {
        self.tentacles.has_synced(enclave) && !self.tentacles.freshness(enclave).is_stale(Instant::now())
    }
}

async fn endless(follow: impl Future<Output = ()>) -> anyhow::Result<()> {
    follow.await;
    Ok(())
}

/// Reads again for a moment when access is refused, as it may be in a new enclave.
pub(crate) async fn patiently<T, F: Future<Output = Result<T, Error>>>(read: impl Fn() -> F) -> Result<T, Error> {
    retry_until_bound(COUNTS_WITHIN, read).await
}
