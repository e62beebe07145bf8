//! An operator of NATS servers with one account: the keys, and the tokens that they sign (NATS JWT, version 2).

use std::{
    fmt,
    path::Path,
    time::{SystemTime, UNIX_EPOCH},
};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use nkeys::KeyPair;
use serde_json::{Value, json};

/// No limit.
const UNLIMITED: i64 = -1;

/// An operator, its system account, and one account with a signing key.
pub struct Operator {
    own: KeyPair,
    system: KeyPair,
    account: KeyPair,
    signing: KeyPair,
}

/// What a client connects with.
#[derive(Clone)]
pub struct User {
    /// Its token.
    pub jwt: String,
    /// The seed of its key.
    pub seed: String,
}

impl User {
    /// Both as the text of a creds file.
    pub fn creds(&self) -> String {
        let Self { jwt, seed } = self;
        format!(
            "-----BEGIN NATS USER JWT-----\n{jwt}\n------END NATS USER JWT------\n\n\
             -----BEGIN USER NKEY SEED-----\n{seed}\n------END USER NKEY SEED------\n"
        )
    }
}

impl Operator {
    /// New keys.
    pub(super) fn new() -> Self {
        Self {
            own: KeyPair::new_operator(),
            system: KeyPair::new_account(),
            account: KeyPair::new_account(),
            signing: KeyPair::new_account(),
        }
    }

    /// Public key of the account that tentacles are users of.
    pub fn account(&self) -> String {
        self.account.public_key()
    }

    /// Seed of the account's signing key, which makes users.
    pub fn signing_seed(&self) -> anyhow::Result<String> {
        Ok(self.signing.seed()?)
    }

    /// Seed of the operator's key, which makes accounts and changes them.
    pub fn operator_seed(&self) -> anyhow::Result<String> {
        Ok(self.own.seed()?)
    }

    /// A user of the account who may publish to, and subscribe to, these subjects alone.
    pub fn user(&self, subjects: &[&str]) -> anyhow::Result<User> {
        self.user_of(&self.account(), subjects)
    }

    /// The same of another account whose users the signing key makes.
    pub fn user_of(&self, account: &str, subjects: &[&str]) -> anyhow::Result<User> {
        let subjects = json!({ "allow": subjects });
        user(&self.signing, &json!({ "issuer_account": account, "pub": subjects, "sub": subjects }))
    }

    /// A user of the system account, who may change accounts.
    pub fn system_user(&self) -> anyhow::Result<User> {
        user(&self.system, &json!({}))
    }

    /// What a server is told to trust it. The server keeps accounts in `folder`.
    pub(super) fn server_settings(&self, folder: &Path) -> anyhow::Result<Value> {
        let (system, account) = (self.system.public_key(), self.account());
        let trusted = json!({ "type": "operator", "version": 2, "system_account": system });
        let limits = json!({
            "subs": UNLIMITED, "data": UNLIMITED, "payload": UNLIMITED, "imports": UNLIMITED, "exports": UNLIMITED,
            "conn": UNLIMITED, "leaf": UNLIMITED, "wildcards": true,
        });
        let mut with_streams = limits.clone();
        for limit in ["mem_storage", "disk_storage", "streams", "consumer"] {
            with_streams[limit] = UNLIMITED.into();
        }
        let as_account = |limits: Value, keys: &[String]| json!({ "type": "account", "version": 2, "limits": limits, "signing_keys": keys });
        let system_jwt = sign(&self.own, &system, &as_account(limits, &[]))?;
        let account_jwt = sign(&self.own, &account, &as_account(with_streams, &[self.signing.public_key()]))?;
        Ok(json!({
            "operator": sign(&self.own, &self.own.public_key(), &trusted)?,
            "system_account": system,
            "resolver": { "type": "full", "dir": folder, "allow_delete": true },
            "resolver_preload": { (system): system_jwt, (account): account_jwt },
        }))
    }
}

impl fmt::Debug for Operator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Operator").field("account", &self.account()).finish_non_exhaustive()
    }
}

impl fmt::Debug for User {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("User").finish_non_exhaustive()
    }
}

fn user(issuer: &KeyPair, claims: &Value) -> anyhow::Result<User> {
    let key = KeyPair::new_user();
    let mut nats =
        json!({ "type": "user", "version": 2, "subs": UNLIMITED, "data": UNLIMITED, "payload": UNLIMITED });
    for (name, value) in claims.as_object().into_iter().flatten() {
        nats[name] = value.clone();
    }
    Ok(User { jwt: sign(issuer, &key.public_key(), &nats)?, seed: key.seed()? })
}

/// A token about `subject`.
fn sign(issuer: &KeyPair, subject: &str, nats: &Value) -> anyhow::Result<String> {
    let encode = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let header = encode(&json!({ "typ": "JWT", "alg": "ed25519-nkey" }));
    let now = SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs();
    let claims = json!({ "iat": now, "iss": issuer.public_key(), "sub": subject, "name": subject, "nats": nats });
    let signed = format!("{header}.{}", encode(&claims));
    let signature = URL_SAFE_NO_PAD.encode(issuer.sign(signed.as_bytes())?);
    Ok(format!("{signed}.{signature}"))
}
