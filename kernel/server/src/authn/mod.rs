//! Authentication: who calls. One way for now, the static bearer token; each further way is a module beside it.

mod bearer;

use std::{path::Path, sync::Arc};

use http::{HeaderMap, header::AUTHORIZATION};
use tentacular_contract::Caller;
use tentacular_process::Context;

use self::bearer::StaticToken;

/// Why a request is not authenticated. The texts go to the sender and hold nothing of the credentials.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Unauthenticated {
    #[error("missing authorization header; send Authorization: Bearer <token>")]
    Missing,
    #[error("invalid authorization header format; send Authorization: Bearer <token> once")]
    Malformed,
    #[error("invalid token")]
    Invalid,
}

/// Turns credentials into a [`Caller`].
#[derive(Debug)]
pub(crate) struct Authenticator {
    token: Arc<StaticToken>,
}

impl Authenticator {
    /// Reads the token file; an empty or missing one is an error that names it.
    pub(crate) fn new(token_path: &Path) -> anyhow::Result<Self> {
        Ok(Self { token: Arc::new(StaticToken::read(token_path)?) })
    }

    /// Keeps the credentials up to date with their files.
    pub(crate) fn follow(&self, context: &Context) {
        let token = Arc::clone(&self.token);
        context.spawn("token file", async move {
            token.follow().await;
            Ok(())
        });
    }

    /// Who sent a request with these headers.
    pub(crate) fn authenticate(&self, headers: &HeaderMap) -> Result<Caller, Unauthenticated> {
        let mut values = headers.get_all(AUTHORIZATION).iter();
        let value = values.next().ok_or(Unauthenticated::Missing)?;
        if values.next().is_some() {
            return Err(Unauthenticated::Malformed);
        }
        let value = value.to_str().map_err(|_| Unauthenticated::Malformed)?;
        // RFC 9110 section 11.1: the scheme's name is case-insensitive.
        let (scheme, credentials) = value.split_once(' ').ok_or(Unauthenticated::Malformed)?;
        if !scheme.eq_ignore_ascii_case("bearer") {
            return Err(Unauthenticated::Malformed);
        }
        if self.token.matches(credentials.trim()) { Ok(Caller::Bearer) } else { Err(Unauthenticated::Invalid) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn authenticate(values: &[&str]) -> Result<Caller, Unauthenticated> {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("token");
        std::fs::write(&path, "s3cret\n").expect("written");
        let authenticator = Authenticator::new(&path).expect("a token");
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(AUTHORIZATION, value.parse().expect("a header"));
        }
        authenticator.authenticate(&headers)
    }

    #[test]
    fn only_the_token_is_let_in() {
        assert_eq!(authenticate(&["Bearer s3cret"]), Ok(Caller::Bearer));
        assert_eq!(authenticate(&["bearer s3cret"]), Ok(Caller::Bearer));
        assert_eq!(authenticate(&[]), Err(Unauthenticated::Missing));
        for (value, expected) in [
            ("Bearer", Unauthenticated::Malformed),
            ("Basic s3cret", Unauthenticated::Malformed),
            ("s3cret", Unauthenticated::Malformed),
            ("Bearer ", Unauthenticated::Invalid),
            ("Bearer s3cre", Unauthenticated::Invalid),
            ("Bearer s3cret2", Unauthenticated::Invalid),
            ("Bearer S3CRET", Unauthenticated::Invalid),
        ] {
            assert_eq!(authenticate(&[value]), Err(expected), "{value}");
        }
        assert_eq!(authenticate(&["Bearer s3cret", "Bearer s3cret"]), Err(Unauthenticated::Malformed));
    }
}
