//! What is known of the backing services. The registrar probes them and writes it to the `ConfigMap`
//! [`keys::BACKING_SERVICES`](crate::keys::BACKING_SERVICES) in the server's namespace, one entry a service; the others
//! read it. Without the `ConfigMap`, or without a service's entry, the service is not configured.

use serde::{Deserialize, Serialize};

use crate::facts::Pairs;

/// A service that tentacles can be given a share of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Service {
    /// A schema of a database.
    Postgres,
    /// Message subjects.
    Nats,
    /// A prefix of a bucket.
    Rustfs,
    /// An identity for mutual TLS.
    Spire,
}

impl Service {
    /// All of them, in the order in which they are shown.
    pub const ALL: [Self; 4] = [Self::Postgres, Self::Nats, Self::Rustfs, Self::Spire];

    /// Its name, which is its entry's key.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Postgres => "postgres",
            Self::Nats => "nats",
            Self::Rustfs => "rustfs",
            Self::Spire => "spire",
        }
    }

    /// What is spoken to it.
    pub const fn protocol(self) -> &'static str {
        match self {
            Self::Postgres => "postgresql",
            Self::Nats => "nats",
            Self::Rustfs => "s3",
            Self::Spire => "spiffe",
        }
    }
}

/// How far tentacles are kept apart in a service.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Isolation {
    /// Each reaches its own share alone.
    Full,
    /// Each has its own share, and can see something of others.
    Partial,
    /// All share one credential.
    None,
}

impl Isolation {
    /// How an entry spells it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Full => "full",
            Self::Partial => "partial",
            Self::None => "none",
        }
    }
}

/// A service as it was found, an entry of the `ConfigMap` as JSON.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Found {
    /// Whether it is switched on.
    pub enabled: bool,
    /// Whether it could be reached and used.
    #[serde(default)]
    pub available: bool,
    /// How far tentacles are kept apart in it, once that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub isolation: Option<Isolation>,
    /// Why it is not available, or not isolated in full; never a credential.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// RFC 3339 time of the probe.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub time: Option<String>,
}

/// An entry that cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("what is written of the backing service {service} cannot be read: {why}", service = .service.as_str())]
pub struct Unreadable {
    /// The service.
    pub service: Service,
    /// Where and what is wrong.
    pub why: String,
}

impl Found {
    /// The entry as it is written.
    pub fn to_entry(&self) -> String {
        serde_json::to_string(self).unwrap_or_default()
    }
}

/// The services that the data of the `ConfigMap` has an entry for, in the order of [`Service::ALL`].
pub fn read(data: &Pairs) -> Vec<Result<(Service, Found), Unreadable>> {
    let entry = |service: Service| {
        let text = data.get(service.as_str())?;
        let found = serde_json::from_str(text).map(|found| (service, found));
        Some(found.map_err(|error| Unreadable { service, why: error.to_string() }))
    };
    Service::ALL.into_iter().filter_map(entry).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_written_is_read() {
        let nats = Found {
            enabled: true,
            available: true,
            isolation: Some(Isolation::None),
            reason: Some("all tentacles share one token".to_owned()),
            time: Some("2026-01-01T00:00:00Z".to_owned()),
        };
        let data = Pairs::from([
            ("rustfs".to_owned(), r#"{"enabled":false}"#.to_owned()),
            ("nats".to_owned(), nats.to_entry()),
            ("postgres".to_owned(), r#"{"enabled":"#.to_owned()),
            ("something".to_owned(), "else".to_owned()),
        ]);
        let off = Found { enabled: false, available: false, isolation: None, reason: None, time: None };
        let read = read(&data);
        assert!(matches!(&read[0], Err(Unreadable { service: Service::Postgres, .. })), "{read:?}");
        assert_eq!(read[1..], [Ok((Service::Nats, nats)), Ok((Service::Rustfs, off))]);
        assert_eq!(super::read(&Pairs::new()), []);
    }

    #[test]
    fn names_are_those_of_the_entries() {
        for service in Service::ALL {
            assert_eq!(serde_json::json!(service), service.as_str());
        }
        for isolation in [Isolation::Full, Isolation::Partial, Isolation::None] {
            assert_eq!(serde_json::json!(isolation), isolation.as_str());
        }
    }
}
