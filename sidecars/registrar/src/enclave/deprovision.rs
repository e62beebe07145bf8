//! `enclave_deprovision`: deletes an enclave's namespace with all that is in it, and waits until it is gone.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use futures::{StreamExt as _, stream};
use k8s_openapi::api::core::v1::Namespace;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tentacular_cluster::{Delete, Metadata, retry_on_conflict_or_outage};
use tentacular_contract::{Authz, Denied, EnclaveName, Needs, On, Place};
use tentacular_process::link::{Permitted, ToolError, ToolSpec};
use tokio::time::{Instant, sleep};

use super::view;
use crate::{
    backing::{Tenant, Used},
    registrar::Registrar,
};

/// Seconds within which the call ends.
const DEADLINE_SECONDS: u64 = 330;
/// Longest wait for the namespace to go, in seconds; the rest is for deleting and answering.
const WAIT_SECONDS: u64 = 270;
/// Tentacles of which what they have in backing services is removed at the same time.
const AT_ONCE: usize = 8;
/// How long an enclave that others write at the same time, or that cannot be reached, is tried again.
const CONTENDED: Duration = Duration::from_secs(30);
/// Pause between two looks.
const LOOK: Duration = Duration::from_millis(250);
/// After so long a caller who waits is told how far it is, and again as often.
const TELL: Duration = Duration::from_secs(2);

/// What `enclave_deprovision` declares.
pub(crate) fn spec() -> ToolSpec {
    ToolSpec::new(
        "enclave_deprovision",
        "Remove an enclave",
        "Removes an enclave with everything in it: all tentacles, volumes and their data. What its tentacles have in \
         backing services goes too where the installation cleans up; elsewhere it stays, for whoever makes a tentacle and an \
         enclave of these names again, and exo_orphans removes it. Waits until the enclave is gone; when that takes too \
         long the answer says what remains, and the same call again goes on waiting.",
        Authz::new(On::Enclave, Needs::Own)
            .enclave_at(&["/enclave", "/namespace", "/name"])
            .within_seconds(DEADLINE_SECONDS),
    )
    .destructive()
}

/// Arguments of `enclave_deprovision`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Arguments {
    /// Name of the enclave. May be left out by somebody who has exactly one.
    #[serde(default, rename = "name")]
    _name: Option<String>,
    /// Another name of `name`.
    #[serde(default, rename = "enclave")]
    _enclave: Option<String>,
    /// Another name of `name`.
    #[serde(default, rename = "namespace")]
    _namespace: Option<String>,
    /// The name once more, so that no other enclave is removed by mistake.
    #[serde(default)]
    confirm: Option<String>,
    /// How long to wait until it is gone, 0 to 270 seconds; for clients that give up early. Default 270.
    #[serde(default)]
    #[schemars(range(min = 0, max = 270))]
    wait_seconds: Option<u64>,
}

/// What became of the enclave.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Outcome {
    /// Name of the enclave.
    name: String,
    /// Whether it is gone with everything in it. false: it is being deleted, which nothing takes back.
    deleted: bool,
    /// How many tentacles are known to be gone with it.
    tentacles_removed: usize,
    /// What the deletion still waits for, in the words of Kubernetes. Empty when it is gone.
    remaining: Vec<String>,
    /// What was removed of its tentacles in backing services, where the installation cleans up.
    #[serde(skip_serializing_if = "Option::is_none")]
    exo_cleanup_details: Option<String>,
    /// What the caller should know, such as that it is not gone yet.
    warnings: Vec<String>,
}

/// Removes the enclave of the permit.
pub(crate) async fn deprovision(
    registrar: Arc<Registrar>,
    permitted: Permitted,
    arguments: Arguments,
) -> Result<Outcome, ToolError> {
    let name = permitted.enclave()?;
    if let Some(confirm) = arguments.confirm.filter(|confirm| confirm != name.as_str()) {
        return Err(ToolError::new(format_args!(
            "nothing was removed: confirm is {confirm:?}, and the enclave is {name}; give its name, or leave it out"
        )));
    }
    let wait = arguments.wait_seconds.unwrap_or(WAIT_SECONDS);
    if wait > WAIT_SECONDS {
        return Err(ToolError::new(format_args!(
            "nothing was removed: wait_seconds {wait} is out of range: give 0 to {WAIT_SECONDS}"
        )));
    }
    let Doomed { uid, tentacles, tenants, already } = delete(&registrar, &permitted).await?;
    let until = Instant::now() + Duration::from_secs(wait);
    // From here on nothing takes the deletion back. What the enclave's objects would say is gone before the namespace is.
    let (cleaned_up, mut warnings) = clean_up(&registrar, &uid, tenants).await;
    if already && registrar.backing.cleans_up() {
        warnings.push(format!(
            "enclave {name} was being deleted already; what its tentacles had in backing services may be left: once \
             the enclave is gone, exo_orphans shows that and removes it"
        ));
    }
    if tentacles.is_none() {
        warnings
            .push("how many tentacles there were is not known, as the enclave's objects are out of reach".to_owned());
    }
    let remaining = wait_for(&registrar, &permitted, &uid, until).await?;
    if !remaining.is_empty() {
        warnings.push(format!("enclave {name} is being deleted and not gone yet; call again to go on waiting"));
    }
    let left = match remaining[..] {
        [] => 0,
        // Those that cannot be counted may be there.
        _ => view::tentacles(&registrar.impatient(), name.as_str()).await.unwrap_or(usize::MAX),
    };
    Ok(Outcome {
        name: name.to_string(),
        deleted: remaining.is_empty(),
        tentacles_removed: tentacles.unwrap_or_default().saturating_sub(left),
        remaining,
        exo_cleanup_details: (!cleaned_up.is_empty()).then(|| cleaned_up.join(", ")),
        warnings,
    })
}

/// Removes what the tentacles of the enclave with `uid` have in backing services. Returns what was done, and a warning for each
/// that still has something: a repeat of the call does not know of it any more.
async fn clean_up(registrar: &Registrar, uid: &str, tenants: Vec<(Tenant, Used)>) -> (Vec<String>, Vec<String>) {
    let removals = stream::iter(tenants).map(|(tenant, used)| async move {
        let (done, failed) = match require_last(registrar, &tenant.enclave, uid).await {
            Ok(()) => registrar.backing.unregister(&tenant, &used).await,
            Err(error) => (Vec::new(), Some(error)),
        };
        (tenant, done, failed)
    });
    let (mut cleaned_up, mut warnings) = (Vec::new(), Vec::new());
    for (tenant, done, failed) in removals.buffered(AT_ONCE).collect::<Vec<_>>().await {
        cleaned_up.extend(done.into_iter().map(|done| format!("{tenant}: {done}")));
        warnings.extend(failed.map(|error| {
            format!("what {tenant} has in backing services is still there, and exo_orphans removes it: {error}")
        }));
    }
    (cleaned_up, warnings)
}

/// An error where the enclave with `uid` is not the last of its name. The name is free once its namespace is gone, and what a new
/// tentacle has in backing services is called as that of an old one of its name was.
async fn require_last(registrar: &Registrar, name: &EnclaveName, uid: &str) -> Result<(), ToolError> {
    let namespace = registrar.cluster.all::<Metadata<Namespace>>().get(name.as_str()).await?;
    match namespace.and_then(|namespace| namespace.metadata.uid) {
        Some(another) if another != uid => {
            Err(ToolError::new(format_args!("an enclave {name} was made anew, and what is there may be its own")))
        }
        _ => Ok(()),
    }
}

/// An enclave whose namespace is being deleted.
#[derive(Clone)]
struct Doomed {
    uid: String,
    /// How many tentacles it had. The right to look may have ended with the deletion.
    tentacles: Option<usize>,
    /// The tentacles with something in backing services that is to go with them.
    tenants: Vec<(Tenant, Used)>,
    /// Whether it was being deleted before: Secrets that said what is to go may be gone.
    already: bool,
}

/// Has the namespace deleted, if it is the enclave that the caller may remove. Nothing else of that name is touched.
async fn delete(registrar: &Registrar, permitted: &Permitted) -> Result<Doomed, ToolError> {
    let name = permitted.enclave()?;
    let namespaces = registrar.impatient().all::<Metadata<Namespace>>();
    // One whose deletion was asked for, where the answer was lost.
    let lost: Mutex<Option<Doomed>> = Mutex::default();
    let attempt = || async {
        let found = namespaces.get(name.as_str()).await?.map(|found| found.metadata).unwrap_or_default();
        let sent = lost.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let stays = |doomed: &Doomed| found.uid.as_ref() == Some(&doomed.uid) && found.deletion_timestamp.is_none();
        if let Some(doomed) = sent.filter(|doomed| !stays(doomed)) {
            return Ok(Ok(doomed));
        }
        let enclave = registrar.facts(&found);
        let place = enclave.as_ref().map_or(Place::NoEnclave, Place::Enclave);
        if let Err(denied) = permitted.recheck(place, None) {
            return Ok(Err(denied));
        }
        let Some(enclave) = enclave else { return Ok(Err(Denied::NoEnclave(name.clone()))) };
        let tentacles = view::tentacles(&registrar.impatient(), name.as_str()).await.ok();
        let tenants = registrar.backing.to_clean_up(&registrar.impatient(), name).await;
        let already = enclave.terminating;
        // What is out of reach already cannot hold that up.
        let tenants = if already { tenants.unwrap_or_default() } else { tenants? };
        let doomed = Doomed { uid: found.uid.unwrap_or_default(), tentacles, tenants, already };
        if !already {
            // With the resource version, so that it is as it was when the caller might.
            let delete = Delete {
                uid: Some(doomed.uid.clone()),
                resource_version: found.resource_version,
                ..Delete::default()
            };
            if let Err(error) = namespaces.delete(name.as_str(), &delete).await {
                if error.is_unavailable() {
                    *lost.lock().unwrap_or_else(PoisonError::into_inner) = Some(doomed);
                }
                return Err(error);
            }
        }
        Ok(Ok(doomed))
    };
    let deleted = retry_on_conflict_or_outage(CONTENDED, attempt).await;
    Ok(deleted.map_err(|error| {
        let known = if error.is_unavailable() { "; whether it is being removed is not known" } else { "" };
        ToolError::new(format_args!("{error}{known}; repeat the call"))
    })??)
}

/// Waits until the namespace with `uid` is gone, and returns what remains when it is not at `until`. The right to look
/// into the enclave may be gone; the one to look at its namespace stays.
async fn wait_for(
    registrar: &Registrar,
    permitted: &Permitted,
    uid: &str,
    until: Instant,
) -> Result<Vec<String>, ToolError> {
    let name = permitted.enclave()?;
    let namespaces = registrar.impatient().all::<Namespace>();
    let begun = Instant::now();
    let mut tell = begun + TELL;
    loop {
        let remaining = match namespaces.get(name.as_str()).await {
            Ok(Some(found)) if found.metadata.uid.as_deref() == Some(uid) => remaining(&found),
            Ok(_) => return Ok(Vec::new()),
            Err(error) => vec![error.to_string()],
        };
        let now = Instant::now();
        if now >= until {
            return Ok(remaining);
        }
        if now >= tell {
            let message = format!("waiting for enclave {name} to go: {}", remaining.join("; "));
            permitted.progress(begun.elapsed().as_secs_f64(), None, message).await;
            tell = now + TELL;
        }
        sleep(LOOK).await;
    }
}

/// What keeps a namespace that is being deleted, as far as it says.
fn remaining(namespace: &Namespace) -> Vec<String> {
    let conditions = namespace.status.iter().flat_map(|status| status.conditions.iter().flatten());
    let said = conditions.filter(|condition| condition.status == "True").filter_map(|found| found.message.clone());
    let finalizers = namespace.metadata.finalizers.iter().flatten();
    let kept = finalizers.map(|finalizer| format!("the namespace itself is kept by finalizer {finalizer}"));
    let remaining: Vec<_> = said.chain(kept).collect();
    if remaining.is_empty() { vec!["the namespace itself".to_owned()] } else { remaining }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn left(namespace: Value) -> Vec<String> {
        remaining(&serde_json::from_value(namespace).unwrap())
    }

    #[test]
    fn what_remains_is_what_the_namespace_says_is_left() {
        let conditions = json!([
            { "type": "NamespaceDeletionContentFailure", "status": "False", "message": "All content deleted" },
            { "type": "NamespaceContentRemaining", "status": "True", "message": "pods. has 1 resource instances" },
            { "type": "NamespaceFinalizersRemaining", "status": "True", "message": "x.io/y in 1 resource instances" },
        ]);
        assert_eq!(
            left(json!({
                "metadata": { "name": "a", "finalizers": ["x.io/z"] }, "status": { "conditions": conditions },
            })),
            [
                "pods. has 1 resource instances",
                "x.io/y in 1 resource instances",
                "the namespace itself is kept by finalizer x.io/z",
            ]
        );
        assert_eq!(left(json!({ "metadata": { "name": "a" } })), ["the namespace itself"]);
    }
}
