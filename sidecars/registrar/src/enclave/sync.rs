//! `enclave_sync`: changes an enclave by one decision and one write. What follows from it, quota and the tentacles of
//! those who left, is written after that, and a repeat of the call goes on with what is left of it.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use chrono::{SecondsFormat, Utc};
use k8s_openapi::{api::core::v1::Namespace, apimachinery::pkg::apis::meta::v1::ObjectMeta};
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::json;
use tentacular_cluster::{Error, Metadata, retry_on_conflict_or_outage};
use tentacular_contract::{Authz, Denied, Enclave, Needs, On, Place, Status, facts::Pairs, keys};
use tentacular_process::link::{Permitted, ToolError, ToolSpec};

use super::{
    change::{Arguments, Change, Decision},
    contents::Contents,
    info::Info,
    quota,
    transfer::{Transfer, Transfers, transfer},
};
use crate::registrar::Registrar;

/// How long each of the writes is tried again while others write the same, or the API server is out of reach: three in a
/// row stay below the deadline.
const CONTENDED: Duration = Duration::from_secs(30);
/// How long reading what there is in the enclave is tried again.
const PATIENCE: Duration = Duration::from_secs(5);

/// What `enclave_sync` declares.
pub(crate) fn spec() -> ToolSpec {
    ToolSpec::new(
        "enclave_sync",
        "Change an enclave",
        "Changes an enclave: owner, members, modes, status, quota and channel; only what is given changes. The tentacles \
         of members who are removed go to the enclave's owner. Of two calls at the same time none is lost.",
        Authz::new(On::Enclave, Needs::Own).enclave_at(&["/enclave", "/namespace", "/name"]).within_seconds(120),
    )
    .idempotent()
}

/// What was changed.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Outcome {
    /// Name of the enclave.
    name: String,
    /// What has another value now: members, owner, `channel_name`, status, mode, `default_mode`, `quota_preset`,
    /// `ownership_transfers`. Empty: nothing was written.
    updated: Vec<&'static str>,
    /// The tentacles of removed members.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    transfers: Vec<Transfer>,
    /// The enclave, as `enclave_info` shows it.
    enclave: Info,
    /// What the caller should know, such as that nothing changed.
    warnings: Vec<String>,
}

/// Changes the enclave of the permit.
pub(crate) async fn sync(
    registrar: Arc<Registrar>,
    permitted: Permitted,
    arguments: Arguments,
) -> Result<Outcome, ToolError> {
    let name = permitted.enclave()?;
    let anybody = permitted.caller().identity().is_none() || !permitted.permit().authorization();
    let change = Change::read(&arguments, anybody)?;
    let now = Utc::now().to_rfc3339_opts(SecondsFormat::Secs, true);
    let Written { metadata, enclave, decision } = write(&registrar, &permitted, &change, &now).await?;
    let mut updated = decision.updated.clone();
    let mut failures = Vec::new();
    if change.quota.is_some() {
        match quota::enforce(&registrar.impatient(), name.as_str(), CONTENDED).await {
            Ok(true) if !updated.contains(&"quota_preset") => updated.push("quota_preset"),
            Ok(_) => {}
            Err(error) => failures.push(error.to_string()),
        }
    }
    let mut transfers = Transfers::default();
    if !decision.removed.is_empty() || change.members.is_some() {
        match give(&registrar, &permitted, &decision, &now).await {
            Ok(done) => transfers = done,
            Err(error) => failures.push(format!("the tentacles of removed members keep their owner: {error}")),
        }
    }
    if transfers.of_removed.iter().any(|transfer| transfer.success) {
        updated.push("ownership_transfers");
    }
    if !failures.is_empty() {
        return Err(half_way(&enclave, &updated, &failures));
    }
    let contents = Contents::read(&registrar.cluster.patient(PATIENCE), name.as_str()).await;
    Ok(Outcome {
        name: name.to_string(),
        warnings: warnings(&enclave, &updated, &transfers),
        updated,
        transfers: transfers.of_removed,
        enclave: Info::of(&registrar, permitted.caller(), &metadata, &enclave, contents),
    })
}

/// Gives away the tentacles of those who left, while nobody makes one or gives one to somebody: who is being removed could
/// otherwise get another in between.
async fn give(
    registrar: &Registrar,
    permitted: &Permitted,
    decision: &Decision,
    now: &str,
) -> Result<Transfers, ToolError> {
    let name = permitted.enclave()?;
    let held = registrar.locks.enclave(name).await?;
    let transfers = transfer(registrar, name, &decision.removed, permitted.caller(), now).await;
    held.release().await;
    Ok(transfers?)
}

/// The namespace once it is as was decided.
struct Written {
    metadata: ObjectMeta,
    enclave: Enclave,
    decision: Decision,
}

/// Decides on the namespace as it stands and writes it, again when somebody else wrote it in between.
async fn write(
    registrar: &Registrar,
    permitted: &Permitted,
    change: &Change,
    now: &str,
) -> Result<Written, ToolError> {
    let name = permitted.enclave()?;
    let namespaces = registrar.impatient().all::<Metadata<Namespace>>();
    // A write whose answer was lost.
    let lost: Mutex<Option<(ObjectMeta, Decision)>> = Mutex::default();
    let attempt = || async {
        let found = namespaces.get(name.as_str()).await?.map(|found| found.metadata).unwrap_or_default();
        let sent = lost.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if let Some((_, decision)) = sent.filter(|(before, decision)| is_done(before, decision, &found)) {
            // Decided before: by now the caller may have given the enclave away by it.
            let enclave = registrar.facts(&found).ok_or_else(|| Denied::NoEnclave(name.clone()));
            return Ok(enclave.map(|enclave| (found, enclave, decision)).map_err(ToolError::from));
        }
        let (enclave, decision) = match decide(registrar, permitted, change, &found) {
            Ok(decided) => decided,
            Err(refusal) => return Ok(Err(refusal)),
        };
        if decision.annotations.is_empty() {
            return Ok(Ok((found, enclave, decision)));
        }
        let mut annotations = decision.annotations.clone();
        annotations.insert(keys::ENCLAVE_UPDATED_AT.to_owned(), now.to_owned());
        let patch = json!({ "metadata": {
            "uid": found.uid, "resourceVersion": found.resource_version, "annotations": annotations,
        } });
        match namespaces.patch(name.as_str(), &patch).await {
            Ok(written) => {
                let enclave = registrar.facts(&written.metadata).unwrap_or(enclave);
                Ok(Ok((written.metadata, enclave, decision)))
            }
            Err(error) => {
                if error.is_unavailable() {
                    *lost.lock().unwrap_or_else(PoisonError::into_inner) = Some((found, decision));
                }
                Err(error)
            }
        }
    };
    let written = retry_on_conflict_or_outage(CONTENDED, attempt).await;
    let (metadata, enclave, decision) = written.map_err(|error| not_written(&error))??;
    Ok(Written { metadata, enclave, decision })
}

/// Whether the namespace `found` is the one of `before`, as was decided.
fn is_done(before: &ObjectMeta, decision: &Decision, found: &ObjectMeta) -> bool {
    let none = Pairs::new();
    let annotations = found.annotations.as_ref().unwrap_or(&none);
    before.uid == found.uid && decision.annotations.iter().all(|(key, value)| annotations.get(key) == Some(value))
}

fn not_written(error: &Error) -> ToolError {
    let known = if error.is_unavailable() { "; whether it was changed is not known" } else { "" };
    ToolError::new(format_args!("{error}{known}; repeat the call"))
}

/// What becomes of the enclave that a namespace with this metadata is, if the caller may.
fn decide(
    registrar: &Registrar,
    permitted: &Permitted,
    change: &Change,
    namespace: &ObjectMeta,
) -> Result<(Enclave, Decision), ToolError> {
    let name = permitted.enclave()?;
    let enclave = registrar.facts(namespace);
    permitted.recheck(enclave.as_ref().map_or(Place::NoEnclave, Place::Enclave), None)?;
    let enclave = enclave.ok_or_else(|| Denied::NoEnclave(name.clone()))?;
    if enclave.terminating {
        return Err(Denied::Terminating(name.clone()).into());
    }
    if enclave.status == Status::Provisioning {
        return Err(ToolError::new(format_args!(
            "enclave {name} is not finished, and what makes it would undo the change; wait for enclave_provision, or \
             repeat it"
        )));
    }
    let annotations = namespace.annotations.clone().unwrap_or_default();
    let decision = change.decide(&enclave, &annotations)?;
    Ok((enclave, decision))
}

fn half_way(enclave: &Enclave, updated: &[&str], failures: &[String]) -> ToolError {
    let done = if updated.is_empty() { "nothing".to_owned() } else { updated.join(", ") };
    ToolError::new(format_args!(
        "enclave {}: {done} changed, and then it went wrong: {}; repeat the call to go on",
        enclave.name,
        failures.join("; ")
    ))
}

fn warnings(enclave: &Enclave, updated: &[&str], transfers: &Transfers) -> Vec<String> {
    let mut warnings = Vec::new();
    let failed = transfers.of_removed.iter().filter(|transfer| !transfer.success).count();
    if failed > 0 {
        warnings.push(format!(
            "{failed} of {} tentacles of removed members keep their owner, see transfers; repeat the call, or name the \
             owners in remove_members",
            transfers.of_removed.len()
        ));
    } else if updated.is_empty() {
        warnings.push(format!("nothing changed: enclave {} is as asked for already", enclave.name));
    }
    warnings.extend(transfers.of_strangers.iter().map(|(tentacle, owner)| {
        format!(
            "tentacle {tentacle} belongs to {owner}, who is no member; remove_members with that address gives it to \
             the enclave's owner"
        )
    }));
    warnings
}
