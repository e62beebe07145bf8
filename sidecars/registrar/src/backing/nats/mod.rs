//! NATS: subjects for each tentacle, `tentacular.<enclave>.<tentacle>.>`, and the replies to its requests.
//!
//! On a server in operator mode each tentacle is a user of one account, by a token that the registrar signs; the server hears of
//! it when the user connects. Where the server has one token for all, every tentacle is given that, and nothing keeps them apart.
//!
//! A credential is recorded nowhere but in the tentacle's Secret. It names those that it replaced, so that they can be revoked.

mod account;
mod connect;
mod jwt;
mod settings;

use std::fmt;

use chrono::{DateTime, Utc};
use futures::future::{BoxFuture, FutureExt as _};
use serde_json::{Value, json};
use tentacular_contract::backing::{Isolation, Service};
use tokio::sync::Mutex;

pub(super) use self::settings::NatsArgs;
use self::{
    connect::{Admission, Server},
    jwt::{Credential, Signer, inbox_prefix, subjects},
    settings::{Keys, Mode, Settings},
};
use super::{
    service::{Backend, Failure, Kept, in_time},
    share::{Endpoint, Fields, Share},
    tenant::Tenant,
};

/// Name of the user by whom it is seen that the account's users are admitted.
const PROBE: &str = "tentacular-registrar";
/// A credential is renewed when less than this part of its time is left.
const LAST_PART: i32 = 3;
/// Why nothing keeps tentacles apart in token mode.
const ONE_TOKEN: &str = "all tentacles share one token; with an account's signing key each gets its own user";
/// Why a credential cannot be revoked.
const NO_AUTHORITY: &str = "a credential works until it expires, also after its tentacle: with operator_key and system_creds it can be revoked";

/// A NATS server that tentacles have subjects on.
pub(super) struct Nats {
    args: NatsArgs,
    /// Held while the account is changed: a change is made of what was read before.
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
        reach(&server, &mode, now).await?;
        Ok(match mode {
            Mode::Token(_) => Kept { isolation: Isolation::None, reason: Some(ONE_TOKEN.to_owned()) },
            Mode::Jwt(keys) => {
                let Keys { signer, authority } = *keys;
                let reason = match authority {
                    None => Some(NO_AUTHORITY.to_owned()),
                    Some(authority) => {
                        let probed = authority.probe(&server, &signer.account).await;
                        probed.err().map(|failure| format!("no credential can be revoked: {failure}"))
                    }
                };
                Kept { isolation: Isolation::Full, reason }
            }
        })
    }

    async fn find(
        &self,
        tenant: &Tenant,
        current: &Fields,
        renew: bool,
        now: DateTime<Utc>,
    ) -> Result<Share, Failure> {
        let Settings { server, mode } = self.settings()?;
        reach(&server, &mode, now).await?;
        match mode {
            Mode::Token(token) => Ok(self.share(tenant, &server, &[("token", token.0)], false)),
            Mode::Jwt(keys) => {
                let signer = keys.signer;
                let known = read(&signer, tenant, current);
                let works = match known.as_ref().filter(|known| !renew && self.lasts(&signer, tenant, known, now)) {
                    Some(known) => server.admits(Admission::Creds(&known.creds())).await?,
                    None => false,
                };
                let (credential, fresh) = match known {
                    Some(known) if works => (known, false),
                    known => {
                        let replaced = known.map(|known| known.users(now)).unwrap_or_default();
                        (signer.issue(tenant, &replaced, (now, now + self.args.lifetime()))?, true)
                    }
                };
                let prefix = inbox_prefix(tenant);
                Ok(self.share(tenant, &server, &[("creds", credential.creds()), ("inbox_prefix", prefix)], fresh))
            }
        }
    }

    /// Whether the credential needs no renewal.
    fn lasts(&self, signer: &Signer, tenant: &Tenant, known: &Credential, now: DateTime<Utc>) -> bool {
        signer.is_current(tenant, known) && known.expires() - now > self.args.lifetime() / LAST_PART
    }

    /// What the tentacle is told, these fields of its credential among it.
    fn share(
        &self,
        tenant: &Tenant,
        Server { address, .. }: &Server,
        credential: &[(&str, String)],
        fresh: bool,
    ) -> Share {
        let (host, port, subject) = (address.host().to_owned(), address.port(), subjects(tenant));
        let by_token = credential.iter().any(|(name, _)| *name == "token");
        // A client is told the token beside the URL, and reads its user from a creds file.
        let (method, secret) =
            if by_token { ("token", "tentacular-nats.url") } else { ("jwt", "tentacular-nats.creds") };
        let common = [
            ("protocol", Service::Nats.protocol().to_owned()),
            ("url", address.as_url_str().to_owned()),
            ("subject_prefix", subject.clone()),
            ("auth_method", method.to_owned()),
        ];
        let fields = common.iter().chain(credential).map(|(name, value)| ((*name).to_owned(), value.clone()));
        let contract: Vec<(_, Value)> = vec![
            ("host", json!(host)),
            ("port", json!(port.to_string())),
            ("subject", json!(subject)),
            ("auth", json!({ "type": method, "secret": secret })),
        ];
        Share {
            service: Service::Nats,
            endpoint: Endpoint { host, port },
            whereabouts: self.args.whereabouts(),
            fields: fields.collect(),
            contract,
            fresh,
        }
    }

    /// Revokes those whom the share's credential replaced.
    async fn end_replaced(&self, tenant: &Tenant, share: &Share, now: DateTime<Utc>) -> Result<(), Failure> {
        let Settings { server, mode } = self.settings()?;
        let Mode::Jwt(keys) = mode else { return Ok(()) };
        let Keys { signer, authority } = *keys;
        let replaced = read(&signer, tenant, &share.fields).map(|known| known.replaced(now)).unwrap_or_default();
        match (replaced.iter().map(|user| user.expires).max(), authority) {
            (None, _) => Ok(()),
            (Some(_), Some(authority)) => {
                let _changing = self.changing.lock().await;
                authority.revoke(&server, &signer.account, &replaced, now).await
            }
            (Some(last), None) => Err(Failure::Refused(format!(
                "the former credential works until {}: nothing is revoked without operator_key and system_creds",
                last.format("%F")
            ))),
        }
    }

    async fn end_all(
        &self,
        tenant: &Tenant,
        current: &Fields,
        now: DateTime<Utc>,
    ) -> Result<Option<&'static str>, Failure> {
        let Settings { server, mode } = self.settings()?;
        let Mode::Jwt(keys) = mode else { return Ok(Some("no-op, as all tentacles share one token")) };
        let Keys { signer, authority } = *keys;
        let users = read(&signer, tenant, current).map(|known| known.users(now)).unwrap_or_default();
        match authority {
            _ if users.is_empty() => Ok(None),
            None => Ok(Some("credential left, which works until it expires")),
            Some(authority) => {
                let _changing = self.changing.lock().await;
                authority.revoke(&server, &signer.account, &users, now).await?;
                Ok(Some("credential revoked"))
            }
        }
    }
}

/// The credential that the tentacle was given, if there is one by this signer.
fn read(signer: &Signer, tenant: &Tenant, current: &Fields) -> Option<Credential> {
    signer.read(tenant, current.get("creds")?)
}

/// Sees whether the server admits those who were given a credential as the settings are now.
async fn reach(server: &Server, mode: &Mode, now: DateTime<Utc>) -> Result<(), Failure> {
    match mode {
        Mode::Token(token) => server.connect(Admission::Token(&token.0)).await.map(drop),
        Mode::Jwt(keys) => {
            let idle = keys.signer.issue_idle(PROBE, now)?;
            server.connect(Admission::Creds(&idle.creds())).await.map(drop)
        }
    }
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

    /// The server needs not be told of a user.
    fn register<'a>(&'a self, _tenant: &'a Tenant, _share: &'a mut Share) -> BoxFuture<'a, Result<(), Failure>> {
        async { Ok(()) }.boxed()
    }

    fn revoke<'a>(&'a self, tenant: &'a Tenant, share: &'a Share) -> BoxFuture<'a, Result<(), Failure>> {
        in_time(self.end_replaced(tenant, share, Utc::now())).boxed()
    }

    fn unregister<'a>(
        &'a self,
        tenant: &'a Tenant,
        current: &'a Fields,
    ) -> BoxFuture<'a, Result<Option<&'static str>, Failure>> {
        in_time(self.end_all(tenant, current, Utc::now())).boxed()
    }
}

#[cfg(test)]
mod tests;
