//! NATS: subjects for each tentacle, `tentacular.<enclave>.<tentacle>.>`, and the replies to its requests.
//!
//! On a server in operator mode each tentacle has an account of its own, where the registrar may make accounts, and else is a user
//! of one that they share. The registrar signs the user's token; the server hears of it when the user connects. Where the server
//! has one token for all, every tentacle is given that, and nothing keeps them apart. [`spiffe`] is for servers that know tentacles by
//! their certificates.

mod account;
mod accounts;
mod allowance;
mod authority;
mod connect;
mod jwt;
mod settings;
mod shared;
mod spiffe;
mod streams;
mod token;

use std::fmt;

use chrono::{DateTime, TimeDelta, Utc};
use futures::future::{BoxFuture, FutureExt as _};
use serde_json::json;
use tentacular_cluster::Cluster;
use tentacular_contract::backing::{Isolation, Service};
use tokio::sync::Mutex;

pub(super) use self::settings::NatsArgs;
use self::{
    connect::{Admission, Server},
    jwt::{Credential, Signer, inbox_prefix, subjects},
    settings::{Mode, Settings},
    spiffe::Spiffe,
};
use super::{
    network::Whereabouts,
    service::{Backend, Failure, Holder, Kept, in_time},
    share::{Endpoint, Fields, Share},
    tenant::Tenant,
};

/// Name of the registrar's own users.
const REGISTRAR: &str = "tentacular-registrar";
/// Why nothing keeps tentacles apart in token mode.
const ONE_TOKEN: &str = "all tentacles share one token; with an account's signing key each gets its own user";
/// What is missing where tentacles share an account.
const ONE_ACCOUNT: &str = "all tentacles share one account, without JetStream, in which a credential works until it expires, also after \
                           its tentacle; with operator_key and system_creds each gets an account of its own";
/// What is missing where tentacles have accounts without streams.
const NO_STREAMS: &str =
    "tentacles have no JetStream; nats-jetstream-disk-mib and nats-jetstream-memory-mib give it to them";

/// By the arguments; none where they name no server. The error names all that is missing or wrong.
pub(super) fn from_args(args: NatsArgs, cluster: &Cluster) -> anyhow::Result<Option<Box<dyn Backend>>> {
    if args.spiffe().is_enabled() {
        return Ok(Some(Box::new(Spiffe::from_args(args, cluster)?)));
    }
    Ok(Nats::from_args(args)?.map(|nats| Box::new(nats) as Box<dyn Backend>))
}

/// A NATS server that tentacles have subjects on.
pub(super) struct Nats {
    args: NatsArgs,
    /// Held while the account that tentacles share is changed: a change is made of what was read before. One that is a tentacle's
    /// own is changed under that tentacle's lock.
    changing: Mutex<()>,
}

impl fmt::Debug for Nats {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Nats").field("args", &self.args).finish_non_exhaustive()
    }
}

impl Nats {
    /// By the arguments; none where they name no server. The error names all that is missing or wrong.
    pub(super) fn from_args(args: NatsArgs) -> anyhow::Result<Option<Self>> {
        if !args.is_configured() {
            return Ok(None);
        }
        args.now().map_err(anyhow::Error::msg)?;
        Ok(Some(Self { args, changing: Mutex::default() }))
    }

    fn settings(&self) -> Result<Settings, Failure> {
        self.args.now().map_err(Failure::Unavailable)
    }

    async fn look(&self, now: DateTime<Utc>) -> Result<Kept, Failure> {
        let Settings { server, mode } = self.settings()?;
        let (isolation, reason) = match mode {
            Mode::Token(token) => {
                server.connect(Admission::Token(&token.0)).await?;
                (Isolation::None, Some(ONE_TOKEN))
            }
            Mode::Shared(shared) => {
                shared.probe(&server, now).await?;
                (Isolation::Full, Some(ONE_ACCOUNT))
            }
            Mode::Accounts(accounts) => {
                accounts.probe(&server).await?;
                (Isolation::Full, (!accounts.allowance.any()).then_some(NO_STREAMS))
            }
        };
        Ok(Kept { isolation, reason: reason.map(str::to_owned) })
    }

    async fn find(
        &self,
        tenant: &Tenant,
        current: &Fields,
        renew: bool,
        now: DateTime<Utc>,
    ) -> Result<Share, Failure> {
        let Settings { server, mode } = self.settings()?;
        let (creds, times) = (current.get("creds").map(String::as_str), (now, self.args.lifetime()));
        let whereabouts = self.args.whereabouts();
        let (credential, fresh) = match mode {
            Mode::Token(token) => {
                server.connect(Admission::Token(&token.0)).await?;
                return Ok(share(tenant, &server, whereabouts, ("token", [("token", token.0)]), false));
            }
            Mode::Shared(shared) => shared.find(&server, (tenant, creds), renew, times).await?,
            Mode::Accounts(accounts) => accounts.find(&server, (tenant, creds), renew, times).await?,
        };
        let credential = [("creds", credential.creds()), ("inbox_prefix", inbox_prefix(tenant))];
        Ok(share(tenant, &server, whereabouts, ("jwt", credential), fresh))
    }

    async fn make(&self, tenant: &Tenant, share: &Share, now: DateTime<Utc>) -> Result<(), Failure> {
        let Settings { server, mode } = self.settings()?;
        match mode {
            // The server needs not be told of a user.
            Mode::Token(_) | Mode::Shared(_) => Ok(()),
            Mode::Accounts(accounts) => {
                accounts.register(&server, (tenant, share.field("creds")), share.fresh, now).await
            }
        }
    }

    async fn end_former(&self, tenant: &Tenant, share: &Share, now: DateTime<Utc>) -> Result<(), Failure> {
        let Settings { server, mode } = self.settings()?;
        match mode {
            Mode::Token(_) => Ok(()),
            Mode::Shared(shared) => shared.revoke((tenant, share.field("creds")), now),
            Mode::Accounts(accounts) => {
                accounts.revoke(&server, (tenant, share.field("creds")), &self.changing, now).await
            }
        }
    }

    async fn end_all(
        &self,
        tenant: &Tenant,
        current: &Fields,
        now: DateTime<Utc>,
    ) -> Result<Option<&'static str>, Failure> {
        let Settings { server, mode } = self.settings()?;
        let creds = current.get("creds").map(String::as_str);
        match mode {
            Mode::Token(_) => Ok(Some("no-op, as all tentacles share one token")),
            Mode::Shared(shared) => Ok(shared.remove((tenant, creds), now)),
            Mode::Accounts(accounts) => accounts.remove(&server, (tenant, creds), &self.changing, now).await,
        }
    }

    async fn list(&self) -> Result<Vec<Holder>, Failure> {
        let Settings { server, mode } = self.settings()?;
        match mode {
            Mode::Accounts(accounts) => accounts.holders(&server).await,
            Mode::Token(_) | Mode::Shared(_) => Err(Failure::no_record()),
        }
    }
}

/// What a tentacle is told of the server: by which method it is admitted there, with these fields of its credential.
fn share<const N: usize>(
    tenant: &Tenant,
    Server { address, .. }: &Server,
    whereabouts: Whereabouts,
    (method, credential): (&str, [(&str, String); N]),
    fresh: bool,
) -> Share {
    let (host, port, subject) = (address.host().to_owned(), address.port(), subjects(tenant));
    // A client reads its user from a creds file; of all else it is told beside the URL.
    let secret = if method == "jwt" { "tentacular-nats.creds" } else { "tentacular-nats.url" };
    let common = [
        ("protocol", Service::Nats.protocol().to_owned()),
        ("url", address.as_url_str().to_owned()),
        ("subject_prefix", subject.clone()),
        ("auth_method", method.to_owned()),
    ];
    let contract = vec![
        ("host", json!(host)),
        ("port", json!(port.to_string())),
        ("subject", json!(subject)),
        ("auth", json!({ "type": method, "secret": secret })),
    ];
    Share {
        service: Service::Nats,
        endpoint: Endpoint { host, port },
        whereabouts,
        fields: common.into_iter().chain(credential).map(|(name, value)| (name.to_owned(), value)).collect(),
        contract,
        fresh,
    }
}

/// Whether a tentacle's credential needs no other in its place: it says what one that is made now would, it lasts, and the server
/// admits it.
async fn is_good(
    server: &Server,
    signer: &Signer,
    (tenant, known): (&Tenant, &Credential),
    (now, lifetime): (DateTime<Utc>, TimeDelta),
) -> Result<bool, Failure> {
    Ok(signer.is_current(tenant, known)
        && known.lasts(lifetime, now)
        && server.admits(&known.creds(), &inbox_prefix(tenant)).await?)
}

impl Backend for Nats {
    fn service(&self) -> Service {
        Service::Nats
    }

    fn probe(&self) -> BoxFuture<'_, Result<Kept, Failure>> {
        in_time(self.look(Utc::now())).boxed()
    }

    fn offer<'a>(
        &'a self,
        tenant: &'a Tenant,
        current: &'a Fields,
        renew: bool,
    ) -> BoxFuture<'a, Result<Share, Failure>> {
        in_time(self.find(tenant, current, renew, Utc::now())).boxed()
    }

    fn register<'a>(&'a self, tenant: &'a Tenant, share: &'a mut Share) -> BoxFuture<'a, Result<(), Failure>> {
        in_time(self.make(tenant, share, Utc::now())).boxed()
    }

    fn revoke<'a>(&'a self, tenant: &'a Tenant, share: &'a Share) -> BoxFuture<'a, Result<(), Failure>> {
        in_time(self.end_former(tenant, share, Utc::now())).boxed()
    }

    fn unregister<'a>(
        &'a self,
        tenant: &'a Tenant,
        current: &'a Fields,
    ) -> BoxFuture<'a, Result<Option<&'static str>, Failure>> {
        in_time(self.end_all(tenant, current, Utc::now())).boxed()
    }

    fn holders(&self) -> BoxFuture<'_, Result<Vec<Holder>, Failure>> {
        in_time(self.list()).boxed()
    }
}

#[cfg(test)]
mod tests;
