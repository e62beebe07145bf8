//! The keys that an identity provider publishes (RFC 7517), as far as they verify signatures.

use std::collections::HashSet;

use jsonwebtoken::{
    Algorithm, DecodingKey, Validation,
    jwk::{AlgorithmParameters, EllipticCurve, Jwk, KeyOperations, PublicKeyUse},
};
use serde::Deserialize;
use serde_json::Value;

use super::Header;

/// Keys of one provider that are kept: a token that names none of them is tried with each.
const KEYS: usize = 100;

/// Keys of one provider.
#[derive(Debug, Default)]
pub(super) struct KeySet(Vec<Key>);

/// One key, with the algorithms of its own type: a token's header chooses among these, never beyond.
#[derive(Debug)]
pub(super) struct Key {
    id: Option<String>,
    pub(super) public: DecodingKey,
    pub(super) validation: Validation,
}

/// A published set. Each key is read for itself: one of a kind that nobody here knows does not hide the others.
#[derive(Debug, Deserialize)]
struct Published {
    keys: Vec<Value>,
}

impl KeySet {
    /// Reads a published set. Keys that verify no signature are left out, and those after the hundredth.
    pub(super) fn read(json: &[u8]) -> Result<Self, serde_json::Error> {
        let published: Published = serde_json::from_slice(json)?;
        Ok(Self(published.keys.into_iter().filter_map(Key::read).take(KEYS).collect()))
    }

    pub(super) const fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether the key that the header names is here.
    pub(super) fn has(&self, header: &Header) -> bool {
        self.named(header).next().is_some()
    }

    /// The keys that may have signed a token with this header.
    pub(super) fn candidates<'a>(&'a self, header: &'a Header) -> impl Iterator<Item = &'a Key> {
        self.named(header).filter(|key| key.validation.algorithms.contains(&header.algorithm))
    }

    /// The keys of the header's key id; all, where it names none.
    fn named<'a>(&'a self, header: &'a Header) -> impl Iterator<Item = &'a Key> {
        self.0.iter().filter(|key| header.key_id.is_none() || key.id == header.key_id)
    }
}

impl Key {
    fn read(json: Value) -> Option<Self> {
        let jwk: Jwk = serde_json::from_value(json).ok()?;
        if jwk.common.public_key_use.as_ref().is_some_and(|usage| *usage != PublicKeyUse::Signature) {
            return None;
        }
        if jwk.common.key_operations.as_ref().is_some_and(|operations| !operations.contains(&KeyOperations::Verify)) {
            return None;
        }
        let mut algorithms = algorithms(&jwk.algorithm).to_vec();
        if let Some(only) = jwk.common.key_algorithm {
            algorithms.retain(|algorithm| only == (*algorithm).into());
        }
        let first = *algorithms.first()?;
        let mut validation = Validation::new(first);
        validation.algorithms = algorithms;
        // The claims are checked in `claims`, with the time that is passed in.
        validation.required_spec_claims = HashSet::new();
        validation.validate_exp = false;
        validation.validate_aud = false;
        Some(Self { id: jwk.common.key_id.clone(), public: DecodingKey::from_jwk(&jwk).ok()?, validation })
    }
}

/// The algorithms of a kind of key (RFC 7518 section 3.1, RFC 8037 section 3.1). A symmetric key has none here.
const fn algorithms(key: &AlgorithmParameters) -> &'static [Algorithm] {
    use Algorithm::{ES256, ES384, EdDSA, PS256, PS384, PS512, RS256, RS384, RS512};
    match key {
        AlgorithmParameters::RSA(_) => &[RS256, RS384, RS512, PS256, PS384, PS512],
        AlgorithmParameters::EllipticCurve(key) => match key.curve {
            EllipticCurve::P256 => &[ES256],
            EllipticCurve::P384 => &[ES384],
            _ => &[],
        },
        AlgorithmParameters::OctetKeyPair(key) => match key.curve {
            EllipticCurve::Ed25519 => &[EdDSA],
            _ => &[],
        },
        _ => &[],
    }
}
