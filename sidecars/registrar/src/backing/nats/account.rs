//! Revoking users: the account's own token names them, signed again by the operator, and the server is told by a user of the
//! system account.

use async_nats::{Client, RequestError, RequestErrorKind};
use chrono::{DateTime, Utc};
use nkeys::KeyPair;
use serde_json::{Value, json};

use super::{
    connect::{Admission, Server},
    jwt::{self, User},
};
use crate::backing::{service::Failure, setting::Password};

/// How often it is tried to change the account until the change is found in it: another registrar may change it at the same
/// time, and the last one wins.
const ATTEMPTS: u32 = 4;

/// Who may change accounts.
pub(super) struct Authority {
    operator: KeyPair,
    /// Of a user of the system account.
    creds: Password,
}

impl Authority {
    /// An operator's key, and the creds file of a user of the system account.
    pub(super) const fn new(operator: KeyPair, creds: Password) -> Self {
        Self { operator, creds }
    }

    /// Sees whether the account can be read.
    pub(super) async fn probe(&self, server: &Server, account: &str) -> Result<(), Failure> {
        self.look_up(&self.connect(server).await?, account).await.map(drop)
    }

    /// Revokes the users, and has their connections cut. One call at a time.
    pub(super) async fn revoke(
        &self,
        server: &Server,
        account: &str,
        users: &[User],
        now: DateTime<Utc>,
    ) -> Result<(), Failure> {
        let client = self.connect(server).await?;
        for _ in 0..ATTEMPTS {
            let mut claims = self.look_up(&client, account).await?;
            if !add(&mut claims, users) {
                return Ok(());
            }
            // Of two that say the same time, servers may keep the other one.
            claims["iat"] = now.timestamp().max(claims["iat"].as_i64().unwrap_or_default().saturating_add(1)).into();
            claims["jti"] = jwt::jti().into();
            let token = jwt::encode(&self.operator, &claims)?;
            let answer = client.request("$SYS.REQ.CLAIMS.UPDATE", token.into()).await?;
            let answer: Value = serde_json::from_slice(&answer.payload).unwrap_or_default();
            if answer["data"]["code"] != 200 {
                let why = answer["error"]["description"].as_str().unwrap_or("without saying why");
                return Err(Failure::Refused(format!("it refuses the changed account {account}: {why}")));
            }
        }
        Err(Failure::Unavailable(format!("somebody else changes the account {account} at the same time")))
    }

    /// What the account's token says. It must be signed by the key that is to sign the next: servers keep one that they cannot
    /// use, and then the account is lost.
    async fn look_up(&self, client: &Client, account: &str) -> Result<Value, Failure> {
        let subject = format!("$SYS.REQ.ACCOUNT.{account}.CLAIMS.LOOKUP");
        let token = client.request(subject, "".into()).await?;
        let claims: Option<Value> = std::str::from_utf8(&token.payload).ok().and_then(jwt::decode);
        let claims = claims.filter(|claims| claims["sub"] == account && claims["nats"].is_object());
        let claims = claims.ok_or_else(|| Failure::Refused(format!("it knows no account {account}")))?;
        if claims["iss"] == self.operator.public_key() {
            return Ok(claims);
        }
        Err(Failure::Refused(format!(
            "the account {account} is signed by {}; give the seed of that key as operator_key",
            claims["iss"].as_str().unwrap_or("nobody")
        )))
    }

    async fn connect(&self, server: &Server) -> Result<Client, Failure> {
        let connected = server.connect(Admission::Creds(&self.creds.0)).await;
        connected.map_err(|failure| Failure::Unavailable(format!("by system_creds: {failure}")))
    }
}

/// Adds the users to those that are revoked. Returns whether one was not there.
fn add(claims: &mut Value, users: &[User]) -> bool {
    let revoked = &mut claims["nats"]["revocations"];
    if !revoked.is_object() {
        *revoked = json!({});
    }
    let mut added = false;
    for user in users {
        // The second up to which its tokens are revoked, whatever the clock said when they were signed.
        let until = user.expires.timestamp();
        if revoked[&user.key].as_i64() < Some(until) {
            revoked[&user.key] = until.into();
            added = true;
        }
    }
    added
}

impl From<RequestError> for Failure {
    fn from(error: RequestError) -> Self {
        if error.kind() == RequestErrorKind::NoResponders {
            let needs = "it takes no changes of accounts: that needs system_creds of a user of the system account, and a resolver \
                         of type full";
            return Self::Refused(needs.to_owned());
        }
        Self::Unavailable(format!("the account: {error}"))
    }
}
