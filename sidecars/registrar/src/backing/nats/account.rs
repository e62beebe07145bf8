//! The account that a tentacle has to itself: what it is called, and what its token says.
//!
//! Servers keep accounts apart: no subject, stream or reply of one reaches another.

use std::collections::BTreeSet;

use data_encoding::BASE32_NOPAD;
use nkeys::KeyPair;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use super::allowance::Allowance;
use crate::backing::tenant::Tenant;

/// Connections of one tentacle at once: its pods, and those of the release before.
const CONNECTIONS: i64 = 100;
/// Subscriptions of one connection.
const SUBSCRIPTIONS: i64 = 1_000;
/// Bytes of one message, as servers have it by default.
const PAYLOAD: i64 = 1 << 20;
/// What an account's name begins with.
const NAMED: &str = "tentacular.";
/// What a tag begins with that says since which second there is the account.
const SINCE: &str = "since:";
/// Kind of an account's public key.
const ACCOUNT: u8 = 0;

/// What an account's token says, apart from whose it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Terms {
    /// Public keys that sign its users. Without any it is closed.
    pub(super) keys: BTreeSet<String>,
    /// Credentials that were issued up to this second are refused.
    pub(super) ended: i64,
    /// The second since which there is one.
    pub(super) since: i64,
    pub(super) allowance: Allowance,
}

/// Public key of the tentacle's account, among those that this installation, told by the account it is configured with, gives.
///
/// It follows from the names, so that it is found again whatever was lost. It is a digest that happens to be a public key, so
/// that nobody has the private one, by which users could be made past the signing key.
pub(super) fn key(configured: &str, tenant: &Tenant) -> String {
    let mut digest = Sha256::digest(format!("tentacular account {configured} {tenant}"));
    loop {
        let mut bytes = vec![ACCOUNT];
        bytes.extend(digest);
        let check = crc16(&bytes);
        bytes.extend(check.to_le_bytes());
        let key = BASE32_NOPAD.encode(&bytes);
        // About every other digest is a point of the curve.
        if KeyPair::from_public_key(&key).is_ok() {
            return key;
        }
        digest = Sha256::digest(digest);
    }
}

/// CRC-16/XMODEM, by which nkeys are checked.
fn crc16(bytes: &[u8]) -> u16 {
    let shifted = |crc: u16| if crc & 0x8000 == 0 { crc << 1 } else { (crc << 1) ^ 0x1021 };
    bytes.iter().fold(0, |crc, byte| (0..8).fold(crc ^ (u16::from(*byte) << 8), |crc, _| shifted(crc)))
}

/// Name of the tentacle's account.
pub(super) fn name(tenant: &Tenant) -> String {
    format!("{NAMED}{}.{}", tenant.enclave, tenant.tentacle)
}

/// Whose account it is by its name, if it is a tentacle's.
pub(super) fn holder(claims: &Value) -> Option<Tenant> {
    // Neither name has a dot.
    claims["name"].as_str()?.strip_prefix(NAMED)?.replacen('.', "/", 1).parse().ok()
}

impl Terms {
    /// Those of an account that there is none of yet, in which nothing that was issued up to the second `ended` counts.
    pub(super) const fn new(ended: i64) -> Self {
        Self { keys: BTreeSet::new(), ended, since: ended, allowance: Allowance::NONE }
    }

    /// What the token of a tentacle's account says.
    pub(super) fn read(claims: &Value) -> Self {
        let nats = &claims["nats"];
        let texts = |value: &Value| -> Vec<String> { serde_json::from_value(value.clone()).unwrap_or_default() };
        let limit = |name: &str| nats["limits"][name].as_i64().unwrap_or_default();
        let since = texts(&nats["tags"]).iter().find_map(|tag| tag.strip_prefix(SINCE)?.parse().ok());
        Self {
            keys: texts(&nats["signing_keys"]).into_iter().collect(),
            ended: nats["revocations"]["*"].as_i64().unwrap_or_default(),
            since: since.or_else(|| claims["iat"].as_i64()).unwrap_or_default(),
            allowance: Allowance {
                disk: limit("disk_storage"),
                memory: limit("mem_storage"),
                streams: limit("streams"),
                consumers: limit("consumer"),
            },
        }
    }

    /// Whether nobody is admitted, and nobody is to be.
    pub(super) fn is_closed(&self) -> bool {
        self.keys.is_empty()
    }

    /// What the token of the tentacle's account is to say.
    pub(super) fn claims(&self, key: &str, tenant: &Tenant) -> Value {
        let Self { keys, ended, since, allowance } = self;
        let unless_closed = |limit: i64| if keys.is_empty() { 0 } else { limit };
        json!({
            "sub": key,
            "name": name(tenant),
            "nats": {
                "type": "account",
                "version": 2,
                "limits": {
                    "subs": unless_closed(SUBSCRIPTIONS),
                    "data": unless_closed(-1),
                    "payload": unless_closed(PAYLOAD),
                    "conn": unless_closed(CONNECTIONS),
                    "leaf": 0,
                    "imports": 0,
                    "exports": 0,
                    "wildcards": false,
                    "disk_storage": allowance.disk,
                    "mem_storage": allowance.memory,
                    "streams": allowance.streams,
                    "consumer": allowance.consumers,
                },
                "signing_keys": keys,
                "revocations": { "*": ended },
                "tags": [format!("{SINCE}{since}")],
            },
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_account_is_found_by_the_names_alone() {
        let configured = KeyPair::new_account().public_key();
        let tenants = Tenant::hostile();
        let keys: BTreeSet<_> = tenants.iter().map(|tenant| key(&configured, tenant)).collect();
        assert_eq!(keys.len(), tenants.len());
        for tenant in &tenants {
            let own = key(&configured, tenant);
            assert_eq!(own, key(&configured, tenant));
            assert_ne!(own, key("another installation's", tenant));
            let pair = KeyPair::from_public_key(&own).unwrap();
            assert!(pair.key_pair_type() == nkeys::KeyPairType::Account && pair.public_key() == own);
            let claims = Terms::new(0).claims(&own, tenant);
            assert_eq!(holder(&claims).as_ref(), Some(tenant));
        }
        // A key that was given is looked for again: another rule would lose what is there.
        let known = key("A", &"team-a/report".parse().unwrap());
        assert_eq!(known, "AANP65FJ4G6Z53VBZRKOOEASBOAD2T5RY6B4H6Y7GDXC3L7SH7QOSJFS");
        for name in ["", "tentacular.", "tentacular.a", "tentacular.a.b.c", "mine.a.b", "tentacular.A.b"] {
            assert_eq!(holder(&json!({ "name": name })), None, "{name}");
        }
    }

    #[test]
    fn what_a_token_says_is_read_again() {
        let terms = Terms {
            keys: ["AB".to_owned(), "AC".to_owned()].into(),
            ended: 17,
            allowance: Allowance { disk: 5, memory: 4, streams: 3, consumers: 2 },
            ..Terms::new(9)
        };
        let tenant = "team-a/report".parse().unwrap();
        assert_eq!(Terms::read(&terms.claims("A", &tenant)), terms);
        let unknown = Terms::read(&json!({ "iat": 7, "nats": {} }));
        assert!(unknown.is_closed() && unknown.since == 7, "{unknown:?}");
    }
}
