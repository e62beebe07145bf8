//! PostgreSQL: a schema for each tentacle, with a role that owns it and logins that act as that role. One role has one
//! password, so there are two logins, of which one at a time is in use.
//!
//! The administrator needs CREATEROLE and the right to make schemas in the database, and no more. A role is recognized by
//! its comment, which only who may make roles can write.

mod connect;
mod isolation;
mod register;
mod settings;
mod sql;

use std::fmt;

use anyhow::Context as _;
use futures::future::{BoxFuture, FutureExt as _};
use serde_json::json;
use tentacular_contract::backing::Service;
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio_postgres::{Client, error::SqlState};
use uuid::Uuid;

pub(super) use self::settings::PostgresArgs;
use self::{
    connect::{Protection, Unconnected},
    settings::Login,
};
use super::{
    network::Whereabouts,
    service::{Backend, Failure, Holder, Kept, in_time},
    setting::Password,
    share::{Endpoint, Fields, Share},
    tenant::Tenant,
};

/// Connections of the administrator at once: the server has few for all.
const CONNECTIONS: usize = 4;
/// What the names of the two logins end with.
const LOGINS: [&str; 2] = ["_a", "_b"];

/// A database that tentacles have schemas in.
pub(super) struct Postgres {
    args: PostgresArgs,
    protection: Protection,
    connections: Semaphore,
}

impl fmt::Debug for Postgres {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Postgres").field("args", &self.args).finish_non_exhaustive()
    }
}

impl Postgres {
    /// By the arguments; none where they name no database. The error names all that is missing.
    pub(super) fn from_args(args: PostgresArgs) -> anyhow::Result<Option<Self>> {
        if !args.is_configured() {
            return Ok(None);
        }
        args.administrator().map_err(anyhow::Error::msg).context("postgres partially configured")?;
        let protection = Protection::new(&args)?;
        Ok(Some(Self { args, protection, connections: Semaphore::new(CONNECTIONS) }))
    }

    /// A connection of the administrator, for one call alone: so a password that was changed counts, and a server that was
    /// restarted is no matter.
    async fn session(&self) -> Result<Session<'_>, Failure> {
        let permit = self.connections.acquire().await.map_err(|error| Failure::Unavailable(error.to_string()))?;
        let login = self.args.administrator().map_err(Failure::Unavailable)?;
        let client = self.protection.connect(&login).await?;
        Ok(Session { client, login, _permit: permit })
    }

    /// Whether the server admits the login, which another password would help otherwise.
    async fn admits(&self, administrator: &Client, login: &Login) -> Result<bool, Failure> {
        match self.protection.connect(login).await {
            Ok(_) => Ok(true),
            Err(Unconnected::Failed(error)) => match error.code() {
                Some(&SqlState::INVALID_PASSWORD) => Ok(false),
                Some(&SqlState::INVALID_AUTHORIZATION_SPECIFICATION) => {
                    if register::may_log_in(administrator, &login.user).await? {
                        return Err(unadmitted(&login.user));
                    }
                    Ok(false)
                }
                // It is known, and all the connections that it may have are in use.
                Some(&SqlState::TOO_MANY_CONNECTIONS) => Ok(true),
                _ => Err(error.into()),
            },
            Err(late @ Unconnected::Late) => Err(late.into()),
        }
    }

    /// Makes the share, and sees that the server admits a login that is new: else every look would give another.
    async fn make(&self, tenant: &Tenant, share: &Share) -> Result<(), Failure> {
        let Session { client, login, .. } = &mut self.session().await?;
        register::register(client, tenant, share).await?;
        share.field("user").clone_into(&mut login.user);
        login.password = Password(share.field("password").to_owned());
        if share.fresh && !self.admits(client, login).await? {
            return Err(unadmitted(&login.user));
        }
        Ok(())
    }

    async fn look(&self, tenant: &Tenant, current: &Fields, renew: bool) -> Result<Share, Failure> {
        let Session { client, login: administrator, .. } = &self.session().await?;
        let owner = register::owner(client, tenant).await?.unwrap_or_else(|| tenant.share_name());
        let current = |name: &str| current.get(name).map_or("", String::as_str);
        let logins = LOGINS.map(|ending| format!("{owner}{ending}"));
        let in_use = logins.iter().position(|login| *login == current("user"));
        let mut login = administrator.clone();
        login.user.clone_from(&logins[in_use.unwrap_or_default()]);
        login.password = Password(current("password").to_owned());
        let works = in_use.is_some() && !login.password.0.is_empty() && self.admits(client, &login).await?;
        if works && renew {
            // The pods that there are go on with theirs.
            login.user.clone_from(&logins[1 - in_use.unwrap_or_default()]);
        }
        let fresh = renew || !works;
        if fresh {
            login.password = Password(Uuid::new_v4().simple().to_string());
        }
        Ok(Share { whereabouts: self.args.whereabouts(), fresh, ..share(login, &owner) })
    }
}

fn unadmitted(user: &str) -> Failure {
    Failure::Refused(format!(
        "it does not admit {user} from the registrar, which could not tell whether a password works; see pg_hba.conf and the server's log"
    ))
}

/// A connection of the administrator.
struct Session<'a> {
    client: Client,
    login: Login,
    _permit: SemaphorePermit<'a>,
}

/// What the tentacle with this login and schema is told.
fn share(login: Login, schema: &str) -> Share {
    let Login { host, port, database, user, password } = login;
    let fields = [
        ("protocol", Service::Postgres.protocol().to_owned()),
        ("host", host.clone()),
        ("port", port.to_string()),
        ("database", database.clone()),
        ("user", user.clone()),
        ("password", password.0),
        ("schema", schema.to_owned()),
    ];
    let contract = vec![
        ("host", json!(host)),
        ("port", json!(port.to_string())),
        ("database", json!(database)),
        ("user", json!(user)),
        ("schema", json!(schema)),
        ("auth", json!({ "type": "password", "secret": "tentacular-postgres.password" })),
    ];
    Share {
        service: Service::Postgres,
        endpoint: Endpoint { host, port },
        whereabouts: Whereabouts::default(),
        fields: fields.map(|(name, value)| (name.to_owned(), value)).into(),
        contract,
        fresh: false,
    }
}

impl Backend for Postgres {
    fn service(&self) -> Service {
        Service::Postgres
    }

    fn probe(&self) -> BoxFuture<'_, Result<Kept, Failure>> {
        in_time(async { isolation::probe(&self.session().await?.client).await }).boxed()
    }

    fn offer<'a>(
        &'a self,
        tenant: &'a Tenant,
        current: &'a Fields,
        renew: bool,
    ) -> BoxFuture<'a, Result<Share, Failure>> {
        in_time(self.look(tenant, current, renew)).boxed()
    }

    fn register<'a>(&'a self, tenant: &'a Tenant, share: &'a mut Share) -> BoxFuture<'a, Result<(), Failure>> {
        in_time(self.make(tenant, share)).boxed()
    }

    fn revoke<'a>(&'a self, tenant: &'a Tenant, share: &'a Share) -> BoxFuture<'a, Result<(), Failure>> {
        in_time(async { register::revoke(&mut self.session().await?.client, tenant, share).await }).boxed()
    }

    fn unregister<'a>(
        &'a self,
        tenant: &'a Tenant,
        _current: &'a Fields,
    ) -> BoxFuture<'a, Result<Option<&'static str>, Failure>> {
        in_time(async { register::unregister(&mut self.session().await?.client, tenant).await }).boxed()
    }

    fn holders(&self) -> BoxFuture<'_, Result<Vec<Holder>, Failure>> {
        in_time(async { register::holders(&self.session().await?.client).await }).boxed()
    }
}

#[cfg(test)]
mod tests;
