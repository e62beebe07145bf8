//! Authentication: who calls. The bearer token, and beside it access tokens of an identity provider.

pub(crate) mod bearer;
mod oidc;

use std::{path::Path, sync::Arc, time::SystemTime};

use http::{HeaderMap, header::AUTHORIZATION};
use tentacular_contract::Caller;
use tentacular_process::Context;

use self::bearer::StaticToken;
pub(crate) use self::oidc::{InvalidToken, Oidc, OidcArgs, Settings as OidcSettings};

/// Why a request is not authenticated. The texts go to the sender and hold nothing of the credentials.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Unauthenticated {
    #[error("missing authorization header; send Authorization: Bearer <token>")]
    Missing,
    #[error("invalid authorization header format; send Authorization: Bearer <token> once")]
    Malformed,
    #[error("invalid token: {0}")]
    Invalid(InvalidToken),
    #[error("the token lacks a scope that this server requires; sign in again and grant it")]
    Scope,
    #[error("the keys of the identity provider cannot be fetched, so your token cannot be checked; try again soon")]
    Unavailable,
}

impl Unauthenticated {
    /// A label for metrics.
    pub(crate) const fn label(self) -> &'static str {
        match self {
            Self::Missing => "missing",
            Self::Malformed => "malformed-header",
            Self::Invalid(why) => why.label(),
            Self::Scope => "scope",
            Self::Unavailable => "unavailable",
        }
    }
}

impl From<oidc::Refused> for Unauthenticated {
    fn from(refused: oidc::Refused) -> Self {
        match refused {
            oidc::Refused::Invalid(why) => Self::Invalid(why),
            oidc::Refused::Scope => Self::Scope,
            oidc::Refused::Unavailable => Self::Unavailable,
        }
    }
}

/// Turns credentials into a [`Caller`].
#[derive(Debug)]
pub(crate) struct Authenticator {
    token: Arc<StaticToken>,
    oidc: Option<Oidc>,
}

impl Authenticator {
    /// Reads the token file; an empty or missing one is an error that names it.
    pub(crate) fn new(token_path: &Path, oidc: Option<Oidc>) -> anyhow::Result<Self> {
        Ok(Self { token: Arc::new(StaticToken::read(token_path)?), oidc })
    }

    /// Keeps the token up to date with its file.
    pub(crate) fn follow(&self, context: &Context) {
        let token = Arc::clone(&self.token);
        context.spawn("token file", async move {
            token.follow().await;
            Ok(())
        });
    }

    /// The identity provider, where there is one.
    pub(crate) const fn oidc(&self) -> Option<&Oidc> {
        self.oidc.as_ref()
    }

    /// Who sent a request with these headers.
    pub(crate) async fn authenticate(&self, headers: &HeaderMap) -> Result<Caller, Unauthenticated> {
        let token = bearer_token(headers)?;
        if self.token.matches(token) {
            return Ok(Caller::Bearer);
        }
        match &self.oidc {
            Some(oidc) if oidc::looks_like_a_token(token) => {
                Ok(Caller::Oidc(oidc.identify(token, SystemTime::now()).await?))
            }
            _ => Err(Unauthenticated::Invalid(InvalidToken::Unknown)),
        }
    }
}

/// The token of the one `Authorization` header (RFC 6750 section 2.1; other places are not looked at).
fn bearer_token(headers: &HeaderMap) -> Result<&str, Unauthenticated> {
    let mut values = headers.get_all(AUTHORIZATION).iter();
    let value = values.next().ok_or(Unauthenticated::Missing)?;
    if values.next().is_some() {
        return Err(Unauthenticated::Malformed);
    }
    let value = value.to_str().map_err(|_| Unauthenticated::Malformed)?;
    // RFC 9110 section 11.1: the scheme's name is case-insensitive.
    let (scheme, credentials) = value.split_once(' ').ok_or(Unauthenticated::Malformed)?;
    if scheme.eq_ignore_ascii_case("bearer") { Ok(credentials.trim()) } else { Err(Unauthenticated::Malformed) }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn authenticate(values: &[&str]) -> Result<Caller, Unauthenticated> {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("token");
        std::fs::write(&path, "s3cret\n").expect("written");
        let authenticator = Authenticator::new(&path, None).expect("a token");
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(AUTHORIZATION, value.parse().expect("a header"));
        }
        authenticator.authenticate(&headers).await
    }

    #[tokio::test]
    async fn only_the_token_is_let_in() {
        const UNKNOWN: Unauthenticated = Unauthenticated::Invalid(InvalidToken::Unknown);
        assert_eq!(authenticate(&["Bearer s3cret"]).await, Ok(Caller::Bearer));
        assert_eq!(authenticate(&["bearer s3cret"]).await, Ok(Caller::Bearer));
        assert_eq!(authenticate(&[]).await, Err(Unauthenticated::Missing));
        for (value, expected) in [
            ("Bearer", Unauthenticated::Malformed),
            ("Basic s3cret", Unauthenticated::Malformed),
            ("s3cret", Unauthenticated::Malformed),
            ("Bearer ", UNKNOWN),
            ("Bearer s3cre", UNKNOWN),
            ("Bearer s3cret2", UNKNOWN),
            ("Bearer S3CRET", UNKNOWN),
            ("Bearer a.b.c", UNKNOWN),
        ] {
            assert_eq!(authenticate(&[value]).await, Err(expected), "{value}");
        }
        assert_eq!(authenticate(&["Bearer s3cret", "Bearer s3cret"]).await, Err(Unauthenticated::Malformed));
    }
}
