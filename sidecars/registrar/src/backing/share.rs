//! What a tentacle is given of a service.

use std::{collections::BTreeMap, fmt};

use serde_json::Value;
use tentacular_contract::backing::Service;

use super::network::Whereabouts;

/// The fields that say where the share is.
const PLACE: [&str; 8] = ["host", "port", "database", "schema", "url", "auth_method", "endpoint", "bucket"];

/// What a Secret holds for one service: names of fields with their values.
pub(crate) type Fields = BTreeMap<String, String>;

// No `Debug`, as it holds a credential.
/// A tentacle's share of a service: everything that is needed to use it.
pub(crate) struct Share {
    pub(crate) service: Service,
    /// Where it is used.
    pub(crate) endpoint: Endpoint,
    /// How network policies name that.
    pub(crate) whereabouts: Whereabouts,
    /// What the tentacle's Secrets say of it, the credential included.
    pub(crate) fields: Fields,
    /// What its contract says of it, the credential not included.
    pub(crate) contract: Vec<(&'static str, Value)>,
    /// Whether the service does not know the credential yet.
    pub(crate) fresh: bool,
}

/// Where a service is, as tentacles reach it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Endpoint {
    /// A DNS name or an address.
    pub(crate) host: String,
    pub(crate) port: u16,
}

impl Share {
    /// A field, empty where there is none.
    pub(crate) fn field(&self, name: &str) -> &str {
        self.fields.get(name).map_or("", String::as_str)
    }

    /// Whether it is where the Secret says that the tentacle has its data.
    pub(crate) fn is_in_place_of(&self, current: &Fields) -> bool {
        PLACE.iter().all(|name| self.fields.get(*name) == current.get(*name))
    }
}

/// As `host:port`, an IPv6 address in brackets.
impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { host, port } = self;
        if host.contains(':') { write!(f, "[{host}]:{port}") } else { write!(f, "{host}:{port}") }
    }
}
