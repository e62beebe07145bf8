//! OIDC access tokens: whether one is genuine and meant for this server, and who it is about (RFC 7519, RFC 9068, OpenID
//! Connect Core 1.0).

mod claims;
mod key_set;
mod provider;
mod settings;
mod signature;
mod verified;

use std::time::SystemTime;

use jsonwebtoken::{AlgorithmFamily, decode_header, errors::ErrorKind};
use tentacular_contract::Identity;
use tentacular_process::Context;

pub(crate) use self::settings::{OidcArgs, Settings};
use self::{
    claims::Claims,
    key_set::{Key, KeySet},
    provider::{Keys, Provider},
    verified::Verified,
};

/// Longest token that is looked at, in bytes.
const TOKEN_BYTES: usize = 16 * 1024;
/// Values of the header's `typ` that an access token may have (RFC 7519 section 5.1, RFC 9068 section 2.1).
const TYPES: [&str; 2] = ["jwt", "at+jwt"];

/// Why a token does not identify anybody. The sentence tells its sender what to do and holds nothing out of the token.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum InvalidToken {
    #[error("the token is not one of this server's; send the bearer token, or sign in")]
    Unknown,
    #[error("the token is larger than 16 KiB; have the identity provider put fewer groups and roles into it")]
    TooLarge,
    #[error("the token cannot be read: send the access token as it was issued")]
    Malformed,
    #[error(
        "the token is signed in a way that is not accepted; RS, PS, ES and EdDSA signatures by a published key are"
    )]
    Algorithm,
    #[error("the token is signed with a key that the identity provider does not publish; sign in again")]
    UnknownKey,
    #[error("the signature of the token is wrong; sign in again")]
    Signature,
    #[error("the token is of another issuer; sign in with the identity provider of this server")]
    Issuer,
    #[error("the token has expired; refresh it or sign in again")]
    Expired,
    #[error("the token is not valid yet; compare the clocks of this computer and of the identity provider")]
    NotYetValid,
    #[error("the token does not say when it expires; have the identity provider issue ones that do")]
    NoExpiry,
    #[error("the token is for another audience; ask for one for this server")]
    Audience,
    #[error("the token was issued to a client that is not trusted here; sign in with a trusted client")]
    Client,
    #[error("the token is no access token; send the access token, not the ID token or the refresh token")]
    Kind,
    #[error("the token is bound to a key that a bearer does not prove to have; ask for one that is not")]
    Bound,
}

impl InvalidToken {
    /// A label for metrics.
    pub(crate) const fn label(self) -> &'static str {
        match self {
            Self::Unknown => "unknown-token",
            Self::TooLarge => "too-large",
            Self::Malformed => "malformed-token",
            Self::Algorithm => "algorithm",
            Self::UnknownKey => "unknown-key",
            Self::Signature => "signature",
            Self::Issuer => "issuer",
            Self::Expired => "expired",
            Self::NotYetValid => "not-yet-valid",
            Self::NoExpiry => "no-expiry",
            Self::Audience => "audience",
            Self::Client => "client",
            Self::Kind => "kind",
            Self::Bound => "bound",
        }
    }
}

/// Why a token is not accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Refused {
    Invalid(InvalidToken),
    /// It is genuine and lacks a scope that the settings require.
    Scope,
    /// The identity provider's keys are not known, so nothing can be said.
    Unavailable,
}

impl From<InvalidToken> for Refused {
    fn from(why: InvalidToken) -> Self {
        Self::Invalid(why)
    }
}

/// Whether a text has the form of a signed token: three parts, none of them empty.
pub(super) fn looks_like_a_token(text: &str) -> bool {
    let mut parts = text.split('.');
    let mut part = || parts.next().is_some_and(|part| !part.is_empty());
    part() && part() && part() && parts.next().is_none()
}

/// Identifies callers by the tokens of one identity provider.
#[derive(Debug)]
pub(crate) struct Oidc {
    settings: Settings,
    keys: Keys,
    verified: Verified,
}

impl Oidc {
    /// Starts to fetch the provider's keys; the provider may be away.
    pub(crate) fn start(settings: Settings, context: &Context) -> anyhow::Result<Self> {
        signature::install();
        let (provider, keys) = Provider::new(&settings, context)?;
        context.spawn("identity provider", provider.follow());
        Ok(Self { settings, keys, verified: Verified::default() })
    }

    /// Scopes that a token must have.
    pub(crate) fn required_scopes(&self) -> &[String] {
        &self.settings.required_scopes
    }

    /// The issuer, as the settings name it.
    pub(crate) fn issuer(&self) -> &str {
        &self.settings.issuer
    }

    /// Who the token is about. Waits a few seconds at most, and only for keys that are not known yet.
    pub(super) async fn identify(&self, token: &str, now: SystemTime) -> Result<Identity, Refused> {
        if token.len() > TOKEN_BYTES {
            return Err(InvalidToken::TooLarge.into());
        }
        let header = Header::of(token)?;
        let known = self.keys.get().filter(|keys| keys.has(&header));
        let keys = match known {
            Some(keys) => keys,
            None => self.keys.fetched_again().await.ok_or(Refused::Unavailable)?,
        };
        if !keys.has(&header) {
            return Err(InvalidToken::UnknownKey.into());
        }
        let claims = match self.verified.claims(token, &keys, || verify(token, &header, &keys)) {
            // Without a key id, a new key shows only by its signatures.
            Err(InvalidToken::Signature) if header.key_id.is_none() => {
                let keys = self.keys.fetched_again().await.ok_or(Refused::Unavailable)?;
                self.verified.claims(token, &keys, || verify(token, &header, &keys))?
            }
            claims => claims?,
        };
        self.settings.accept(&claims, now)
    }
}

/// What the header says of how the token was signed. Where it points to a key of its own (`jwk`, `jku`, `x5u`, `x5c`), that
/// is not followed.
#[derive(Debug)]
struct Header {
    algorithm: jsonwebtoken::Algorithm,
    key_id: Option<String>,
}

impl Header {
    fn of(token: &str) -> Result<Self, InvalidToken> {
        let header = decode_header(token).map_err(|error| match error.kind() {
            // `none`, and whatever else the library has no name for.
            ErrorKind::Json(error) if error.is_data() => InvalidToken::Algorithm,
            _ => InvalidToken::Malformed,
        })?;
        if header.alg.family() == AlgorithmFamily::Hmac {
            return Err(InvalidToken::Algorithm);
        }
        if header.crit.is_some() {
            // RFC 7515 section 4.1.11: what must be understood, and is not, makes the token invalid.
            return Err(InvalidToken::Malformed);
        }
        let kind = header.typ.map(|typ| typ.to_ascii_lowercase());
        let kind = kind.as_deref().map(|typ| typ.strip_prefix("application/").unwrap_or(typ));
        if kind.is_some_and(|kind| !TYPES.contains(&kind)) {
            return Err(InvalidToken::Kind);
        }
        Ok(Self { algorithm: header.alg, key_id: header.kid })
    }
}

/// The claims of a token that one of the keys has signed.
fn verify(token: &str, header: &Header, keys: &KeySet) -> Result<Claims, InvalidToken> {
    let mut why = InvalidToken::Algorithm;
    for Key { public, validation, .. } in keys.candidates(header) {
        match jsonwebtoken::decode::<Claims>(token, public, validation) {
            Ok(token) => return Ok(token.claims),
            Err(error) => {
                why = match error.kind() {
                    ErrorKind::InvalidSignature => InvalidToken::Signature,
                    _ => InvalidToken::Malformed,
                }
            }
        }
    }
    Err(why)
}

#[cfg(test)]
mod tests;
