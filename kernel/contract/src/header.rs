//! How the kernel's two headers carry a value: JSON as base64url without padding (RFC 4648 section 5).

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use serde::{Serialize, de::DeserializeOwned};

/// A header value that does not hold what it should.
#[derive(Debug, thiserror::Error)]
#[error("malformed header: {0}")]
pub struct Malformed(pub(crate) String);

pub(crate) fn encode(value: &impl Serialize) -> String {
    let json = serde_json::to_vec(value).unwrap_or_default();
    URL_SAFE_NO_PAD.encode(json)
}

pub(crate) fn decode<T: DeserializeOwned>(text: &str) -> Result<T, Malformed> {
    let json = URL_SAFE_NO_PAD.decode(text).map_err(|error| Malformed(error.to_string()))?;
    serde_json::from_slice(&json).map_err(|error| Malformed(error.to_string()))
}
