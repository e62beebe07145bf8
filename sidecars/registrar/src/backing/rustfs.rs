//! S3: a prefix in one bucket for each tentacle, with a policy that holds for it alone, and keys of which one at a time is in use.
//!
//! Users and policies are no part of S3; servers have APIs of their own for them.

mod accounts;
mod admin;
mod answer;
mod connect;
mod iam;
mod objects;
mod policy;
mod seal;
mod settings;

use std::{fmt, time::Duration};

use anyhow::Context as _;
use aws_sdk_s3::error::ProvideErrorMetadata as _;
use futures::future::{BoxFuture, FutureExt as _};
use serde_json::json;
use tentacular_contract::backing::{Isolation, Service};
use tokio::sync::{OnceCell, Semaphore, SemaphorePermit};

pub(super) use self::settings::RustfsArgs;
use self::{
    accounts::Accounts,
    admin::{Admin, Dialect},
    connect::{Connections, failure},
    iam::Iam,
    settings::{AccountsArg, Key, Server},
};
use super::{
    service::{Backend, Failure, Holder, Kept, ask_again, in_time},
    setting::Password,
    share::{Endpoint, Fields, Share},
    tenant::Tenant,
};

/// Calls at once: the server has others to serve.
const AT_ONCE: usize = 4;
/// How often a key that was just made is tried, and the pause in between: some servers take a while to know it.
const KNOWN: (usize, Duration) = (30, Duration::from_secs(1));

/// An S3 server that tentacles have prefixes in.
pub(super) struct Rustfs {
    args: RustfsArgs,
    connections: Connections,
    /// What the server speaks, once that is known.
    dialect: OnceCell<Dialect>,
    turns: Semaphore,
}

impl fmt::Debug for Rustfs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Rustfs").field("args", &self.args).finish_non_exhaustive()
    }
}

impl Rustfs {
    /// By the arguments; none where they name no server. The error names all that is missing.
    pub(super) fn from_args(args: RustfsArgs) -> anyhow::Result<Option<Self>> {
        if !args.is_configured() {
            return Ok(None);
        }
        args.server().map_err(anyhow::Error::msg).context("rustfs partially configured")?;
        let connections = Connections::new(&args)?;
        Ok(Some(Self { args, connections, dialect: OnceCell::new(), turns: Semaphore::new(AT_ONCE) }))
    }

    /// The server as it is set now, for one call.
    async fn session(&self) -> Result<Session<'_>, Failure> {
        let turn = self.turns.acquire().await.map_err(|error| Failure::Unavailable(error.to_string()))?;
        let server = self.args.server().map_err(Failure::Unavailable)?;
        let s3 = self.connections.s3(&server, &server.administrator);
        Ok(Session { rustfs: self, server, s3, _turn: turn })
    }
}

/// What one call works with, as the administrator.
struct Session<'a> {
    rustfs: &'a Rustfs,
    server: Server,
    s3: aws_sdk_s3::Client,
    _turn: SemaphorePermit<'a>,
}

impl Session<'_> {
    async fn accounts(&self) -> Result<Box<dyn Accounts + '_>, Failure> {
        let args = &self.rustfs.args;
        let by = |dialect| Admin { http: &self.rustfs.connections.admin, server: &self.server, dialect };
        Ok(match args.accounts {
            AccountsArg::Rustfs => Box::new(by(Dialect::Rustfs)),
            AccountsArg::Minio => Box::new(by(Dialect::Minio)),
            AccountsArg::Auto if args.iam_endpoint.is_none() => {
                let found = self.rustfs.dialect.get_or_try_init(async || {
                    for dialect in [Dialect::Minio, Dialect::Rustfs] {
                        if by(dialect).is_there().await? {
                            return Ok(dialect);
                        }
                    }
                    Err(Failure::Refused("it has neither the admin API of RustFS nor that of MinIO".to_owned()))
                });
                Box::new(by(*found.await?))
            }
            AccountsArg::Iam | AccountsArg::Auto => {
                Box::new(Iam(self.rustfs.connections.iam(&self.server, args.iam_endpoint.as_ref())))
            }
        })
    }

    async fn probe(&self) -> Result<Kept, Failure> {
        if !self.accounts().await?.is_there().await? {
            return Err(Failure::Refused("it has no such admin API".to_owned()));
        }
        let bucket = &self.server.bucket;
        objects::make_bucket(&self.s3, &self.server).await?;
        if objects::is_public(&self.s3, bucket).await? {
            let reason = format!("everybody may use bucket {bucket}: take that out of its bucket policy");
            return Ok(Kept { isolation: Isolation::Partial, reason: Some(reason) });
        }
        Ok(Kept { isolation: Isolation::Full, reason: None })
    }

    /// Whether the server admits the key.
    async fn admits(&self, key: &Key, prefix: &str) -> Result<bool, Failure> {
        let s3 = self.rustfs.connections.s3(&self.server, key);
        let listed = s3.list_objects_v2().bucket(&self.server.bucket).prefix(prefix).max_keys(1).send().await;
        let Err(error) = listed else { return Ok(true) };
        match error.code() {
            Some("InvalidAccessKeyId" | "SignatureDoesNotMatch") => Ok(false),
            // It is known; what it lacks registration mends.
            Some("AccessDenied" | "NoSuchBucket") => Ok(true),
            _ => Err(failure(&error)),
        }
    }

    async fn look(&self, tenant: &Tenant, current: &Fields, renew: bool) -> Result<Share, Failure> {
        let prefix = policy::prefix(tenant);
        let current = |name: &str| current.get(name).map_or("", String::as_str).to_owned();
        let mut key = Key { id: current("access_key"), secret: Password(current("secret_key")) };
        let accounts = self.accounts().await?;
        let given = !key.id.is_empty() && !key.secret.0.is_empty() && accounts.knows(tenant, &key.id).await?;
        let works = given && self.admits(&key, &prefix).await?;
        let fresh = renew || !works;
        if fresh {
            // The pods that there are go on with theirs, if that works.
            key = accounts.another(tenant, works.then_some(&*key.id));
        }
        share(&self.server, key, prefix).map(|share| Share {
            whereabouts: self.rustfs.args.whereabouts(),
            fresh,
            ..share
        })
    }

    async fn register(&self, tenant: &Tenant, share: &mut Share) -> Result<(), Failure> {
        objects::make_bucket(&self.s3, &self.server).await?;
        let field = |name| share.field(name).to_owned();
        let key = Key { id: field("access_key"), secret: Password(field("secret_key")) };
        let accounts = self.accounts().await?;
        let key = accounts.register(tenant, &self.server.bucket, key, share.fresh).await?;
        let admitted = || async { Ok(self.admits(&key, share.field("prefix")).await?.then_some(())) };
        if share.fresh && ask_again(KNOWN, admitted).await?.is_none() {
            return Err(Failure::Unavailable(format!("it does not admit the key that it just gave {tenant} yet")));
        }
        share.fields.extend([("access_key".to_owned(), key.id), ("secret_key".to_owned(), key.secret.0)]);
        Ok(())
    }

    async fn revoke(&self, tenant: &Tenant, share: &Share) -> Result<(), Failure> {
        self.accounts().await?.close(tenant, Some(share.field("access_key"))).await.map(drop)
    }

    /// The account last: while it is there, a repeat knows that there is something to do.
    async fn unregister(&self, tenant: &Tenant) -> Result<Option<&'static str>, Failure> {
        let accounts = self.accounts().await?;
        // First, so that nobody writes while the rest is done.
        let own = accounts.close(tenant, None).await?;
        let (bucket, prefix) = (&self.server.bucket, policy::prefix(tenant));
        objects::end_uploads(&self.s3, bucket, &prefix).await?;
        let removed = objects::remove(&self.s3, bucket, &prefix).await?;
        if own {
            accounts.remove(tenant).await?;
        }
        Ok((own || removed).then_some("user removed"))
    }
}

/// What the tentacle with this key and prefix is told.
fn share(server: &Server, key: Key, prefix: String) -> Result<Share, Failure> {
    let Server { endpoint, bucket, region, .. } = server;
    let nowhere = || Failure::Refused("endpoint has no host".to_owned());
    let (host, port) = endpoint.host_str().zip(endpoint.port_or_known_default()).ok_or_else(nowhere)?;
    let host = host.trim_matches(['[', ']']).to_owned();
    let contract = vec![
        ("host", json!(host)),
        ("port", json!(port.to_string())),
        ("container", json!(bucket)),
        ("prefix", json!(prefix)),
        ("auth", json!({ "type": "access-key", "secret": "tentacular-rustfs.secret_key" })),
    ];
    let fields = [
        ("protocol", Service::Rustfs.protocol().to_owned()),
        ("endpoint", endpoint.as_str().trim_end_matches('/').to_owned()),
        ("access_key", key.id),
        ("secret_key", key.secret.0),
        ("bucket", bucket.clone()),
        ("prefix", prefix),
        ("region", region.clone()),
    ];
    Ok(Share {
        service: Service::Rustfs,
        endpoint: Endpoint { host, port },
        whereabouts: super::network::Whereabouts::default(),
        fields: fields.map(|(name, value)| (name.to_owned(), value)).into(),
        contract,
        fresh: false,
    })
}

impl Backend for Rustfs {
    fn service(&self) -> Service {
        Service::Rustfs
    }

    fn probe(&self) -> BoxFuture<'_, Result<Kept, Failure>> {
        in_time(async { self.session().await?.probe().await }).boxed()
    }

    fn offer<'a>(
        &'a self,
        tenant: &'a Tenant,
        current: &'a Fields,
        renew: bool,
    ) -> BoxFuture<'a, Result<Share, Failure>> {
        in_time(async move { self.session().await?.look(tenant, current, renew).await }).boxed()
    }

    fn register<'a>(&'a self, tenant: &'a Tenant, share: &'a mut Share) -> BoxFuture<'a, Result<(), Failure>> {
        in_time(async move { self.session().await?.register(tenant, share).await }).boxed()
    }

    fn revoke<'a>(&'a self, tenant: &'a Tenant, share: &'a Share) -> BoxFuture<'a, Result<(), Failure>> {
        in_time(async move { self.session().await?.revoke(tenant, share).await }).boxed()
    }

    fn unregister<'a>(
        &'a self,
        tenant: &'a Tenant,
        _current: &'a Fields,
    ) -> BoxFuture<'a, Result<Option<&'static str>, Failure>> {
        in_time(async move { self.session().await?.unregister(tenant).await }).boxed()
    }

    fn holders(&self) -> BoxFuture<'_, Result<Vec<Holder>, Failure>> {
        in_time(async move { self.session().await?.accounts().await?.holders().await }).boxed()
    }
}

#[cfg(test)]
mod tests;
