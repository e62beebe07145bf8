//! What a tentacle connects with: a token about its key (NATS JWT, version 2), signed by a signing key of the account, and the
//! seed of that key.

use std::collections::BTreeSet;

use chrono::{DateTime, TimeDelta, Utc};
use nkeys::{KeyPair, KeyPairType};
use serde::{Deserialize, Serialize};

use super::token;
use crate::backing::{service::Failure, tenant::Tenant};

/// A credential is renewed when less than this part of its time is left.
const LAST_PART: i32 = 3;
/// No limit.
const UNLIMITED: i64 = -1;
/// What a tag begins with that names a credential which this one replaces, with the second in which that expires.
const REPLACES: &str = "replaces";
/// What `JetStream` needs beside a client's own subjects, in an account that has nobody else in it: its interface,
/// acknowledgements, flow control, buckets of keys and of objects.
const STREAMS: [&str; 5] = ["$JS.API.>", "$JS.ACK.>", "$JS.FC.>", "$KV.>", "$O.>"];
/// Lines of a credentials file, as all clients read it.
const JWT: [&str; 2] = ["-----BEGIN NATS USER JWT-----", "------END NATS USER JWT------"];
const SEED: [&str; 2] = ["-----BEGIN USER NKEY SEED-----", "------END USER NKEY SEED------"];

/// Makes users of an account.
pub(super) struct Signer {
    /// Public key of the account.
    pub(super) account: String,
    /// One of its signing keys, or its own key.
    pub(super) key: KeyPair,
    /// Whether a user may have streams: only where the account is one tentacle's. In one of several, whoever asks `JetStream` could
    /// name another's subject for the answer.
    pub(super) streams: bool,
}

/// A credential. It is a secret.
pub(super) struct Credential {
    claims: Claims,
    jwt: String,
    seed: String,
}

/// A credential that may still work: the user's public key, and when it expires.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct User {
    pub(super) key: String,
    pub(super) expires: DateTime<Utc>,
}

/// What a token says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Claims {
    jti: String,
    iat: i64,
    exp: i64,
    iss: String,
    /// The user's public key.
    sub: String,
    /// Whose it is.
    name: String,
    nats: Rights,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Rights {
    #[serde(rename = "type")]
    kind: String,
    version: u8,
    /// Absent when the account's own key signed it.
    #[serde(skip_serializing_if = "Option::is_none")]
    issuer_account: Option<String>,
    #[serde(rename = "pub")]
    publish: Subjects,
    #[serde(rename = "sub")]
    subscribe: Subjects,
    subs: i64,
    data: i64,
    payload: i64,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    tags: Vec<String>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Subjects {
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    allow: Vec<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    deny: Vec<String>,
}

/// What the tentacle publishes and subscribes to.
pub(super) fn subjects(tenant: &Tenant) -> String {
    // Neither name has a dot, so no other tentacle's are the same.
    format!("tentacular.{}.{}.>", tenant.enclave, tenant.tentacle)
}

/// What its clients put before the subjects that replies come to.
pub(super) fn inbox_prefix(tenant: &Tenant) -> String {
    format!("_INBOX.{}.{}", tenant.enclave, tenant.tentacle)
}

/// All that it publishes and subscribes to in an account that it shares.
pub(super) fn own(tenant: &Tenant) -> [String; 2] {
    [subjects(tenant), format!("{}.>", inbox_prefix(tenant))]
}

impl Signer {
    /// A credential that is good for the tentacle's own subjects, until `expires`. It replaces these users of the account that
    /// tentacles share.
    ///
    /// It may not answer whoever asks (`resp`): who publishes to itself with another's subject for the reply could then answer
    /// there.
    pub(super) fn issue(
        &self,
        tenant: &Tenant,
        replaced: &[User],
        (issued, expires): (DateTime<Utc>, DateTime<Utc>),
    ) -> Result<Credential, Failure> {
        let tags = replaced.iter().map(|user| format!("{REPLACES}:{}:{}", user.key, user.expires.timestamp()));
        let rights = Rights { tags: tags.collect(), ..self.tentacles(tenant) };
        self.sign(tenant.to_string(), rights, issued, expires)
    }

    /// A credential that is good for nothing but connecting, for some minutes.
    pub(super) fn issue_idle(&self, name: &str, now: DateTime<Utc>) -> Result<Credential, Failure> {
        let nothing = Subjects { deny: vec![">".to_owned()], ..Subjects::default() };
        self.sign(name.to_owned(), self.rights(nothing.clone(), nothing), now, now + TimeDelta::minutes(10))
    }

    /// A credential by which the account's streams are counted and removed, for some minutes.
    pub(super) fn issue_caretaker(&self, name: &str, now: DateTime<Utc>) -> Result<Credential, Failure> {
        let asks = ["$JS.API.INFO", "$JS.API.STREAM.NAMES", "$JS.API.STREAM.DELETE.*"];
        let rights = self.rights(Subjects::only(asks), Subjects::only(["_INBOX.>"]));
        self.sign(name.to_owned(), rights, now, now + TimeDelta::minutes(10))
    }

    /// The credential in this text, if this signer made it for the tentacle.
    pub(super) fn read(&self, tenant: &Tenant, creds: &str) -> Option<Credential> {
        let (jwt, seed) = (part(creds, JWT)?, part(creds, SEED)?);
        let claims: Claims = token::decode(&jwt).filter(|_| token::is_signed_by(&jwt, &self.key))?;
        let own = claims.name == tenant.to_string() && KeyPair::from_seed(&seed).ok()?.public_key() == claims.sub;
        own.then_some(Credential { claims, jwt, seed })
    }

    /// Whether the credential says what one that is made now would.
    pub(super) fn is_current(&self, tenant: &Tenant, credential: &Credential) -> bool {
        Rights { tags: Vec::new(), ..credential.claims.nats.clone() } == self.tentacles(tenant)
    }

    fn tentacles(&self, tenant: &Tenant) -> Rights {
        let own = Subjects::only(own(tenant));
        let mut publish = own.clone();
        if self.streams {
            publish.allow.extend(STREAMS.map(str::to_owned));
        }
        self.rights(publish, own)
    }

    fn rights(&self, publish: Subjects, subscribe: Subjects) -> Rights {
        Rights {
            kind: "user".to_owned(),
            version: 2,
            issuer_account: (self.key.public_key() != self.account).then(|| self.account.clone()),
            publish,
            subscribe,
            subs: UNLIMITED,
            data: UNLIMITED,
            payload: UNLIMITED,
            tags: Vec::new(),
        }
    }

    fn sign(
        &self,
        name: String,
        nats: Rights,
        issued: DateTime<Utc>,
        expires: DateTime<Utc>,
    ) -> Result<Credential, Failure> {
        let user = KeyPair::new(KeyPairType::User);
        let claims = Claims {
            jti: token::jti(),
            iat: issued.timestamp(),
            exp: expires.timestamp(),
            iss: self.key.public_key(),
            sub: user.public_key(),
            name,
            nats,
        };
        Ok(Credential { jwt: token::encode(&self.key, &claims)?, seed: user.seed()?, claims })
    }
}

impl Subjects {
    fn only<const N: usize>(allow: [impl Into<String>; N]) -> Self {
        Self { allow: allow.map(Into::into).into(), deny: Vec::new() }
    }
}

impl Credential {
    /// It as a credentials file.
    pub(super) fn creds(&self) -> String {
        let part = |[begin, end]: [&str; 2], text: &str| format!("{begin}\n{text}\n{end}\n");
        format!("{}\n{}", part(JWT, &self.jwt), part(SEED, &self.seed))
    }

    /// Public key of the account that it is for.
    pub(super) fn account(&self) -> &str {
        self.claims.nats.issuer_account.as_deref().unwrap_or(&self.claims.iss)
    }

    /// When the credential was issued.
    pub(super) fn issued(&self) -> DateTime<Utc> {
        at(self.claims.iat)
    }

    /// Whether it needs no renewal: not less than the last third of its time is left.
    pub(super) fn lasts(&self, lifetime: TimeDelta, now: DateTime<Utc>) -> bool {
        self.expires() - now > lifetime / LAST_PART
    }

    /// When the credential expires.
    pub(super) fn expires(&self) -> DateTime<Utc> {
        at(self.claims.exp)
    }

    /// The credentials that it replaced and that have not expired.
    pub(super) fn replaced(&self, now: DateTime<Utc>) -> Vec<User> {
        let named = self.claims.nats.tags.iter().filter_map(|tag| {
            let (key, expires) = tag.strip_prefix(REPLACES)?.strip_prefix(':')?.split_once(':')?;
            Some(User { key: key.to_owned(), expires: at(expires.parse().ok()?) })
        });
        named.filter(|user| user.expires > now).collect()
    }

    /// Those, and itself where it has not expired either.
    pub(super) fn users(&self, now: DateTime<Utc>) -> Vec<User> {
        let mut users = self.replaced(now);
        if self.expires() > now {
            users.push(User { key: self.claims.sub.clone(), expires: self.expires() });
        }
        users
    }
}

/// Public key of the account that a credentials file is for, by its own word.
pub(super) fn account_of(creds: &str) -> Option<String> {
    let claims: Claims = token::decode(&part(creds, JWT)?)?;
    Some(claims.nats.issuer_account.unwrap_or(claims.iss))
}

/// Whether one of these keys, of which these are the public parts, signed the token of a credentials file.
pub(super) fn is_signed_by_one(creds: &str, keys: &BTreeSet<String>) -> bool {
    let Some(jwt) = part(creds, JWT) else { return false };
    keys.iter().filter_map(|key| KeyPair::from_public_key(key).ok()).any(|key| token::is_signed_by(&jwt, &key))
}

/// What stands between two lines of a credentials file.
fn part(creds: &str, [begin, end]: [&str; 2]) -> Option<String> {
    let (_, rest) = creds.split_once(begin)?;
    Some(rest.split_once(end)?.0.trim().to_owned())
}

pub(super) fn at(second: i64) -> DateTime<Utc> {
    DateTime::from_timestamp(second, 0).unwrap_or_default()
}
