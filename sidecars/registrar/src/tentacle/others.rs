//! What else is in an enclave than one tentacle's objects, as the rules look at it.

use std::collections::BTreeSet;

use futures::future::try_join_all;
use k8s_openapi::{
    api::core::v1::{ConfigMap, PersistentVolumeClaim, Pod, Secret},
    apimachinery::pkg::apis::meta::v1::ObjectMeta,
};
use tentacular_cluster::{Cluster, Error, Kind, Metadata, Namespaced, Selector};
use tentacular_contract::{
    EnclaveName, TentacleName, keys,
    reach::{Neighbours, Object},
    release::release_of,
};
use tentacular_process::link::ToolError;

/// Kinds that are looked into; of [`NAMED`] only the names count.
const LOOKED_INTO: [Kind; 6] =
    [Kind::NetworkPolicy, Kind::Service, Kind::Deployment, Kind::Job, Kind::CronJob, Kind::Ingress];

const NAMED: [Kind; 3] = [Kind::ConfigMap, Kind::Secret, Kind::PersistentVolumeClaim];

/// Controllers that make pods and Jobs from a template which is looked at itself.
const TEMPLATED: [&str; 3] = ["ReplicaSet", "Job", "CronJob"];

/// What is not of the tentacle.
pub(crate) struct Others {
    /// As the rules look at it.
    pub(crate) neighbours: Neighbours,
    names: BTreeSet<(Kind, String)>,
}

impl Others {
    /// Whether an object of this kind and name is among them, whatever the rules make of it.
    pub(crate) fn has(&self, kind: Kind, name: &str) -> bool {
        self.names.contains(&(kind, name.to_owned()))
    }
}

/// Reads everything in the enclave that is not of the tentacle.
pub(crate) async fn read(
    cluster: &Cluster,
    enclave: &EnclaveName,
    tentacle: &TentacleName,
) -> Result<Others, ToolError> {
    let others = Selector::labels(&format!("{}!={tentacle}", keys::RELEASE));
    let whole = try_join_all(LOOKED_INTO.map(|kind| {
        let others = &others;
        async move { Ok::<_, Error>((kind, cluster.objects(kind, enclave.as_str()).list(others).await?)) }
    }));
    let (whole, maps, secrets, claims, pods) = tokio::try_join!(
        whole,
        metadata::<ConfigMap>(cluster, enclave, &others),
        metadata::<Secret>(cluster, enclave, &others),
        metadata::<PersistentVolumeClaim>(cluster, enclave, &others),
        metadata::<Pod>(cluster, enclave, &others),
    )?;
    let (mut neighbours, mut names) = (Neighbours::default(), BTreeSet::new());
    for (kind, objects) in whole {
        names.extend(objects.iter().map(|object| (kind, name(&object.metadata).to_owned())));
        for object in objects.into_iter().filter(|object| counts(&object.metadata)) {
            let read = Object::read(kind.as_str(), name(&object.metadata), &object.data).map_err(|unread| {
                ToolError::new(format_args!(
                    "{} stands in the enclave and cannot be read: {unread}; an administrator has to mend or remove it",
                    unread.object
                ))
            })?;
            neighbours.add(&read, release_of(&object.metadata));
        }
    }
    for (kind, all) in NAMED.into_iter().zip([maps, secrets, claims]) {
        for metadata in all {
            names.insert((kind, name(&metadata).to_owned()));
            neighbours.add_name(kind.as_str(), name(&metadata), release_of(&metadata));
        }
    }
    for metadata in pods.into_iter().filter(counts) {
        let (name, release) = (name(&metadata).to_owned(), release_of(&metadata).map(str::to_owned));
        neighbours.add_pod(&name, metadata.labels.unwrap_or_default(), release.as_deref());
    }
    Ok(Others { neighbours, names })
}

async fn metadata<K: Namespaced>(
    cluster: &Cluster,
    enclave: &EnclaveName,
    wanted: &Selector,
) -> Result<Vec<ObjectMeta>, Error> {
    let listed = cluster.namespaced::<Metadata<K>>(enclave.as_str()).list(wanted).await?;
    Ok(listed.into_iter().map(|object| object.metadata).collect())
}

fn name(metadata: &ObjectMeta) -> &str {
    metadata.name.as_deref().unwrap_or_default()
}

/// Whether the object is to be looked at, and not the template that it was made from. What a controller makes for a
/// tentacle that an older server applied does not carry the label of its release: the template alone tells whose it is.
fn counts(metadata: &ObjectMeta) -> bool {
    let mut owners = metadata.owner_references.iter().flatten();
    let templated = owners.any(|owner| owner.controller == Some(true) && TEMPLATED.contains(&owner.kind.as_str()));
    release_of(metadata).is_some() || !templated
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_no_kind_that_a_manifest_may_have_an_object_is_overlooked() {
        let read: BTreeSet<_> = LOOKED_INTO.into_iter().chain(NAMED).collect();
        assert_eq!(read, Kind::ALL.into_iter().collect());
    }
}
