//! Giving the tentacles of those who left an enclave to its owner.

use std::{
    collections::BTreeSet,
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

use futures::{StreamExt, stream};
use k8s_openapi::{
    api::{apps::v1::Deployment, core::v1::Namespace},
    apimachinery::pkg::apis::meta::v1::ObjectMeta,
};
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::json;
use tentacular_cluster::{Error, Metadata, Objects, Selector, retry_on_conflict_or_outage};
use tentacular_contract::{Caller, Email, Enclave, EnclaveName, Identity, Tentacle, caller::Owner, keys};
use tokio::time::Instant;

use crate::{registrar::Registrar, tentacle::ownership::Stamp};

/// Tentacles that are given away at the same time.
const AT_ONCE: usize = 8;
/// How long those that others write at the same time, or that cannot be reached, are tried again, all together.
const CONTENDED: Duration = Duration::from_secs(20);
/// How long finding them is tried again.
const PATIENCE: Duration = Duration::from_secs(10);

/// A tentacle that was to get another owner.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Transfer {
    /// Name of the tentacle.
    tentacle_name: String,
    /// Email address of the owner until then.
    from_owner: String,
    /// The enclave's owner: the email address, else the subject. Empty where the enclave has none.
    to_owner: String,
    /// Whether it belongs to `to_owner` now.
    pub(super) success: bool,
    /// Why it does not.
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
}

/// What became of the tentacles of an enclave.
#[derive(Debug, Default)]
pub(super) struct Transfers {
    /// Those of whom the call removed.
    pub(super) of_removed: Vec<Transfer>,
    /// Those of others who neither own the enclave nor are members of it: name and owner.
    pub(super) of_strangers: Vec<(String, Email)>,
}

/// Gives every tentacle of those in `removed` to the enclave's owner: those who are still, or again, no members, and the
/// one who is its owner now.
pub(super) async fn transfer(
    registrar: &Registrar,
    enclave: &EnclaveName,
    removed: &BTreeSet<Email>,
    caller: &Caller,
    now: &str,
) -> Result<Transfers, Error> {
    let cluster = registrar.cluster.patient(PATIENCE);
    let namespace = cluster.all::<Metadata<Namespace>>().get(enclave.as_str()).await?;
    let enclave = namespace.and_then(|namespace| registrar.facts(&namespace.metadata));
    let Some(enclave) = enclave else { return Ok(Transfers::default()) };
    let found = cluster.namespaced::<Metadata<Deployment>>(enclave.name.as_str());
    let found = found.list(&Selector::labels(keys::MANAGED_SELECTOR)).await?;
    let mut leaving = Vec::new();
    let mut of_strangers = Vec::new();
    for deployment in found {
        let Some(owner) = owner_who_left(&deployment.metadata, &enclave) else { continue };
        let name = deployment.metadata.name.unwrap_or_default();
        if removed.contains(&owner) {
            leaving.push((name, owner));
        } else {
            of_strangers.push((name, owner));
        }
    }
    let deployments = registrar.impatient().namespaced(enclave.name.as_str());
    let gift = Gift { deployments: &deployments, enclave: &enclave, caller, now, until: Instant::now() + CONTENDED };
    let given = stream::iter(leaving).map(|(name, owner)| gift.give(name, owner)).buffered(AT_ONCE);
    let of_removed: Vec<_> = given.collect().await;
    Ok(Transfers { of_removed: of_removed.into_iter().flatten().collect(), of_strangers })
}

/// The owner of a tentacle who neither owns the enclave nor is a member of it.
fn owner_who_left(deployment: &ObjectMeta, enclave: &Enclave) -> Option<Email> {
    let annotations = deployment.annotations.as_ref()?;
    let email = Tentacle::from_annotations(annotations).owner?.email?;
    let belongs = enclave.members.contains(&email)
        || enclave.owner.as_ref().is_some_and(|owner| owner.email.as_ref() == Some(&email));
    (!belongs).then_some(email)
}

/// Who gives what to whom.
struct Gift<'a> {
    deployments: &'a Objects<Metadata<Deployment>>,
    enclave: &'a Enclave,
    caller: &'a Caller,
    now: &'a str,
    /// When trying again ends.
    until: Instant,
}

impl Gift<'_> {
    /// What became of the tentacle; nothing where it is gone, or somebody else's, by now.
    async fn give(&self, tentacle_name: String, from: Email) -> Option<Transfer> {
        let outcome = match &self.enclave.owner {
            Some(to) => self.write(&tentacle_name, &from, to).await.map_err(|error| error.to_string()),
            None => Err("the enclave has no owner; new_owner gives it one".to_owned()),
        };
        if outcome == Ok(false) {
            return None;
        }
        let to = self.enclave.owner.as_ref();
        let to = to.and_then(|to| to.email.as_ref().map(ToString::to_string).or_else(|| to.sub.clone()));
        Some(Transfer {
            tentacle_name,
            from_owner: from.to_string(),
            to_owner: to.unwrap_or_default(),
            success: outcome.is_ok(),
            error: outcome.err(),
        })
    }

    /// Makes `to` the owner, and returns whether it was still `from`'s.
    async fn write(&self, name: &str, from: &Email, to: &Owner) -> Result<bool, Error> {
        let identity = Identity { sub: to.sub.clone(), email: to.email.clone(), ..Identity::default() };
        let stamp = Stamp { caller: self.caller, mode: None, now: self.now };
        let sent = AtomicBool::new(false);
        retry_on_conflict_or_outage(self.until.saturating_duration_since(Instant::now()), || async {
            let Some(found) = self.deployments.get(name).await? else { return Ok(false) };
            if owner_who_left(&found.metadata, self.enclave).as_ref() != Some(from) {
                // By this call, where the answer was lost.
                let owner = Tentacle::from_annotations(&found.metadata.annotations.unwrap_or_default()).owner;
                return Ok(sent.load(Ordering::Relaxed) && owner.as_ref() == Some(to));
            }
            sent.store(true, Ordering::Relaxed);
            let annotations = stamp.permissions(&found.metadata.annotations.unwrap_or_default(), Some(&identity));
            let patch = json!({ "metadata": {
                "uid": found.metadata.uid, "resourceVersion": found.metadata.resource_version, "annotations": annotations,
            } });
            self.deployments.patch(name, &patch).await.map(|_| true)
        })
        .await
    }
}
