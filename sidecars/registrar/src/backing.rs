//! The backing services: the shares that tentacles are given of PostgreSQL, NATS and S3, and their identities by SPIRE.
//!
//! A share is offered, which changes nothing, registered, which makes it so, and unregistered. Each service fails alone.

mod args;
mod contract;
pub(crate) mod exo_orphans;
pub(crate) mod exo_status;
mod manifests;
mod nats;
mod network;
mod postgres;
mod record;
pub(crate) mod renewal;
mod rustfs;
mod service;
mod setting;
mod share;
mod spire;
mod status;
mod tenant;

use std::sync::atomic::AtomicUsize;

use anyhow::Context as _;
use chrono::{DateTime, TimeDelta, Utc};
use futures::future::join_all;
use tentacular_cluster::{Cluster, Error, Kind, Object, Selector};
use tentacular_contract::{
    EnclaveName,
    backing::{Found, Service},
    keys,
    release::release_of,
};
use tentacular_process::link::ToolError;

pub(crate) use self::{
    args::BackingArgs,
    manifests::{Used, complete, forged, furnish, objects_name, renew, secret, secret_name, used},
    record::Record,
    share::Share,
    spire::mount,
    tenant::Tenant,
};
use self::{
    postgres::Postgres,
    record::Longest,
    rustfs::Rustfs,
    service::{Backend, Failure},
    spire::Spire,
    status::Status,
};

/// What the names of dependencies on backing services begin with.
pub(crate) const PREFIX: &str = "tentacular-";

/// The backing services of this installation.
#[derive(Debug)]
pub(crate) struct Backing {
    enabled: bool,
    cleanup_on_undeploy: bool,
    /// How old credentials may become.
    max_credential_age: Option<TimeDelta>,
    /// Tentacles whose credentials could not be renewed when that was last tried.
    failing: AtomicUsize,
    services: Vec<Box<dyn Backend>>,
    spire: Option<Spire>,
    /// Whether NATS admits tentacles by their identity.
    nats_spiffe: bool,
    /// Whose tokens the kernel accepts.
    issuer: Option<String>,
    status: Status,
}

impl Backing {
    /// By the arguments. The error names everything that is missing of a service that is configured in part.
    pub(crate) fn from_args(args: BackingArgs, cluster: &Cluster) -> anyhow::Result<Self> {
        let BackingArgs { enabled, cleanup_on_undeploy, max_credential_age, postgres, nats, rustfs, spire, provider } =
            args;
        let nats_spiffe = enabled && nats.spiffe().is_enabled();
        let mut services: Vec<Box<dyn Backend>> = Vec::new();
        if enabled && let Some(postgres) = Postgres::from_args(postgres).context("exoskeleton config")? {
            services.push(Box::new(postgres));
        }
        if enabled && let Some(nats) = nats::from_args(nats, cluster).context("exoskeleton config")? {
            services.push(nats);
        }
        if enabled && let Some(rustfs) = Rustfs::from_args(rustfs).context("exoskeleton config")? {
            services.push(Box::new(rustfs));
        }
        let (failing, status) = (AtomicUsize::default(), Status::default());
        let spire = Spire::from_args(spire, cluster).filter(|_| enabled);
        let issuer = provider.issuer();
        Ok(Self {
            enabled,
            cleanup_on_undeploy,
            max_credential_age: max_credential_age.0,
            failing,
            services,
            spire,
            nats_spiffe,
            issuer,
            status,
        })
    }

    /// The services that tentacles may ask for.
    pub(crate) fn enabled(&self) -> Vec<Service> {
        self.services.iter().map(|backend| backend.service()).collect()
    }

    /// The service, where it is enabled.
    fn backend(&self, service: Service) -> Option<&dyn Backend> {
        self.services.iter().map(AsRef::as_ref).find(|backend| backend.service() == service)
    }

    /// What the last probes found, of the services that clients expect to hear of and of those that are enabled.
    pub(crate) fn known(&self) -> Vec<(Service, Option<Found>)> {
        let mut found = self.status.now();
        let known = Service::ALL.map(|service| (service, found.remove(&service).filter(|found| found.enabled)));
        let expected = [Service::Postgres, Service::Rustfs];
        known.into_iter().filter(|(service, found)| found.is_some() || expected.contains(service)).collect()
    }

    /// Whether what a tentacle has goes with the tentacle.
    pub(crate) const fn cleans_up(&self) -> bool {
        self.cleanup_on_undeploy
    }

    /// What the tenant has, or will have, of each of these services, where its `secret` says what it was given. What is too old gets
    /// another credential, and with `renew` everything. Changes nothing.
    pub(crate) async fn offers(
        &self,
        tenant: &Tenant,
        wanted: &[Service],
        secret: Option<&Object>,
        (renew, now): (bool, DateTime<Utc>),
    ) -> Vec<Result<Share, ToolError>> {
        let wanted = self.services.iter().filter(|backend| wanted.contains(&backend.service()));
        let offers = wanted.map(|backend| {
            let service = backend.service();
            let current = manifests::fields(secret, service);
            // There are two at a time: a third would take the place of the one that pods may still use.
            let renew =
                (renew || self.is_old(tenant, service, secret, now)) && !Record::of(secret).is_pending(service);
            async move {
                let offer = backend.offer(tenant, &current, renew).await;
                offer.map_err(|failure| refused(service, "", &failure))
            }
        });
        join_all(offers).await
    }

    /// Whether what the `secret` says of the service is older than it may become.
    fn is_old(&self, tenant: &Tenant, service: Service, secret: Option<&Object>, now: DateTime<Utc>) -> bool {
        let longest = self.max_credential_age.map(|age| Longest::new(age, tenant.spread()));
        let made = secret.and_then(|secret| secret.metadata.creation_timestamp.as_ref());
        let made = made.and_then(|made| DateTime::from_timestamp(made.0.as_second(), 0));
        longest.zip(made).is_some_and(|(longest, made)| Record::of(secret).is_old(service, made, longest, now))
    }

    /// Makes the shares so, and completes them with what services choose themselves. Where the tentacle's `secret` does not tell of a
    /// service, nothing of it goes on working that an earlier tentacle of that name had: nobody else would ever end it.
    pub(crate) async fn register(
        &self,
        tenant: &Tenant,
        shares: &mut [Share],
        secret: Option<&Object>,
    ) -> Result<(), ToolError> {
        for share in shares {
            let Some(backend) = self.backend(share.service) else { continue };
            let registered = backend.register(tenant, share).await;
            registered.map_err(|failure| refused(share.service, " registration", &failure))?;
            if manifests::fields(secret, share.service).is_empty() {
                end_others(backend, tenant, share).await?;
            }
        }
        Ok(())
    }

    /// Whether a tentacle's pods get an identity. Where they should and cannot, a warning says why, as the rest can do without.
    pub(crate) async fn identifies(&self, warnings: &mut Vec<String>) -> Result<bool, ToolError> {
        let Some(spire) = &self.spire else { return Ok(false) };
        match spire.probe().await {
            Ok(_) => Ok(true),
            Err(Failure::Refused(why)) => {
                warnings
                    .push(format!("exoskeleton: spire: not available: {why}; the tentacle's pods get no identity"));
                Ok(false)
            }
            Err(failure) => Err(refused(Service::Spire, "", &failure)),
        }
    }

    /// Makes the tenant's identity what it is to be. Returns a warning where that fails.
    pub(crate) async fn identify(&self, tenant: &Tenant) -> Option<String> {
        let failure = self.spire.as_ref()?.identify(tenant).await.err()?;
        Some(refused(Service::Spire, " registration", &failure).to_string())
    }

    /// Removes the tenant's identity. Returns whether there was one, or a warning where that fails.
    pub(crate) async fn forget(&self, tenant: &Tenant) -> Result<bool, String> {
        let Some(spire) = &self.spire else { return Ok(false) };
        spire.forget(tenant).await.map_err(|failure| refused(Service::Spire, " cleanup", &failure).to_string())
    }

    /// Ends what other credentials the tenant has than those of the shares. Fails where the `secret`, which pods read, has another.
    pub(crate) async fn revoke(
        &self,
        tenant: &Tenant,
        shares: &[Share],
        secret: Option<&Object>,
    ) -> Result<(), ToolError> {
        for share in shares {
            let told = manifests::fields(secret, share.service);
            // It may have fields of somebody else's beside them.
            if share.fields.iter().any(|(name, value)| told.get(name) != Some(value)) {
                return Err(ToolError::new(format_args!(
                    "exoskeleton: {} revocation: Secret {} does not have the credential of the tentacle: rotate it by \
                     wf_apply with rotate_credentials",
                    share.service.as_str(),
                    secret_name(tenant.tentacle.as_str()),
                )));
            }
            if let Some(backend) = self.backend(share.service) {
                end_others(backend, tenant, share).await?;
            }
        }
        Ok(())
    }

    /// The tentacles of the enclave whose Secrets say that they have something in backing services; none where that is to stay.
    pub(crate) async fn to_clean_up(
        &self,
        cluster: &Cluster,
        enclave: &EnclaveName,
    ) -> Result<Vec<(Tenant, Used)>, Error> {
        if !self.cleanup_on_undeploy {
            return Ok(Vec::new());
        }
        let secrets = cluster.objects(Kind::Secret, enclave.as_str());
        let secrets = secrets.list(&Selector::labels(keys::EXOSKELETON)).await?;
        let tenants = secrets.iter().filter_map(|secret| {
            let release = release_of(&secret.metadata)?;
            // Another Secret with that label says nothing.
            let tenant = Tenant { enclave: enclave.clone(), tentacle: release.parse().ok()? };
            let own = secret.metadata.name.as_deref() == Some(&secret_name(release));
            let used = used(Some(secret));
            (own && !used.is_empty()).then_some((tenant, used))
        });
        Ok(tenants.collect())
    }

    /// Removes what the tenant has of these services, with its data. Returns what was done, one entry a service, and why one of
    /// them still has something. One that fails does not hold up the others.
    pub(crate) async fn unregister(&self, tenant: &Tenant, used: &Used) -> (Vec<String>, Option<ToolError>) {
        let removals = self.services.iter().filter_map(|backend| {
            let (service, current) = (backend.service(), used.get(&backend.service())?);
            Some(async move { (service, backend.unregister(tenant, current).await) })
        });
        let (mut done, mut failed) = (Vec::new(), None);
        for (service, removed) in join_all(removals).await {
            match removed {
                Ok(removed) => done.push(format!("{} {}", service.as_str(), removed.unwrap_or("had nothing"))),
                Err(failure) => failed = failed.or(Some(refused(service, " cleanup", &failure))),
            }
        }
        (done, failed)
    }
}

/// Ends what other credentials the tenant has of the service than the share's.
async fn end_others(backend: &dyn Backend, tenant: &Tenant, share: &Share) -> Result<(), ToolError> {
    let revoked = backend.revoke(tenant, share).await;
    revoked.map_err(|failure| refused(share.service, " revocation", &failure))
}

/// What the caller is told, in the words of the user's documents.
fn refused(service: Service, step: &str, failure: &Failure) -> ToolError {
    let service = service.as_str();
    match failure {
        Failure::Unavailable(why) => {
            ToolError::new(format_args!("exoskeleton: {service}{step}: not available: {why}; try again"))
        }
        Failure::Refused(why) => ToolError::new(format_args!(
            "exoskeleton: {service}{step}: {why}; an administrator of the service has to mend that"
        )),
    }
}

#[cfg(test)]
mod faults;
