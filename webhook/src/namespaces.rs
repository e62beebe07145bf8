//! What holds in the namespace of an object under review: labels and annotations as last seen by a watch. To know it
//! costs no call of the API, and what cannot be known is refused and never guessed.

use std::{collections::BTreeMap, fmt, sync::Arc, time::Duration};

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, EncodeMetric},
    metrics::{MetricType, gauge::ConstGauge},
};
use tentacular_cluster::{Enclaves, STALE_AFTER};
use tentacular_process::{health::Condition, metrics::Metrics};
use tokio::time::{Instant, sleep, timeout_at};

/// How long a review waits for a namespace that is not known: an object may follow its namespace by less than the watch
/// takes, and the first list of a process that has just begun may be on its way. Well below the 5 s that the API server
/// waits for the answer.
const PATIENCE: Duration = Duration::from_secs(1);
/// Between two looks at whether the watch works.
const LOOK: Duration = Duration::from_secs(1);

/// The namespaces with the server's label. Cheap to clone; clones show the same.
#[derive(Debug, Clone)]
pub struct Namespaces(Source);

#[derive(Debug, Clone)]
enum Source {
    Watched(Enclaves),
    Fixed(Arc<BTreeMap<String, Arc<ObjectMeta>>>),
}

/// Why nobody can say what holds in a namespace. The text is for whoever is refused because of it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{why}: try again. If it stays so, an administrator sees the cause in the log of the admission webhook, and lifts the \
     rules meanwhile by `kubectl delete validatingwebhookconfiguration tentacular-webhook`"
)]
pub struct Unknown {
    why: Why,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Why {
    /// The watch works and does not show it.
    Unseen(String),
    /// Nothing was listed yet.
    Starting,
    /// The watch failed for too long.
    Stale,
}

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unseen(name) => write!(f, "the admission webhook does not know namespace {name} yet"),
            Self::Starting => f.write_str("the admission webhook has not read the namespaces yet"),
            Self::Stale => {
                write!(f, "the admission webhook has not heard of the API server for {} s", STALE_AFTER.as_secs())
            }
        }
    }
}

impl Namespaces {
    /// What `enclaves` shows.
    pub(crate) const fn watched(enclaves: Enclaves) -> Self {
        Self(Source::Watched(enclaves))
    }

    /// These and no others, for ever; those without a name are left out.
    pub fn fixed(namespaces: impl IntoIterator<Item = ObjectMeta>) -> Self {
        let named = |metadata: ObjectMeta| Some((metadata.name.clone()?, Arc::new(metadata)));
        Self(Source::Fixed(Arc::new(namespaces.into_iter().filter_map(named).collect())))
    }

    /// The metadata of the namespace of that name, without managed fields. One that is not known is waited for, up to a
    /// second.
    pub async fn find(&self, name: &str) -> Result<Arc<ObjectMeta>, Unknown> {
        match &self.0 {
            Source::Fixed(namespaces) => {
                namespaces.get(name).cloned().ok_or_else(|| Unknown { why: Why::Unseen(name.to_owned()) })
            }
            Source::Watched(enclaves) => find(enclaves, name).await.map_err(|why| Unknown { why }),
        }
    }
}

async fn find(enclaves: &Enclaves, name: &str) -> Result<Arc<ObjectMeta>, Why> {
    let until = Instant::now() + PATIENCE;
    let mut changes = enclaves.changes();
    loop {
        if enclaves.is_ready() && enclaves.freshness().is_stale(Instant::now()) {
            return Err(Why::Stale);
        }
        if let Some(metadata) = enclaves.labelled(name) {
            return Ok(metadata);
        }
        if timeout_at(until, changes.changed()).await.is_err() {
            return Err(if enclaves.is_ready() { Why::Unseen(name.to_owned()) } else { Why::Starting });
        }
    }
}

/// Keeps `ready` met while the namespaces can be trusted: a replica whose watch fails is to be asked no more, as long as
/// there is another. Never ends.
pub(crate) async fn watch_over(enclaves: Enclaves, ready: Condition) -> anyhow::Result<()> {
    enclaves.ready().await;
    loop {
        ready.set(!enclaves.freshness().is_stale(Instant::now()));
        sleep(LOOK).await;
    }
}

/// Lets `metrics` show how old the namespaces are.
pub(crate) fn show_age(enclaves: Enclaves, metrics: &Metrics) {
    let age = Age { enclaves, begun: Instant::now() };
    metrics.register(|registry| registry.register_collector(Box::new(age)));
}

/// How long ago the watch last worked, told at each scrape; from its beginning on where it never did.
#[derive(Debug)]
struct Age {
    enclaves: Enclaves,
    begun: Instant,
}

impl Collector for Age {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let help = "Seconds since the `watch` of `enclaves` last worked. Above 30, reviews are refused";
        let mut metric = encoder.encode_descriptor("watch_age_seconds", help, None, MetricType::Gauge)?;
        let age = self.enclaves.freshness().age(self.begun, Instant::now());
        ConstGauge::new(age.as_secs_f64()).encode(metric.encode_family(&[("watch", "enclaves")])?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn fixed_namespaces_are_those_and_no_others() {
        let named = |name: &str| ObjectMeta { name: Some(name.to_owned()), ..ObjectMeta::default() };
        let namespaces = Namespaces::fixed([named("a"), named("b"), ObjectMeta::default()]);
        assert_eq!(namespaces.find("b").await.expect("b").name.as_deref(), Some("b"));
        let unknown = namespaces.find("c").await.expect_err("c").to_string();
        for part in ["namespace c", "try again", "kubectl delete validatingwebhookconfiguration"] {
            assert!(unknown.contains(part), "{unknown}");
        }
    }
}
