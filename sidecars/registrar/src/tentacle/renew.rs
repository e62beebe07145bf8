//! Renewing a tentacle's credentials as they stand, without its manifests at hand, and revoking those that were replaced.
//!
//! In this order, so that pods have credentials that work at any time: the service takes the new ones, the Secret that records
//! them says so, then what pods read is written, then the Deployments roll, and when no pod is left that may use the former ones,
//! these are revoked. What ends half way goes on with the next look, whoever looks.

mod writes;

use chrono::{DateTime, Utc};
use k8s_openapi::api::{apps::v1::Deployment, core::v1::Pod};
use tentacular_cluster::{Error, Kind, Object, Selector};
use tentacular_contract::{Status, keys};
use tentacular_process::link::ToolError;

use self::writes::Writes;
use super::{
    dependencies,
    manifest::Manifest,
    release::{self, Live, is_terminating},
    rollout,
};
use crate::{
    backing::{self, Record, Share, Tenant},
    locks::Held,
    registrar::Registrar,
};

/// What a look is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Wanted {
    /// To renew what expires or is too old, and to revoke what was replaced.
    All,
    /// To revoke what was replaced.
    Pending,
}

/// What a look came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Looked {
    /// Nothing is left to be done for now.
    Settled,
    /// Pods may still use credentials that were replaced.
    Waiting,
}

/// Does what is due for the tentacle's credentials. Nothing where it has none, or is in an enclave that is frozen or goes.
pub(crate) async fn look(
    registrar: &Registrar,
    tenant: &Tenant,
    wanted: Wanted,
    now: DateTime<Utc>,
) -> Result<Looked, ToolError> {
    // Most looks find nothing to do, so that the lock is only taken for the others.
    let Some(found) = Found::read(registrar, tenant).await? else { return Ok(Looked::Settled) };
    if !found.rolled_out && wanted == Wanted::Pending {
        return Ok(found.looked());
    }
    let (shares, failures) = found.shares(registrar, tenant, wanted, now).await;
    let is_due = shares.iter().any(|share| share.fresh || found.rolled_out && found.record.is_pending(share.service));
    if !is_due {
        return failures.map_or_else(|| Ok(found.looked()), Err);
    }
    let held = registrar.locks.tentacle(&tenant.enclave, &tenant.tentacle).await?;
    let looked = locked(registrar, tenant, (wanted, now), &held).await;
    held.release().await;
    looked
}

async fn locked(
    registrar: &Registrar,
    tenant: &Tenant,
    (wanted, now): (Wanted, DateTime<Utc>),
    held: &Held,
) -> Result<Looked, ToolError> {
    let Some(found) = Found::read(registrar, tenant).await? else { return Ok(Looked::Settled) };
    let (shares, mut failures) = found.shares(registrar, tenant, wanted, now).await;
    // One that fails does not hold up the others.
    let mut made = Vec::new();
    for mut share in shares {
        held.require()?;
        match registrar.backing.register(tenant, std::slice::from_mut(&mut share), Some(&found.secret)).await {
            Ok(()) => made.push(share),
            Err(error) => failures = failures.or(Some(error)),
        }
    }
    let writes = Writes { registrar, tenant, held };
    let (record, secret, rolls) = writes.write(&found, &made, now).await?;
    let renewed: Vec<_> = made.iter().filter(|share| share.fresh).map(|share| share.service.as_str()).collect();
    if !renewed.is_empty() {
        let (Tenant { enclave, tentacle }, services) = (tenant, renewed.join(", "));
        tracing::info!(%enclave, %tentacle, services, "credentials of backing services are renewed");
    }
    if rolls || !renewed.is_empty() || !found.rolled_out {
        return failures.map_or(Ok(Looked::Waiting), Err);
    }
    let failures = failures.or(writes.revoke(&made, record, &secret).await?);
    failures.map_or(Ok(Looked::Settled), Err)
}

/// What there is of a tentacle that has credentials.
struct Found {
    release: Vec<Live>,
    secret: Object,
    record: Record,
    /// Whether all pods are as their Deployments say.
    rolled_out: bool,
}

impl Found {
    /// None where nothing is to be done, whatever there is.
    async fn read(registrar: &Registrar, tenant: &Tenant) -> Result<Option<Self>, ToolError> {
        let Tenant { enclave, tentacle } = tenant;
        let facts = registrar.enclaves.read(enclave).await?;
        if facts.is_none_or(|facts| facts.status == Status::Frozen || facts.terminating) {
            return Ok(None);
        }
        let release = release::read(&registrar.cluster, enclave, tentacle).await?;
        let secret = backing::secret(&release, tentacle.as_str()).filter(|secret| !is_terminating(secret)).cloned();
        let Some(secret) = secret else { return Ok(None) };
        let record = Record::of(Some(&secret));
        let rolled_out = rolled_out(registrar, tenant, &release).await?;
        Ok(Some(Self { release, secret, record, rolled_out }))
    }

    /// What there is to say without doing anything.
    fn looked(&self) -> Looked {
        if self.record.pending().is_empty() { Looked::Settled } else { Looked::Waiting }
    }

    /// The `ConfigMap`s and Secrets as manifests, as far as what pods read of them goes.
    fn read_by_pods(&self) -> Vec<Manifest> {
        let read = self.release.iter().filter(|live| matches!(live.kind, Kind::ConfigMap | Kind::Secret));
        read.map(|live| as_read(live.kind, &live.object)).collect()
    }

    /// What the tentacle has, or will have, of the services that are to be looked at, and why one of them cannot be.
    async fn shares(
        &self,
        registrar: &Registrar,
        tenant: &Tenant,
        wanted: Wanted,
        now: DateTime<Utc>,
    ) -> (Vec<Share>, Option<ToolError>) {
        let mut services = self.record.pending();
        let used = backing::used(Some(&self.secret));
        if wanted == Wanted::All {
            let asked =
                dependencies::check(&tenant.tentacle, &self.read_by_pods(), &registrar.backing.enabled()).services;
            services.extend(asked.into_iter().filter(|service| used.contains_key(service)));
        }
        let offers = registrar.backing.offers(tenant, &services, Some(&self.secret), (false, now)).await;
        let (mut shares, mut failure) = (Vec::new(), None);
        for offer in offers {
            match offer {
                // Its data do not move with it: to another server a tentacle goes by wf_apply alone.
                Ok(share) if used.get(&share.service).is_none_or(|current| !share.is_in_place_of(current)) => {}
                // What is neither renewed nor revoked stays as it is.
                Ok(share) if share.fresh || self.record.is_pending(share.service) => shares.push(share),
                Ok(_) => {}
                Err(error) => failure = failure.or(Some(error)),
            }
        }
        (shares, failure)
    }

    fn live(&self, kind: Kind, name: &str) -> Option<&Object> {
        self.release.iter().find(|live| live.kind == kind && live.name() == name).map(|live| &live.object)
    }
}

/// Whether all Deployments of the release have rolled out, and none of their former pods is left.
async fn rolled_out(registrar: &Registrar, tenant: &Tenant, release: &[Live]) -> Result<bool, Error> {
    for live in release.iter().filter(|live| live.kind == Kind::Deployment) {
        // What cannot be read has not rolled out.
        let deployment = serde_json::to_value(&live.object).and_then(serde_json::from_value::<Deployment>);
        if !deployment.is_ok_and(|deployment| rollout::is_complete(&deployment)) {
            return Ok(false);
        }
    }
    // A Deployment does not count those that are still ending.
    let selector = Selector::labels(&format!("{}={}", keys::RELEASE, tenant.tentacle));
    let pods = registrar.cluster.namespaced::<Pod>(tenant.enclave.as_str()).list(&selector).await?;
    Ok(pods.iter().all(|pod| pod.metadata.deletion_timestamp.is_none()))
}

fn as_read(kind: Kind, object: &Object) -> Manifest {
    let name = object.metadata.name.clone().unwrap_or_default();
    Manifest { kind, name, body: object.data.clone() }
}
