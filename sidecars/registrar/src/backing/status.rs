//! What is known of each service, probed again and again, and written where the other processes read it.

use std::{
    collections::BTreeMap,
    panic::AssertUnwindSafe,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use chrono::{SecondsFormat, Utc};
use futures::future::{FutureExt as _, join_all};
use k8s_openapi::{api::core::v1::ConfigMap, apimachinery::pkg::apis::meta::v1::ObjectMeta};
use tentacular_cluster::{Cluster, Conflicts};
use tentacular_contract::{
    backing::{self, Found, Service},
    keys,
};
use tentacular_process::link::ToolError;
use tokio::time::{MissedTickBehavior, interval};

use super::{
    Backing, Used, refused,
    service::{Failure, Kept},
};

/// Pause between two probes.
const PROBE: Duration = Duration::from_secs(30);
/// Probes after which it is written though nothing changed but the time.
const WRITE: u32 = 10;

/// What the last probes found. Empty until the first has ended, and where the services are switched off.
#[derive(Debug, Default)]
pub(super) struct Status(Mutex<BTreeMap<Service, Found>>);

impl Status {
    /// As it is now.
    pub(super) fn now(&self) -> BTreeMap<Service, Found> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn set(&self, found: BTreeMap<Service, Found>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = found;
    }
}

impl Backing {
    /// Probes the services and writes down what it finds, in the `ConfigMap` of that namespace. Never ends.
    pub(crate) async fn follow(self: Arc<Self>, cluster: Cluster, namespace: String) {
        let mut since = 0;
        let mut probe = interval(PROBE);
        probe.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            probe.tick().await;
            let found = self.probe().await;
            tell(&self.status.now(), &found);
            self.status.set(found.clone());
            since += 1;
            match write(&cluster, &namespace, &found, since >= WRITE).await {
                Ok(true) => since = 0,
                Ok(false) => {}
                Err(error) => {
                    tracing::warn!(%error, "what is known of the backing services cannot be written; trying again");
                }
            }
        }
    }

    async fn probe(&self) -> BTreeMap<Service, Found> {
        if !self.enabled {
            return BTreeMap::new();
        }
        let off = Found { enabled: false, available: false, isolation: None, reason: None, time: None };
        let mut found: BTreeMap<_, _> = Service::ALL.map(|service| (service, off.clone())).into();
        let probes = self.services.iter().map(|backend| (backend.service(), backend.probe()));
        let identities = self.spire.iter().map(|spire| (Service::Spire, spire.probe().boxed()));
        let probes = probes.chain(identities).map(async |(service, probe)| (service, probed(probe).await));
        found.extend(join_all(probes).await);
        found
    }

    /// An error where one of these services cannot be used now, so that nothing can be removed from it.
    pub(crate) async fn require(&self, used: &Used) -> Result<(), ToolError> {
        let asked = self.services.iter().filter(|backend| used.contains_key(&backend.service()));
        let probes = asked.map(async |backend| (backend.service(), backend.probe().await));
        for (service, probed) in join_all(probes).await {
            probed.map_err(|failure| refused(service, " cleanup", &failure))?;
        }
        Ok(())
    }
}

/// What the probe found. It reads what the service says: one that panics tells of its own service alone.
async fn probed(probe: impl Future<Output = Result<Kept, Failure>>) -> Found {
    let probe = AssertUnwindSafe(probe).catch_unwind().await;
    let probe =
        probe.unwrap_or_else(|_| Err(Failure::Unavailable("the probe ended in a panic, a defect".to_owned())));
    let time = Some(Utc::now().to_rfc3339_opts(SecondsFormat::Secs, true));
    match probe {
        Ok(kept) => {
            Found { enabled: true, available: true, isolation: Some(kept.isolation), reason: kept.reason, time }
        }
        Err(failure) => {
            Found { enabled: true, available: false, isolation: None, reason: Some(failure.to_string()), time }
        }
    }
}

/// Logs which services can, or cannot, be used otherwise than before.
fn tell(before: &BTreeMap<Service, Found>, found: &BTreeMap<Service, Found>) {
    let use_of = |found: Option<&Found>| found.map(|found| (found.available, found.reason.clone()));
    for (service, now) in found.iter().filter(|(_, now)| now.enabled) {
        if use_of(before.get(service)) == use_of(Some(now)) {
            continue;
        }
        let (service, reason) = (service.as_str(), now.reason.as_deref());
        if now.available {
            tracing::info!(service, reason, "a backing service can be used");
        } else {
            tracing::warn!(service, reason, "a backing service cannot be used; it is tried again");
        }
    }
}

fn without_time(found: impl IntoIterator<Item = (Service, Found)>) -> Vec<(Service, Found)> {
    found.into_iter().map(|(service, found)| (service, Found { time: None, ..found })).collect()
}

/// Writes what was found, if something else is written or it must be. Where the services are switched off nothing is made, and
/// what is there is emptied. Returns whether it was written.
async fn write(
    cluster: &Cluster,
    namespace: &str,
    found: &BTreeMap<Service, Found>,
    must: bool,
) -> anyhow::Result<bool> {
    let objects = cluster.namespaced::<ConfigMap>(namespace);
    let written = objects.get(keys::BACKING_SERVICES).await?.map(|map| map.data.unwrap_or_default());
    let same = |data| {
        let read: Result<Vec<_>, _> = backing::read(data).into_iter().collect();
        read.is_ok_and(|read| without_time(read) == without_time(found.clone()))
    };
    if written.as_ref().map_or(found.is_empty(), same) && (!must || found.is_empty()) {
        return Ok(false);
    }
    let metadata = ObjectMeta {
        name: Some(keys::BACKING_SERVICES.to_owned()),
        namespace: Some(namespace.to_owned()),
        labels: Some([(keys::MANAGED_BY.to_owned(), keys::TENTACULAR.to_owned())].into()),
        ..ObjectMeta::default()
    };
    let data = found.iter().map(|(service, found)| (service.as_str().to_owned(), found.to_entry())).collect();
    let map = ConfigMap { metadata, data: Some(data), ..ConfigMap::default() };
    objects.apply(&map, Conflicts::TakeOver).await?;
    Ok(true)
}
