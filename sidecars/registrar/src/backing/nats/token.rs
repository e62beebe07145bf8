//! Tokens as NATS has them (NATS JWT, version 2): claims, signed by an nkey.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use nkeys::KeyPair;
use serde::{Serialize, de::DeserializeOwned};
use uuid::Uuid;

use crate::backing::service::Failure;

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

/// What a token says, whoever signed it.
pub(super) fn decode<T: DeserializeOwned>(jwt: &str) -> Option<T> {
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(jwt.split('.').nth(1)?).ok()?).ok()
}

/// Whether the key signed it.
pub(super) fn is_signed_by(jwt: &str, key: &KeyPair) -> bool {
    let Some((signed, signature)) = jwt.rsplit_once('.') else { return false };
    let signature = URL_SAFE_NO_PAD.decode(signature);
    signature.is_ok_and(|signature| key.verify(signed.as_bytes(), &signature).is_ok())
}

impl From<nkeys::error::Error> for Failure {
    fn from(error: nkeys::error::Error) -> Self {
        Self::Refused(format!("a key signs nothing: {error}"))
    }
}
