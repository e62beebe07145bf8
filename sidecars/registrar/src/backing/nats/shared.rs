//! One account for all tentacles, where the registrar may make no accounts: each is a user of it, whom nobody can revoke.

use chrono::{DateTime, TimeDelta, Utc};

use super::{
    REGISTRAR,
    connect::{Admission, Server},
    is_good,
    jwt::{Credential, Signer},
};
use crate::backing::{service::Failure, tenant::Tenant};

/// What users of the account are made by.
pub(super) struct Shared {
    pub(super) signer: Signer,
}

impl Shared {
    /// Sees whether the server admits users of the account.
    pub(super) async fn probe(&self, server: &Server, now: DateTime<Utc>) -> Result<(), Failure> {
        let idle = self.signer.issue_idle(REGISTRAR, now)?;
        server.connect(Admission::Creds(&idle.creds())).await.map(drop)
    }

    /// The tentacle's credential, or another for it, which is told beside it.
    pub(super) async fn find(
        &self,
        server: &Server,
        (tenant, creds): (&Tenant, Option<&str>),
        renew: bool,
        (now, lifetime): (DateTime<Utc>, TimeDelta),
    ) -> Result<(Credential, bool), Failure> {
        self.probe(server, now).await?;
        let signer = &self.signer;
        match creds.and_then(|creds| signer.read(tenant, creds)) {
            Some(known) if !renew && is_good(server, signer, (tenant, &known), (now, lifetime)).await? => {
                Ok((known, false))
            }
            known => {
                // They are named in it so that they can be revoked by who may.
                let replaced = known.map(|known| known.users(now)).unwrap_or_default();
                Ok((signer.issue(tenant, &replaced, (now, now + lifetime))?, true))
            }
        }
    }

    /// Says what cannot be ended, if there is anything to end.
    pub(super) fn revoke(&self, (tenant, creds): (&Tenant, &str), now: DateTime<Utc>) -> Result<(), Failure> {
        let replaced = self.signer.read(tenant, creds).map(|known| known.replaced(now)).unwrap_or_default();
        let Some(last) = replaced.iter().map(|user| user.expires).max() else { return Ok(()) };
        Err(Failure::Refused(format!(
            "the former credential works until {}: nothing is revoked without operator_key and system_creds",
            last.format("%F")
        )))
    }

    /// Says what is left, if anything is.
    pub(super) fn remove(
        &self,
        (tenant, creds): (&Tenant, Option<&str>),
        now: DateTime<Utc>,
    ) -> Option<&'static str> {
        let known = self.signer.read(tenant, creds?)?;
        (!known.users(now).is_empty()).then_some("credential left, which works until it expires")
    }
}
