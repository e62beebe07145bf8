//! What a genuine token says: whether it is of the right issuer, in force, for this server, and whom it is about.

use std::time::{Duration, SystemTime};

use serde::Deserialize;
use serde_json::Value;
use tentacular_contract::{Email, Identity, text};

use super::{InvalidToken, Refused, Settings};

/// How far the clocks of this server and of the identity provider may differ.
const LEEWAY: f64 = 60.0;
/// Longest subject, in bytes (OpenID Connect Core 1.0 section 2).
const SUBJECT_BYTES: usize = 255;
/// Longest name that is shown, in characters.
const NAME: usize = 100;
/// Keycloak's default audience, which names no service of its own.
const ACCOUNT: &str = "account";

/// The claims that count here. One that is there twice, or has another type, makes the token unreadable.
#[derive(Debug, Default, Deserialize)]
pub(super) struct Claims {
    iss: Option<String>,
    sub: Option<String>,
    aud: Option<Audience>,
    exp: Option<f64>,
    nbf: Option<f64>,
    iat: Option<f64>,
    azp: Option<String>,
    client_id: Option<String>,
    typ: Option<String>,
    cnf: Option<Value>,
    scope: Option<String>,
    scp: Option<Audience>,
    email: Option<String>,
    email_verified: Option<Value>,
    name: Option<String>,
    preferred_username: Option<String>,
    identity_provider: Option<String>,
}

/// One text or several (RFC 7519 section 4.1.3).
#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Audience {
    One(String),
    Several(Vec<String>),
}

impl Audience {
    fn all(&self) -> &[String] {
        match self {
            Self::One(one) => std::slice::from_ref(one),
            Self::Several(several) => several,
        }
    }
}

impl Settings {
    /// The person of a token that is in force and for this server.
    pub(super) fn accept(&self, claims: &Claims, now: SystemTime) -> Result<Identity, Refused> {
        if claims.iss.as_deref() != Some(&self.issuer) {
            return Err(InvalidToken::Issuer.into());
        }
        in_force(claims, now)?;
        // Keycloak says `Bearer` of an access token, `ID`, `Refresh`, `Offline` or `Logout` of others.
        if claims.typ.as_deref().is_some_and(|typ| !typ.eq_ignore_ascii_case("bearer")) {
            return Err(InvalidToken::Kind.into());
        }
        // RFC 8705 section 3, RFC 9449 section 6: such a token proves nothing by being sent.
        if claims.cnf.is_some() {
            return Err(InvalidToken::Bound.into());
        }
        self.for_us(claims)?;
        let scopes = scopes(claims);
        if !self.required_scopes.iter().all(|scope| scopes.contains(&scope.as_str())) {
            return Err(Refused::Scope);
        }
        self.identity(claims).map_err(Refused::Invalid)
    }

    /// Whether the token was issued to a trusted client, and for this server.
    fn for_us(&self, claims: &Claims) -> Result<(), InvalidToken> {
        let clients = || [&claims.azp, &claims.client_id].into_iter().flatten();
        if clients().any(|client| !self.trusted_clients.contains(client)) {
            return Err(InvalidToken::Client);
        }
        let audience = claims.aud.as_ref().map(Audience::all).unwrap_or_default();
        let names_us = audience.iter().any(|audience| {
            *audience == self.client_id || self.resource.as_ref().is_some_and(|resource| audience == resource)
        });
        let names_nobody = audience.iter().all(|audience| audience == ACCOUNT);
        let trusted_client = clients().next().is_some();
        if names_us || (trusted_client && names_nobody && !self.require_audience) {
            Ok(())
        } else {
            Err(InvalidToken::Audience)
        }
    }

    fn identity(&self, claims: &Claims) -> Result<Identity, InvalidToken> {
        let sub = claims.sub.clone().filter(|sub| !sub.is_empty());
        if sub.as_ref().is_some_and(|sub| sub.len() > SUBJECT_BYTES || sub.chars().any(char::is_control)) {
            return Err(InvalidToken::Malformed);
        }
        let counts = match &claims.email_verified {
            Some(mark) => mark == &Value::Bool(true),
            None => self.trust_unmarked_email,
        };
        let email: Option<Email> = claims.email.as_deref().filter(|_| counts).and_then(|email| email.parse().ok());
        let name = claims.name.as_deref().filter(|name| !name.is_empty()).or(claims.preferred_username.as_deref());
        Ok(Identity {
            sub,
            email,
            name: name.map(|name| text::line(name, NAME)),
            provider: claims.identity_provider.as_deref().map(|name| text::line(name, NAME)),
            azp: claims.azp.as_deref().or(claims.client_id.as_deref()).map(str::to_owned),
        })
    }
}

/// Whether the token counts now (RFC 7519 sections 4.1.4 to 4.1.6).
fn in_force(claims: &Claims, now: SystemTime) -> Result<(), InvalidToken> {
    let now = now.duration_since(SystemTime::UNIX_EPOCH).unwrap_or(Duration::ZERO).as_secs_f64();
    let expires = claims.exp.ok_or(InvalidToken::NoExpiry)?;
    if expires + LEEWAY <= now {
        return Err(InvalidToken::Expired);
    }
    if [claims.nbf, claims.iat].into_iter().flatten().any(|begins| begins > now + LEEWAY) {
        return Err(InvalidToken::NotYetValid);
    }
    Ok(())
}

/// The token's scopes: `scope` is one text (RFC 8693 section 4.2), `scp` some providers' list.
fn scopes(claims: &Claims) -> Vec<&str> {
    let listed = claims.scp.as_ref().map(Audience::all).unwrap_or_default();
    claims.scope.iter().chain(listed).flat_map(|scopes| scopes.split(' ')).filter(|scope| !scope.is_empty()).collect()
}
