//! Removing an enclave that could not be finished by the call that began it.

use std::time::Duration;

use k8s_openapi::{api::core::v1::Namespace, apimachinery::pkg::apis::meta::v1::ObjectMeta};
use tentacular_cluster::{Delete, Error, Metadata, retry_on_conflict_or_outage};
use tentacular_contract::{EnclaveName, Status};
use tokio::time::{sleep, timeout};

use crate::registrar::Registrar;

/// How long it is tried while the API server is out of reach.
const REACHED_WITHIN: Duration = Duration::from_secs(10);
/// Longest wait for the namespace to go.
const GONE_WITHIN: Duration = Duration::from_secs(15);
/// Pause between two looks.
const LOOK: Duration = Duration::from_millis(250);

/// What became of the namespace.
#[derive(Debug)]
pub(super) enum Left {
    /// Nothing is left.
    Nothing,
    /// It is being deleted.
    Going,
    /// The enclave is active, by a repeat of the call or by a write whose answer was lost, so it stays: its namespace's
    /// metadata.
    Finished(Box<ObjectMeta>),
}

/// Removes the namespace with `uid`, if it is not finished.
pub(super) async fn undo(registrar: &Registrar, name: &EnclaveName, uid: &str) -> Result<Left, Error> {
    let left = retry_on_conflict_or_outage(REACHED_WITHIN, || remove(registrar, name, uid)).await?;
    if !matches!(left, Left::Going) {
        return Ok(left);
    }
    let gone = async {
        while !matches!(find(registrar, name, uid).await, Ok(None)) {
            sleep(LOOK).await;
        }
    };
    Ok(if timeout(GONE_WITHIN, gone).await.is_ok() { Left::Nothing } else { Left::Going })
}

async fn remove(registrar: &Registrar, name: &EnclaveName, uid: &str) -> Result<Left, Error> {
    let Some(found) = find(registrar, name, uid).await? else { return Ok(Left::Nothing) };
    if found.deletion_timestamp.is_some() {
        return Ok(Left::Going);
    }
    if registrar.facts(&found).is_some_and(|enclave| enclave.status != Status::Provisioning) {
        return Ok(Left::Finished(Box::new(found)));
    }
    // With the resource version, so that one which is finished just now stays.
    let delete = Delete { uid: Some(uid.to_owned()), resource_version: found.resource_version, ..Delete::default() };
    registrar.impatient().all::<Metadata<Namespace>>().delete(name.as_str(), &delete).await?;
    Ok(Left::Going)
}

/// The namespace with `uid`; one that somebody made since then is another.
async fn find(registrar: &Registrar, name: &EnclaveName, uid: &str) -> Result<Option<ObjectMeta>, Error> {
    let found = registrar.impatient().all::<Metadata<Namespace>>().get(name.as_str()).await?;
    Ok(found.map(|found| found.metadata).filter(|found| found.uid.as_deref() == Some(uid)))
}
