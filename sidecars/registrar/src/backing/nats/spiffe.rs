//! Tentacles that the NATS server admits by the SPIFFE identity in their certificates. What each may do is an entry in the
//! server's own list of users, a file in a `ConfigMap` that the server includes and reads again when it changes.
//!
//! There is no credential: who has the identity is SPIRE's word.

mod document;
mod entries;
mod greeting;
mod settings;
mod syntax;

use futures::future::{BoxFuture, FutureExt as _};
use tentacular_cluster::Cluster;
use tentacular_contract::backing::{Isolation, Service};

pub(crate) use self::settings::SpiffeArgs;
use self::{entries::Entries, greeting::asks_for_certificates};
use super::{
    connect::Server,
    jwt::{inbox_prefix, own},
    settings::NatsArgs,
    share,
};
use crate::backing::{
    service::{Backend, Failure, Holder, Kept, in_time},
    share::{Fields, Share},
    tenant::Tenant,
};

/// Why nothing is kept apart before there is a first user.
const EVERYBODY: &str =
    "its list of users is empty, so that it admits whoever has a certificate; the first tentacle ends that";

/// A NATS server that tentacles are admitted to by their identity.
#[derive(Debug)]
pub(super) struct Spiffe {
    args: NatsArgs,
    entries: Entries,
}

impl Spiffe {
    /// By the arguments. The error names all that is missing or wrong.
    pub(super) fn from_args(args: NatsArgs, cluster: &Cluster) -> anyhow::Result<Self> {
        args.server_alone().map_err(anyhow::Error::msg)?;
        Ok(Self { entries: Entries::new(cluster, args.spiffe()), args })
    }

    fn server(&self) -> Result<Server, Failure> {
        self.args.server_alone().map_err(Failure::Unavailable)
    }

    async fn look(&self) -> Result<Kept, Failure> {
        asks_for_certificates(&self.server()?).await?;
        Ok(if self.entries.read(document::admits_everybody).await? {
            Kept { isolation: Isolation::None, reason: Some(EVERYBODY.to_owned()) }
        } else {
            Kept { isolation: Isolation::Full, reason: None }
        })
    }

    async fn find(&self, tenant: &Tenant) -> Result<Share, Failure> {
        let server = self.server()?;
        asks_for_certificates(&server).await?;
        // A file that the entry cannot be written to speaks against the tentacle before anything of it is applied.
        self.entries.read(|file| document::with(file, &tenant.principal(), &own(tenant)).map(drop)).await?;
        let credential = [("inbox_prefix", inbox_prefix(tenant))];
        Ok(share(tenant, &server, self.args.whereabouts(), ("spiffe", credential), false))
    }

    async fn admit(&self, tenant: &Tenant) -> Result<(), Failure> {
        self.entries.change(|file| document::with(file, &tenant.principal(), &own(tenant))).await.map(drop)
    }

    async fn remove(&self, tenant: &Tenant) -> Result<Option<&'static str>, Failure> {
        let removed = self.entries.change(|file| document::without(file, &tenant.principal())).await?;
        Ok(removed.then_some("authz entry removed"))
    }

    async fn admitted(&self) -> Result<Vec<Holder>, Failure> {
        let holder = |user: &str| {
            let tenant = Tenant::of_principal(user)?;
            Some(Holder { tenant, name: format!("entry of {user}"), since: None })
        };
        self.entries.read(|file| Ok(document::users(file)?.into_iter().filter_map(holder).collect())).await
    }
}

impl Backend for Spiffe {
    fn service(&self) -> Service {
        Service::Nats
    }

    fn probe(&self) -> BoxFuture<'_, Result<Kept, Failure>> {
        in_time(self.look()).boxed()
    }

    fn offer<'a>(
        &'a self,
        tenant: &'a Tenant,
        _current: &'a Fields,
        _renew: bool,
    ) -> BoxFuture<'a, Result<Share, Failure>> {
        in_time(self.find(tenant)).boxed()
    }

    fn register<'a>(&'a self, tenant: &'a Tenant, _share: &'a mut Share) -> BoxFuture<'a, Result<(), Failure>> {
        in_time(self.admit(tenant)).boxed()
    }

    /// SPIRE replaces identities by itself.
    fn revoke<'a>(&'a self, _tenant: &'a Tenant, _share: &'a Share) -> BoxFuture<'a, Result<(), Failure>> {
        async { Ok(()) }.boxed()
    }

    fn unregister<'a>(
        &'a self,
        tenant: &'a Tenant,
        _current: &'a Fields,
    ) -> BoxFuture<'a, Result<Option<&'static str>, Failure>> {
        in_time(self.remove(tenant)).boxed()
    }

    fn holders(&self) -> BoxFuture<'_, Result<Vec<Holder>, Failure>> {
        in_time(self.admitted()).boxed()
    }
}

#[cfg(test)]
mod tests;
