//! What an enclave holds of a tentacle: every object that carries the tentacle's release label.

use std::{
    collections::BTreeSet,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use futures::future::try_join_all;
use tentacular_cluster::{
    Cluster, Delete, Error, Kind, Object, Objects, Propagation, Selector, retry_on_conflict_or_outage,
};
use tentacular_contract::{EnclaveName, TentacleName, facts::Pairs, keys, release::release_of};

/// How long the removal of an object is tried.
const CONTENDED: Duration = Duration::from_secs(45);

/// An object as it stands in the cluster.
#[derive(Clone)]
pub(crate) struct Live {
    pub(crate) kind: Kind,
    pub(crate) object: Object,
}

impl Live {
    pub(crate) fn name(&self) -> &str {
        self.object.metadata.name.as_deref().unwrap_or_default()
    }

    /// How results name it.
    pub(crate) fn title(&self) -> String {
        format!("{}/{}", self.kind, self.name())
    }

    pub(crate) fn uid(&self) -> Option<&str> {
        self.object.metadata.uid.as_deref()
    }

    /// Whether it was made by another object, such as a Job by a `CronJob`, and goes with that.
    pub(crate) fn is_controlled(&self) -> bool {
        self.controller().is_some()
    }

    /// The uid of the object that made it.
    fn controller(&self) -> Option<&str> {
        let owners = self.object.metadata.owner_references.iter().flatten();
        owners.into_iter().find(|owner| owner.controller == Some(true)).map(|owner| owner.uid.as_str())
    }
}

/// Whether the object is being deleted.
pub(crate) const fn is_terminating(object: &Object) -> bool {
    object.metadata.deletion_timestamp.is_some()
}

/// The object's annotations.
pub(crate) fn annotations(object: &Object) -> Pairs {
    object.metadata.annotations.clone().unwrap_or_default()
}

/// Removes an object of a release as it was read. That it is gone, or that another one or one of nobody or somebody else
/// stands there, is as good. Tried again while the API server is away or the object is written at the same time.
pub(crate) async fn delete(objects: &Objects<Object>, live: &Object, propagation: Propagation) -> Result<(), Error> {
    let name = live.metadata.name.as_deref().unwrap_or_default();
    let current = Mutex::new(live.metadata.resource_version.clone());
    retry_on_conflict_or_outage(CONTENDED, || async {
        let resource_version = current.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let delete = Delete { uid: live.metadata.uid.clone(), resource_version, propagation };
        match objects.delete(name, &delete).await {
            Ok(_) => Ok(()),
            Err(conflict @ Error::Conflict { .. }) => match objects.get(name).await? {
                Some(now)
                    if now.metadata.uid == live.metadata.uid
                        && release_of(&now.metadata) == release_of(&live.metadata) =>
                {
                    *current.lock().unwrap_or_else(PoisonError::into_inner) = now.metadata.resource_version;
                    Err(conflict)
                }
                _ => Ok(()),
            },
            Err(error) => Err(error),
        }
    })
    .await
}

/// Every object of the tentacle, kind by kind. What a controller made is among them only with its maker: labels of what a
/// controller makes are copied, and those of another tentacle's could name this one.
pub(crate) async fn read(
    cluster: &Cluster,
    enclave: &EnclaveName,
    tentacle: &TentacleName,
) -> Result<Vec<Live>, Error> {
    let selector = Selector::labels(&format!("{}={tentacle}", keys::RELEASE));
    let lists = Kind::ALL.map(|kind| {
        let selector = &selector;
        async move {
            let objects = cluster.objects(kind, enclave.as_str()).list(selector).await?;
            Ok::<_, Error>(objects.into_iter().map(move |object| Live { kind, object }))
        }
    });
    let all: Vec<_> = try_join_all(lists).await?.into_iter().flatten().collect();
    let uids: BTreeSet<_> = all.iter().filter_map(Live::uid).map(str::to_owned).collect();
    Ok(all.into_iter().filter(|live| live.controller().is_none_or(|maker| uids.contains(maker))).collect())
}
