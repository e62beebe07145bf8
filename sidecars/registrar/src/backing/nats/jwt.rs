//! What a tentacle connects with: a token about its key (NATS JWT, version 2), signed by a signing key of the account, and the
//! seed of that key.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use chrono::{DateTime, TimeDelta, Utc};
use nkeys::{KeyPair, KeyPairType};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use uuid::Uuid;

use crate::backing::{service::Failure, tenant::Tenant};

/// No limit.
const UNLIMITED: i64 = -1;
/// What a tag begins with that names a credential which this one replaces, with the second in which that expires.
const REPLACES: &str = "replaces";
/// Lines of a credentials file, as all clients read it.
const JWT: [&str; 2] = ["-----BEGIN NATS USER JWT-----", "------END NATS USER JWT------"];
const SEED: [&str; 2] = ["-----BEGIN USER NKEY SEED-----", "------END USER NKEY SEED------"];

/// Makes users of an account.
pub(super) struct Signer {
    /// Public key of the account.
    pub(super) account: String,
    /// One of its signing keys, or its own key.
    pub(super) key: KeyPair,
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

impl Signer {
    /// A credential that is good for the tentacle's own subjects, until `expires`. It replaces these users.
    ///
    /// It may not answer whoever asks (`resp`): who publishes to itself with another's subject for the reply could then answer
    /// there.
    pub(super) fn issue(
        &self,
        tenant: &Tenant,
        replaced: &[User],
        (now, expires): (DateTime<Utc>, DateTime<Utc>),
    ) -> Result<Credential, Failure> {
        let tags = replaced.iter().map(|user| format!("{REPLACES}:{}:{}", user.key, user.expires.timestamp()));
        let rights = Rights { tags: tags.collect(), ..self.rights(own(tenant)) };
        self.sign(tenant.to_string(), rights, now, expires)
    }

    /// A credential that is good for nothing but connecting, for some minutes.
    pub(super) fn issue_idle(&self, name: &str, now: DateTime<Utc>) -> Result<Credential, Failure> {
        let nothing = Subjects { deny: vec![">".to_owned()], ..Subjects::default() };
        self.sign(name.to_owned(), self.rights(nothing), now, now + TimeDelta::minutes(10))
    }

    /// The credential in this text, if this signer made it for the tentacle.
    pub(super) fn read(&self, tenant: &Tenant, creds: &str) -> Option<Credential> {
        let part = |[begin, end]: [&str; 2]| {
            let (_, rest) = creds.split_once(begin)?;
            Some(rest.split_once(end)?.0.trim().to_owned())
        };
        let (jwt, seed) = (part(JWT)?, part(SEED)?);
        let (signed, signature) = jwt.rsplit_once('.')?;
        self.key.verify(signed.as_bytes(), &URL_SAFE_NO_PAD.decode(signature).ok()?).ok()?;
        let claims: Claims = decode(&jwt)?;
        let own = claims.name == tenant.to_string() && KeyPair::from_seed(&seed).ok()?.public_key() == claims.sub;
        own.then_some(Credential { claims, jwt, seed })
    }

    /// Whether the credential says what one that is made now would.
    pub(super) fn is_current(&self, tenant: &Tenant, credential: &Credential) -> bool {
        Rights { tags: Vec::new(), ..credential.claims.nats.clone() } == self.rights(own(tenant))
    }

    fn rights(&self, subjects: Subjects) -> Rights {
        Rights {
            kind: "user".to_owned(),
            version: 2,
            issuer_account: (self.key.public_key() != self.account).then(|| self.account.clone()),
            publish: subjects.clone(),
            subscribe: subjects,
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
        now: DateTime<Utc>,
        expires: DateTime<Utc>,
    ) -> Result<Credential, Failure> {
        let user = KeyPair::new(KeyPairType::User);
        let claims = Claims {
            jti: jti(),
            iat: now.timestamp(),
            exp: expires.timestamp(),
            iss: self.key.public_key(),
            sub: user.public_key(),
            name,
            nats,
        };
        Ok(Credential { jwt: encode(&self.key, &claims)?, seed: user.seed()?, claims })
    }
}

fn own(tenant: &Tenant) -> Subjects {
    Subjects { allow: vec![subjects(tenant), format!("{}.>", inbox_prefix(tenant))], ..Subjects::default() }
}

impl Credential {
    /// It as a credentials file.
    pub(super) fn creds(&self) -> String {
        creds_file(&self.jwt, &self.seed)
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

/// A credentials file.
pub(super) fn creds_file(jwt: &str, seed: &str) -> String {
    let part = |[begin, end]: [&str; 2], text: &str| format!("{begin}\n{text}\n{end}\n");
    format!("{}\n{}", part(JWT, jwt), part(SEED, seed))
}

fn at(second: i64) -> DateTime<Utc> {
    DateTime::from_timestamp(second, 0).unwrap_or_default()
}

/// An id for a token, which no other has: a server leaves a token alone that has the id of the one it knows.
pub(super) fn jti() -> String {
    Uuid::new_v4().simple().to_string()
}

/// A token that says `claims`.
pub(super) fn encode(key: &KeyPair, claims: &impl Serialize) -> Result<String, Failure> {
    let part = |json: String| URL_SAFE_NO_PAD.encode(json);
    let claims = serde_json::to_string(claims).unwrap_or_default();
    let signed = format!("{}.{}", part(r#"{"typ":"JWT","alg":"ed25519-nkey"}"#.to_owned()), part(claims));
    let signature = URL_SAFE_NO_PAD.encode(key.sign(signed.as_bytes())?);
    Ok(format!("{signed}.{signature}"))
}

impl From<nkeys::error::Error> for Failure {
    fn from(error: nkeys::error::Error) -> Self {
        Self::Refused(format!("a key signs nothing: {error}"))
    }
}

/// What a token says, whoever signed it.
pub(super) fn decode<T: DeserializeOwned>(jwt: &str) -> Option<T> {
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(jwt.split('.').nth(1)?).ok()?).ok()
}
