//! Removing an enclave that could not be finished by the call that began it.

use std::time::Duration;

use backon::{ExponentialBuilder, Retryable};
use k8s_openapi::api::core::v1::Namespace;
use tentacular_cluster::{Delete, Error, Metadata};
use tentacular_contract::{EnclaveName, Status};
use tentacular_process::link::ToolError;
use tokio::time::{sleep, timeout};

use crate::registrar::Registrar;

/// Longest wait for the namespace to go.
const GONE_WITHIN: Duration = Duration::from_secs(30);
/// Pause between two looks.
const LOOK: Duration = Duration::from_millis(250);

/// What became of the namespace.
enum Left {
    /// Nothing is left.
    Nothing,
    /// It is being deleted.
    Going,
    /// The enclave is active, by a repeat of the call or by a write whose answer was lost, so it stays.
    Finished,
}

/// Removes the namespace with `uid`, and says why.
pub(crate) async fn undo(registrar: &Registrar, name: &EnclaveName, uid: &str, why: &Error) -> ToolError {
    let attempt = || remove(registrar, name, uid);
    let again = |error: &Error| error.is_unavailable() || error.is_conflict();
    let text = match attempt.retry(ExponentialBuilder::default().with_jitter()).when(again).await {
        Ok(Left::Nothing) => format!("enclave {name} was not made: {why}; nothing of it is left"),
        Ok(Left::Going) => {
            format!("enclave {name} was not made: {why}; its namespace is being removed, repeat the call after that")
        }
        Ok(Left::Finished) => {
            format!("enclave {name} is finished all the same, see enclave_info; this call failed: {why}")
        }
        Err(left) => {
            tracing::error!(enclave = %name, error = %why, %left, "a half-made enclave could not be removed");
            format!(
                "enclave {name} is not finished: {why}; its namespace could not be removed either: {left}; repeat the \
                 call to go on where this one stopped"
            )
        }
    };
    ToolError::new(text)
}

async fn remove(registrar: &Registrar, name: &EnclaveName, uid: &str) -> Result<Left, Error> {
    let namespaces = registrar.cluster.all::<Metadata<Namespace>>();
    let Some(found) = namespaces.get(name.as_str()).await? else { return Ok(Left::Nothing) };
    if found.metadata.uid.as_deref() != Some(uid) {
        return Ok(Left::Nothing);
    }
    if registrar.facts(&found.metadata).is_some_and(|enclave| enclave.status != Status::Provisioning) {
        return Ok(Left::Finished);
    }
    // With the resource version, so that one which is finished just now stays.
    let delete =
        Delete { uid: Some(uid.to_owned()), resource_version: found.metadata.resource_version, ..Delete::default() };
    namespaces.delete(name.as_str(), &delete).await?;
    let gone = async {
        while matches!(namespaces.get(name.as_str()).await, Ok(Some(_)) | Err(_)) {
            sleep(LOOK).await;
        }
    };
    Ok(if timeout(GONE_WITHIN, gone).await.is_ok() { Left::Nothing } else { Left::Going })
}
