//! An account for each tentacle, where the registrar may make accounts.
//!
//! One signing key signs the users of all of them. A credential ends by when it was issued: one entry in the account's token ends
//! all that are older than the one in use, also those that are recorded nowhere.

use std::{cmp::max, time::Duration};

use chrono::{DateTime, TimeDelta, Utc};
use futures::{StreamExt as _, TryStreamExt as _, stream};
use nkeys::KeyPair;
use serde_json::Value;
use tokio::sync::Mutex;

use super::{
    REGISTRAR,
    account::{self, Terms},
    allowance::Allowance,
    authority::{Authority, System},
    connect::{Admission, Connection, Server},
    is_good,
    jwt::{self, Credential, Signer, User},
    streams,
};
use crate::backing::{
    service::{Failure, Holder, ask_again},
    tenant::Tenant,
};

/// How often it is seen whether an account counts that was changed: in a cluster that takes a moment.
const ATTEMPTS: usize = 20;
const PAUSE: Duration = Duration::from_millis(250);
/// Accounts that are looked up at the same time.
const AT_ONCE: usize = 16;

/// What accounts are made by.
pub(super) struct Accounts {
    pub(super) authority: Authority,
    /// Public key of the account that is configured. Tentacles may have been users of it, and it tells this installation's
    /// accounts from others'.
    pub(super) configured: String,
    /// Signs users.
    pub(super) key: KeyPair,
    pub(super) allowance: Allowance,
}

/// A tentacle's account as the server knows it, or does not.
struct Found<'a> {
    system: System<'a>,
    key: String,
    claims: Option<Value>,
}

impl Accounts {
    /// Sees whether accounts can be made.
    pub(super) async fn probe(&self, server: &Server) -> Result<(), Failure> {
        let system = self.authority.connect(server, &self.configured).await?;
        if self.allowance.any() && !system.has_streams().await? {
            return Err(Failure::Unavailable("it has no JetStream, of which tentacles are to have some".to_owned()));
        }
        Ok(())
    }

    /// The tentacle's credential, or one that it gets when it is registered, which is told beside it. Changes nothing.
    pub(super) async fn find(
        &self,
        server: &Server,
        (tenant, creds): (&Tenant, Option<&str>),
        renew: bool,
        (now, lifetime): (DateTime<Utc>, TimeDelta),
    ) -> Result<(Credential, bool), Failure> {
        let found = self.look(server, tenant, creds).await?;
        let signer = self.signer(&found.key);
        let known = creds.and_then(|creds| signer.read(tenant, creds));
        match known {
            Some(known) if !renew && is_good(server, &signer, (tenant, &known), (now, lifetime)).await? => {
                Ok((known, false))
            }
            known => {
                let ended = found.claims.as_ref().map_or(0, |claims| Terms::read(claims).ended);
                let last = known.as_ref().map_or(0, |known| known.issued().timestamp());
                // Later than all that are to end.
                let issued = max(now, jwt::at(max(ended, last) + 1));
                let shared = known.map(|known| self.shared(&known, now)).unwrap_or_default();
                Ok((signer.issue(tenant, &shared, (issued, now + lifetime))?, true))
            }
        }
    }

    /// Makes the account as the settings are now, and sees that the credential is admitted.
    pub(super) async fn register(
        &self,
        server: &Server,
        (tenant, creds): (&Tenant, &str),
        fresh: bool,
        now: DateTime<Utc>,
    ) -> Result<(), Failure> {
        let (found, credential) = self.given(server, tenant, creds).await?;
        if self.put(&found, (tenant, &credential), false, now).await? || fresh {
            self.admitted(server, &found.key, (tenant, &credential), now).await?;
        }
        Ok(())
    }

    /// Ends all credentials of the tentacle but this one.
    pub(super) async fn revoke(
        &self,
        server: &Server,
        (tenant, creds): (&Tenant, &str),
        changing: &Mutex<()>,
        now: DateTime<Utc>,
    ) -> Result<(), Failure> {
        let (found, credential) = self.given(server, tenant, creds).await?;
        self.put(&found, (tenant, &credential), true, now).await?;
        self.leave_shared(&found.system, &credential.replaced(now), changing, now).await
    }

    /// Removes the account, with its streams, and ends its connections. Returns what was done.
    pub(super) async fn remove(
        &self,
        server: &Server,
        (tenant, creds): (&Tenant, Option<&str>),
        changing: &Mutex<()>,
        now: DateTime<Utc>,
    ) -> Result<Option<&'static str>, Failure> {
        let found = self.look(server, tenant, creds).await?;
        let known = creds.and_then(|creds| self.signer(&found.key).read(tenant, creds));
        let shared = known.as_ref().map(|known| self.shared(known, now)).unwrap_or_default();
        self.leave_shared(&found.system, &shared, changing, now).await?;
        let terms = found.claims.as_ref().map(Terms::read).filter(|terms| !terms.is_closed());
        let Some(terms) = terms else { return Ok((!shared.is_empty()).then_some("credential revoked")) };
        let last = known.map_or(0, |known| known.issued().timestamp());
        let ended = max(max(now.timestamp(), last), terms.ended);
        self.close(server, &found, (tenant, Terms { ended, ..terms }), now).await?;
        Ok(Some("account removed with its streams"))
    }

    /// The tentacles that have an account of this installation.
    pub(super) async fn holders(&self, server: &Server) -> Result<Vec<Holder>, Failure> {
        let system = &self.authority.connect(server, &self.configured).await?;
        let keys = stream::iter(system.list().await?);
        let claims = keys.map(async |key| Ok::<_, Failure>((system.find(&key).await?, key))).buffered(AT_ONCE);
        let holders = claims.try_filter_map(async |(claims, key)| {
            let held = claims.and_then(|claims| Some((account::holder(&claims)?, Terms::read(&claims))));
            let own = |(tenant, terms): &(Tenant, Terms)| {
                !terms.is_closed() && account::key(&self.configured, tenant) == key
            };
            Ok(held.filter(own).map(|(tenant, terms)| Holder {
                tenant,
                name: format!("account {key}"),
                since: Some(jwt::at(terms.since)),
            }))
        });
        holders.try_collect().await
    }

    fn signer(&self, account: &str) -> Signer {
        Signer { account: account.to_owned(), key: self.key.clone(), streams: self.allowance.any() }
    }

    /// The users of the configured account that the tentacle was given and that have not expired.
    fn shared(&self, known: &Credential, now: DateTime<Utc>) -> Vec<User> {
        if known.account() == self.configured { known.users(now) } else { known.replaced(now) }
    }

    async fn leave_shared(
        &self,
        system: &System<'_>,
        users: &[User],
        changing: &Mutex<()>,
        now: DateTime<Utc>,
    ) -> Result<(), Failure> {
        if users.is_empty() {
            return Ok(());
        }
        let _changing = changing.lock().await;
        system.revoke(&self.configured, users, now).await
    }

    /// The tentacle's account: the one that its credential names, if the server says that it is the tentacle's and that it admits
    /// who signed the credential, or the one that follows from the names. Anybody can write a token that names the account which a
    /// tentacle of the same name has by another installation.
    async fn look(&self, server: &Server, tenant: &Tenant, creds: Option<&str>) -> Result<Found<'_>, Failure> {
        let system = self.authority.connect(server, &self.configured).await?;
        let creds = creds.unwrap_or_default();
        let is_key = |key: &String| *key != self.configured && KeyPair::from_public_key(key).is_ok();
        if let Some(key) = jwt::account_of(creds).filter(is_key)
            && let Some(claims) = system.find(&key).await?
            && account::holder(&claims).as_ref() == Some(tenant)
            && jwt::is_signed_by_one(creds, &Terms::read(&claims).keys)
        {
            return Ok(Found { system, key, claims: Some(claims) });
        }
        let key = account::key(&self.configured, tenant);
        self.look_at(system, key, tenant).await
    }

    async fn look_at<'a>(&'a self, system: System<'a>, key: String, tenant: &Tenant) -> Result<Found<'a>, Failure> {
        let claims = system.find(&key).await?;
        match &claims {
            Some(claims) if account::holder(claims).as_ref() != Some(tenant) => Err(Failure::Refused(format!(
                "the account {key} is called {} and not {}, so it is left alone",
                claims["name"],
                account::name(tenant)
            ))),
            _ => Ok(Found { system, key, claims }),
        }
    }

    /// The account that the credential is for, and the credential.
    async fn given(&self, server: &Server, tenant: &Tenant, creds: &str) -> Result<(Found<'_>, Credential), Failure> {
        let key = jwt::account_of(creds).filter(|key| *key != self.configured).ok_or_else(unreadable)?;
        let credential = self.signer(&key).read(tenant, creds).ok_or_else(unreadable)?;
        let system = self.authority.connect(server, &self.configured).await?;
        Ok((self.look_at(system, key, tenant).await?, credential))
    }

    /// Makes the account so that the credential is good, and, where it is to be the only one, no older one. Returns whether that
    /// changed anything.
    async fn put(
        &self,
        Found { system, key, claims }: &Found<'_>,
        (tenant, credential): (&Tenant, &Credential),
        only: bool,
        now: DateTime<Utc>,
    ) -> Result<bool, Failure> {
        let before = credential.issued().timestamp() - 1;
        // Of an account that was lost nobody knows what had been revoked in it.
        let mut terms = claims.as_ref().map_or_else(|| Terms::new(before), Terms::read);
        if terms.is_closed() {
            terms.since = now.timestamp();
        }
        if only {
            terms.keys.clear();
            terms.ended = max(terms.ended, before);
        }
        terms.keys.insert(self.key.public_key());
        terms.allowance = self.allowance;
        system.put(claims.as_ref(), terms.claims(key, tenant), now).await
    }

    /// Waits until the server admits the credential, with streams where there are to be some.
    async fn admitted(
        &self,
        server: &Server,
        account: &str,
        (tenant, credential): (&Tenant, &Credential),
        now: DateTime<Utc>,
    ) -> Result<(), Failure> {
        let (creds, inbox_prefix) = (credential.creds(), jwt::inbox_prefix(tenant));
        let admitted = || async { Ok(server.admits(&creds, &inbox_prefix).await?.then_some(())) };
        if ask_again((ATTEMPTS, PAUSE), admitted).await?.is_none() {
            return Err(Failure::Unavailable(format!("it does not admit users of the account {account} yet")));
        }
        if !self.allowance.any() {
            return Ok(());
        }
        // What ended there was issued before the credential, which may be days old.
        let caretaker = self.enter(server, account, max(now, credential.issued())).await?;
        match streams::refused(&caretaker).await? {
            None => Ok(()),
            Some(why) => Err(Failure::Refused(format!(
                "it gives the account {account} no streams: {why}; outside of a cluster a server keeps free for each account \
                 what nats-jetstream-disk-mib and nats-jetstream-memory-mib allow it"
            ))),
        }
    }

    /// A connection of the registrar's own in a tentacle's account.
    async fn enter(&self, server: &Server, account: &str, issued: DateTime<Utc>) -> Result<Connection, Failure> {
        let caretaker = self.signer(account).issue_caretaker(REGISTRAR, issued)?;
        server.connect(Admission::Creds(&caretaker.creds())).await
    }

    /// Lets nobody in any more, removes the streams, and then the account. Where the server deletes none it stays, closed.
    async fn close(
        &self,
        server: &Server,
        Found { system, key, claims }: &Found<'_>,
        (tenant, terms): (&Tenant, Terms),
        now: DateTime<Utc>,
    ) -> Result<(), Failure> {
        if self.allowance.any() && !system.has_streams().await? {
            // What its server keeps of them would be there again, for the next tentacle of that name.
            return Err(Failure::Unavailable("it has no JetStream now, and so cannot remove streams".to_owned()));
        }
        // With less than it has, a stream might not be found.
        let keys = [self.key.public_key()].into();
        let terms = Terms { keys, allowance: Allowance::ALL, ..terms };
        system.put(claims.as_ref(), terms.claims(key, tenant), now).await?;
        let caretaker = self.enter(server, key, jwt::at(terms.ended + 1)).await?;
        streams::remove(&caretaker).await?;
        if !system.delete(key, now).await? {
            let closed = Terms { keys: [].into(), allowance: Allowance::NONE, ..terms };
            let claims = system.find(key).await?;
            system.put(claims.as_ref(), closed.claims(key, tenant), now).await?;
        }
        Ok(())
    }
}

/// What speaks against a credential that the registrar gave itself.
fn unreadable() -> Failure {
    Failure::Unavailable("the settings were changed meanwhile".to_owned())
}
