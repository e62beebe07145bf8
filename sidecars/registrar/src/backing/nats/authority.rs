//! Who may change accounts: the operator's key signs what an account's token says, and a user of the system account tells the
//! server.

use chrono::{DateTime, Utc};
use nkeys::KeyPair;
use serde_json::{Value, json};

use super::{
    connect::{Admission, Connection, Server},
    jwt::User,
    token,
};
use crate::backing::{service::Failure, setting::Password};

/// How often it is tried to change the account that others change too, until the change is found in it: the last one wins.
const ATTEMPTS: u32 = 4;

/// What is said where nobody answers for accounts.
const NO_CHANGES: &str = "it takes no changes of accounts: that needs system_creds of a user of the system account, and a resolver of \
                          type full";

/// Who may change accounts.
pub(super) struct Authority {
    operator: KeyPair,
    /// Of a user of the system account.
    creds: Password,
}

/// A connection by which accounts are read and changed.
pub(super) struct System<'a> {
    connection: Connection,
    operator: &'a KeyPair,
}

impl Authority {
    /// An operator's key, and the creds file of a user of the system account.
    pub(super) const fn new(operator: KeyPair, creds: Password) -> Self {
        Self { operator, creds }
    }

    /// A connection. The configured `account` shows that the server trusts the operator's key, which must have signed it: servers
    /// keep a token that they cannot use, and then an account is lost.
    pub(super) async fn connect(&self, server: &Server, account: &str) -> Result<System<'_>, Failure> {
        let connected = server.connect(Admission::Creds(&self.creds.0)).await;
        let connection = connected.map_err(|failure| Failure::Unavailable(format!("by system_creds: {failure}")))?;
        let system = System { connection, operator: &self.operator };
        system.require(account).await?;
        Ok(system)
    }
}

impl System<'_> {
    /// What the account's token says, if the server knows the account.
    pub(super) async fn find(&self, account: &str) -> Result<Option<Value>, Failure> {
        let subject = format!("$SYS.REQ.ACCOUNT.{account}.CLAIMS.LOOKUP");
        let token = self.request(subject, String::new()).await?;
        let claims: Option<Value> = std::str::from_utf8(&token).ok().and_then(token::decode);
        Ok(claims.filter(|claims| claims["sub"] == account && claims["nats"].is_object()))
    }

    /// The accounts that the server knows.
    pub(super) async fn list(&self) -> Result<Vec<String>, Failure> {
        let answer = self.ask("$SYS.REQ.CLAIMS.LIST", String::new()).await?;
        serde_json::from_value(answer["data"].clone())
            .map_err(|_| Failure::Refused(format!("it lists no accounts: {}", reason(&answer))))
    }

    /// Makes the account so, where its token as it was `found` says otherwise. Returns whether it did.
    pub(super) async fn put(
        &self,
        found: Option<&Value>,
        mut claims: Value,
        now: DateTime<Utc>,
    ) -> Result<bool, Failure> {
        claims["iss"] = self.operator.public_key().into();
        let found = found.unwrap_or(&Value::Null);
        if ["iss", "name", "nats"].into_iter().all(|member| found[member] == claims[member]) {
            return Ok(false);
        }
        // Of two that say the same time, servers may keep the other one.
        claims["iat"] = now.timestamp().max(found["iat"].as_i64().unwrap_or_default().saturating_add(1)).into();
        claims["jti"] = token::jti().into();
        let answer = self.ask("$SYS.REQ.CLAIMS.UPDATE", token::encode(self.operator, &claims)?).await?;
        if answer["data"]["code"] == 200 {
            return Ok(true);
        }
        let account = claims["sub"].as_str().unwrap_or_default();
        Err(Failure::Refused(format!("it refuses the changed account {account}: {}", reason(&answer))))
    }

    /// Deletes the account, if the server lets accounts be deleted. Returns whether it does.
    pub(super) async fn delete(&self, account: &str, now: DateTime<Utc>) -> Result<bool, Failure> {
        let operator = self.operator.public_key();
        let claims = json!({
            "jti": token::jti(),
            "iat": now.timestamp(),
            "iss": operator,
            "sub": operator,
            "nats": { "type": "generic", "version": 2, "accounts": [account] },
        });
        let answer = self.ask("$SYS.REQ.CLAIMS.DELETE", token::encode(self.operator, &claims)?).await?;
        Ok(answer["data"]["code"] == 200)
    }

    /// Revokes users of an account that is not one tentacle's, and has their connections cut. One call at a time.
    pub(super) async fn revoke(&self, account: &str, users: &[User], now: DateTime<Utc>) -> Result<(), Failure> {
        for _ in 0..ATTEMPTS {
            let found = self.require(account).await?;
            if !self.put(Some(&found), revoking(found.clone(), users), now).await? {
                return Ok(());
            }
        }
        Err(Failure::Unavailable(format!("somebody else changes the account {account} at the same time")))
    }

    /// Whether the server has `JetStream`.
    pub(super) async fn has_streams(&self) -> Result<bool, Failure> {
        let server = self.connection.server_id();
        let answer = self.ask(&format!("$SYS.REQ.SERVER.{server}.JSZ"), String::new()).await?;
        Ok(answer["data"].is_object() && answer["data"]["disabled"] != true)
    }

    /// What the account's token says, which the operator's key must have signed.
    async fn require(&self, account: &str) -> Result<Value, Failure> {
        let claims = self.find(account).await?;
        let claims = claims.ok_or_else(|| Failure::Refused(format!("it knows no account {account}")))?;
        if claims["iss"] == self.operator.public_key() {
            return Ok(claims);
        }
        Err(Failure::Refused(format!(
            "the account {account} is signed by {}; give the seed of that key as operator_key",
            claims["iss"].as_str().unwrap_or("nobody")
        )))
    }

    async fn ask(&self, subject: &str, payload: String) -> Result<Value, Failure> {
        let answer = self.request(subject.to_owned(), payload).await?;
        Ok(serde_json::from_slice(&answer).unwrap_or_default())
    }

    async fn request(&self, subject: String, payload: String) -> Result<Vec<u8>, Failure> {
        let answer = self.connection.request(subject, payload).await;
        let answer = answer.map_err(|why| Failure::Unavailable(format!("the account: {why}")))?;
        let answer = answer.ok_or_else(|| Failure::Refused(NO_CHANGES.to_owned()))?;
        Ok(answer.payload.into())
    }
}

/// Why the server does not do what it is asked for.
fn reason(answer: &Value) -> &str {
    answer["error"]["description"].as_str().unwrap_or("without saying why")
}

/// The claims, with the users among those that are revoked.
fn revoking(mut claims: Value, users: &[User]) -> Value {
    let revoked = &mut claims["nats"]["revocations"];
    if !revoked.is_object() {
        *revoked = json!({});
    }
    for user in users {
        // The second up to which its tokens are revoked, whatever the clock said when they were signed.
        let until = user.expires.timestamp();
        if revoked[&user.key].as_i64() < Some(until) {
            revoked[&user.key] = until.into();
        }
    }
    claims
}
