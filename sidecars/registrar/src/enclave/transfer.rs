//! Giving the tentacles of those who left an enclave to its owner.

use std::{collections::BTreeSet, time::Duration};

use futures::{StreamExt, stream};
use k8s_openapi::{api::apps::v1::Deployment, apimachinery::pkg::apis::meta::v1::ObjectMeta};
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::json;
use tentacular_cluster::{Error, Metadata, Objects, Selector, retry_on_conflict};
use tentacular_contract::{Caller, Email, Enclave, EnclaveName, Identity, Tentacle, caller::Owner, keys};

use crate::{registrar::Registrar, tentacle::ownership::Stamp};

/// Tentacles that are given away at the same time.
const AT_ONCE: usize = 8;
/// How long one that others write at the same time is tried again.
const CONTENDED: Duration = Duration::from_secs(10);

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
    // An apply that began before would write the owner that it had read.
    let _turn = registrar.turns.take(enclave).await;
    let Some(enclave) = registrar.enclaves.read(enclave).await? else { return Ok(Transfers::default()) };
    let deployments = registrar.cluster.namespaced::<Metadata<Deployment>>(enclave.name.as_str());
    let found = deployments.list(&Selector::labels(keys::MANAGED_SELECTOR)).await?;
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
    let gift = Gift { deployments: &deployments, enclave: &enclave, caller, now };
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
        let to = Identity { sub: to.sub.clone(), email: to.email.clone(), ..Identity::default() };
        let stamp = Stamp { caller: self.caller, mode: None, now: self.now };
        retry_on_conflict(CONTENDED, || async {
            let found = self.deployments.get(name).await?;
            let Some(found) = found.filter(|found| owner_who_left(&found.metadata, self.enclave).as_ref() == Some(from))
            else {
                return Ok(false);
            };
            let annotations = stamp.permissions(&found.metadata.annotations.unwrap_or_default(), Some(&to));
            let patch = json!({ "metadata": {
                "uid": found.metadata.uid, "resourceVersion": found.metadata.resource_version, "annotations": annotations,
            } });
            self.deployments.patch(name, &patch).await.map(|_| true)
        })
        .await
    }
}
