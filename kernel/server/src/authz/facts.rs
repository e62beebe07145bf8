//! The facts that decisions rest on: the enclaves' and the tentacles' metadata, watched, and read through where the
//! watch has not seen a name.

use std::{sync::Arc, time::Duration};

use k8s_openapi::api::apps::v1::Deployment;
use tentacular_cluster::{Cluster, Enclaves, Error, Freshness, Metadata, PerEnclave, Stale, retry_until_bound};
use tentacular_contract::{Enclave, EnclaveName, Place, Platform, Tentacle, TentacleName, facts::Pairs, keys};
use tentacular_process::Context;
use tokio::time::Instant;

use super::watch_age::WatchAge;

/// How long a new enclave's role bindings may take to count. Some milliseconds are usual.
const COUNTS_WITHIN: Duration = Duration::from_millis(300);

/// Why nothing can be decided.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Unknown {
    #[error(transparent)]
    Stale(#[from] Stale),
    #[error("authorization data cannot be read: {0}; try again")]
    Unreadable(#[from] Error),
}

/// What stands at a place, owned.
#[derive(Debug)]
pub(crate) enum Stands {
    Protected,
    NoEnclave,
    Enclave(Arc<Enclave>),
}

impl Stands {
    pub(crate) fn place(&self) -> Place<'_> {
        match self {
            Self::Protected => Place::Protected,
            Self::NoEnclave => Place::NoEnclave,
            Self::Enclave(enclave) => Place::Enclave(enclave),
        }
    }
}

/// The watches of enclaves and tentacles. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Facts {
    platform: Arc<Platform>,
    enclaves: Enclaves,
    tentacles: PerEnclave<Metadata<Deployment>, Tentacle>,
}

impl Facts {
    /// Starts the watches; /readyz waits for them.
    pub(crate) fn watch(cluster: Cluster, platform: Platform, context: &Context) -> Self {
        let (enclaves, follow_enclaves) = Enclaves::new(cluster.clone(), platform.clone());
        let (tentacles, follow_tentacles) =
            PerEnclave::keeping(cluster, enclaves.clone(), Some(keys::MANAGED_SELECTOR), tentacle);
        context.spawn("enclave watch", async {
            follow_enclaves.await;
            Ok(())
        });
        context.spawn("tentacle watch", async {
            follow_tentacles.await;
            Ok(())
        });
        let (enclaves_seen, tentacles_seen) =
            (context.health.condition("enclaves"), context.health.condition("tentacles"));
        let (first, second) = (enclaves.clone(), tentacles.clone());
        tokio::spawn(async move {
            first.ready().await;
            enclaves_seen.set(true);
            second.ready().await;
            tentacles_seen.set(true);
        });
        let facts = Self { platform: Arc::new(platform), enclaves, tentacles };
        let age = WatchAge::new(facts.clone());
        context.metrics.register(|registry| registry.register_collector(Box::new(age)));
        facts
    }

    /// How far the watch of the enclaves can be trusted, and each enclave's of its tentacles.
    pub(super) fn freshness(&self) -> (Freshness, Vec<Freshness>) {
        let tentacles = self.enclaves.list().iter().map(|enclave| self.tentacles.freshness(&enclave.name)).collect();
        (self.enclaves.freshness(), tentacles)
    }

    /// All enclaves, while the watch can be trusted.
    pub(crate) async fn enclaves(&self) -> Result<Vec<Arc<Enclave>>, Unknown> {
        Ok(self.enclaves.trusted(Duration::ZERO).await?)
    }

    /// What stands where the enclave of that name would.
    pub(super) async fn at(&self, name: &EnclaveName) -> Result<Stands, Unknown> {
        if self.platform.is_protected(name.as_str()) {
            return Ok(Stands::Protected);
        }
        if self.enclaves.freshness().is_stale(Instant::now()) {
            return Err(Stale.into());
        }
        let seen = match self.enclaves.get(name) {
            Some(enclave) => Some(enclave),
            None => self.enclaves.read(name).await?.map(Arc::new),
        };
        Ok(seen.map_or(Stands::NoEnclave, Stands::Enclave))
    }

    /// The tentacle of that name in an enclave. With `read`, the API server is asked for one that the watch shows as for
    /// one that it does not, so that nobody can tell by the time which it was.
    pub(super) async fn tentacle(
        &self,
        enclave: &EnclaveName,
        name: &TentacleName,
        read: bool,
    ) -> Result<Option<Tentacle>, Unknown> {
        let found = retry_until_bound(COUNTS_WITHIN, || async {
            if read {
                Ok(self.tentacles.read(enclave, name.as_str()).await?.and_then(tentacle))
            } else {
                Ok(self.tentacles.get_or_read(enclave, name.as_str()).await?.map(Arc::unwrap_or_clone))
            }
        });
        Ok(found.await?)
    }
}

/// The tentacle that a Deployment is, or `None` when the server does not manage it.
fn tentacle(deployment: Metadata<Deployment>) -> Option<Tentacle> {
    let none = Pairs::new();
    let (labels, annotations) = (deployment.metadata.labels, deployment.metadata.annotations);
    Tentacle::from_metadata(labels.as_ref()?, annotations.as_ref().unwrap_or(&none))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[tokio::test]
    async fn before_the_first_list_nobody_is_told_that_there_is_no_enclave() {
        let file = tempfile::NamedTempFile::new().expect("a file");
        let config = json!({ "apiVersion": "v1", "kind": "Config", "current-context": "c",
            "clusters": [{ "name": "c", "cluster": { "server": "http://127.0.0.1:1" } }],
            "users": [{ "name": "c", "user": {} }],
            "contexts": [{ "name": "c", "context": { "cluster": "c", "user": "c" } }] });
        std::fs::write(file.path(), config.to_string()).expect("written");
        let cluster = Cluster::from_kubeconfig("kernel", file.path()).await.expect("a configuration");
        let (enclaves, _) = Enclaves::new(cluster.clone(), Platform::default());
        let (tentacles, _) = PerEnclave::keeping(cluster, enclaves.clone(), None, tentacle);
        let facts = Facts { platform: Arc::default(), enclaves, tentacles };
        assert!(matches!(facts.enclaves().await, Err(Unknown::Stale(_))));
    }
}
