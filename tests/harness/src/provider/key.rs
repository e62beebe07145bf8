//! Signing keys of every kind that a provider may have, and JSON Web Signatures made with them.

use std::{
    fmt,
    io::ErrorKind,
    process::Command,
    sync::{Arc, Once},
};

use anyhow::{Context as _, anyhow, ensure};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use ring::{
    hmac,
    rand::SystemRandom,
    rsa::PublicKeyComponents,
    signature::{
        ECDSA_P256_SHA256_FIXED_SIGNING, ECDSA_P384_SHA384_FIXED_SIGNING, EcdsaKeyPair, EcdsaSigningAlgorithm,
        Ed25519KeyPair, KeyPair as _, RSA_PKCS1_SHA256, RSA_PKCS1_SHA384, RSA_PKCS1_SHA512, RSA_PSS_SHA256,
        RSA_PSS_SHA384, RSA_PSS_SHA512, RsaEncoding, RsaKeyPair,
    },
};
use rustls::pki_types::{PrivatePkcs8KeyDer, pem::PemObject as _};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use crate::say::say;

/// A signature algorithm, by its name in RFC 7518 section 3.1 and RFC 8037.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names are the standard's")]
pub enum Algorithm {
    Es256,
    Es384,
    EdDsa,
    Rs256,
    Rs384,
    Rs512,
    Ps256,
    Ps384,
    Ps512,
    Hs256,
}

impl Algorithm {
    /// The value of `alg`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Es256 => "ES256",
            Self::Es384 => "ES384",
            Self::EdDsa => "EdDSA",
            Self::Rs256 => "RS256",
            Self::Rs384 => "RS384",
            Self::Rs512 => "RS512",
            Self::Ps256 => "PS256",
            Self::Ps384 => "PS384",
            Self::Ps512 => "PS512",
            Self::Hs256 => "HS256",
        }
    }

    fn rsa(self) -> Option<&'static dyn RsaEncoding> {
        match self {
            Self::Rs256 => Some(&RSA_PKCS1_SHA256),
            Self::Rs384 => Some(&RSA_PKCS1_SHA384),
            Self::Rs512 => Some(&RSA_PKCS1_SHA512),
            Self::Ps256 => Some(&RSA_PSS_SHA256),
            Self::Ps384 => Some(&RSA_PSS_SHA384),
            Self::Ps512 => Some(&RSA_PSS_SHA512),
            Self::Es256 | Self::Es384 | Self::EdDsa | Self::Hs256 => None,
        }
    }
}

/// A key that signs by one algorithm. Clones share the key.
#[derive(Clone)]
pub struct Key {
    id: String,
    algorithm: Algorithm,
    secret: Arc<Secret>,
}

enum Secret {
    P256(EcdsaKeyPair),
    P384(EcdsaKeyPair),
    Ed25519(Ed25519KeyPair),
    Rsa(RsaKeyPair),
    Shared(Vec<u8>),
}

impl Key {
    /// A new key on the curve P-256.
    pub fn es256() -> anyhow::Result<Self> {
        Ok(Self::new(Algorithm::Es256, Secret::P256(ecdsa(&ECDSA_P256_SHA256_FIXED_SIGNING)?)))
    }

    /// A new key on the curve P-384.
    pub fn es384() -> anyhow::Result<Self> {
        Ok(Self::new(Algorithm::Es384, Secret::P384(ecdsa(&ECDSA_P384_SHA384_FIXED_SIGNING)?)))
    }

    /// A new key on the curve Ed25519.
    pub fn eddsa() -> anyhow::Result<Self> {
        let document = Ed25519KeyPair::generate_pkcs8(&SystemRandom::new()).map_err(unspecified)?;
        let pair = Ed25519KeyPair::from_pkcs8(document.as_ref()).map_err(|error| anyhow!("{error}"))?;
        Ok(Self::new(Algorithm::EdDsa, Secret::Ed25519(pair)))
    }

    /// A new RSA key of 2048 bits that signs by RS256, see [`Key::with`]. ring makes no RSA keys, so `openssl` makes
    /// it; none, with a printed reason, where that program is missing. Takes a tenth of a second.
    pub fn rsa() -> anyhow::Result<Option<Self>> {
        let args = ["genpkey", "-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048", "-outform", "PEM"];
        let output = match Command::new("openssl").args(args).output() {
            Ok(output) => output,
            Err(error) if error.kind() == ErrorKind::NotFound => {
                static SAID: Once = Once::new();
                SAID.call_once(|| say("there is no `openssl` in PATH to make RSA keys: nothing is tried with RSA"));
                return Ok(None);
            }
            Err(error) => return Err(error).context("cannot start openssl"),
        };
        ensure!(output.status.success(), "openssl made no key: {}", String::from_utf8_lossy(&output.stderr));
        let document = PrivatePkcs8KeyDer::from_pem_slice(&output.stdout).context("openssl made no PKCS #8 key")?;
        let pair = RsaKeyPair::from_pkcs8(document.secret_pkcs8_der()).map_err(|error| anyhow!("{error}"))?;
        Ok(Some(Self::new(Algorithm::Rs256, Secret::Rsa(pair))))
    }

    /// A secret that both sides know: what an attacker takes a public key's bytes for.
    pub fn hs256(secret: &[u8]) -> Self {
        Self::new(Algorithm::Hs256, Secret::Shared(secret.to_vec()))
    }

    fn new(algorithm: Algorithm, secret: Secret) -> Self {
        let mut key = Self { id: String::new(), algorithm, secret: Arc::new(secret) };
        key.id = encode(&Sha256::digest(key.public()).as_slice()[..12]);
        key
    }

    /// The same key, signing by another of the RSA algorithms.
    #[must_use]
    pub fn with(&self, algorithm: Algorithm) -> Self {
        Self { algorithm, ..self.clone() }
    }

    /// Its `kid`.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// The algorithm that it signs by.
    pub const fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    /// The public key's own bytes: a point, the 32 bytes of Ed25519, or an `RSAPublicKey` in DER; a shared secret's id
    /// has nothing of it.
    pub fn public(&self) -> Vec<u8> {
        match &*self.secret {
            Secret::P256(pair) | Secret::P384(pair) => pair.public_key().as_ref().to_vec(),
            Secret::Ed25519(pair) => pair.public_key().as_ref().to_vec(),
            Secret::Rsa(pair) => pair.public_key().as_ref().to_vec(),
            Secret::Shared(_) => Vec::new(),
        }
    }

    /// The public key as a JWK (RFC 7517), with `kid`, `use` and `alg`. For RSA there is no `alg`, as one key serves
    /// several. A shared secret is published as it is, which no provider must do.
    pub fn jwk(&self) -> Value {
        let public = self.public();
        let mut jwk = match &*self.secret {
            Secret::P256(_) | Secret::P384(_) => {
                let (x, y) = public[1..].split_at(public.len() / 2);
                let curve = if self.algorithm == Algorithm::Es256 { "P-256" } else { "P-384" };
                json!({ "kty": "EC", "crv": curve, "x": encode(x), "y": encode(y) })
            }
            Secret::Ed25519(_) => json!({ "kty": "OKP", "crv": "Ed25519", "x": encode(&public) }),
            Secret::Rsa(pair) => {
                let PublicKeyComponents { n, e } = PublicKeyComponents::<Vec<u8>>::from(pair.public());
                json!({ "kty": "RSA", "n": encode(&n), "e": encode(&e) })
            }
            Secret::Shared(secret) => json!({ "kty": "oct", "k": encode(secret) }),
        };
        jwk["kid"] = json!(self.id);
        jwk["use"] = json!("sig");
        if self.algorithm.rsa().is_none() {
            jwk["alg"] = json!(self.algorithm.name());
        }
        jwk
    }

    /// The header of an ordinary token: `alg`, `typ` and `kid`.
    pub fn header(&self) -> Value {
        json!({ "alg": self.algorithm.name(), "typ": "JWT", "kid": self.id })
    }

    /// An ordinary token.
    pub fn token(&self, claims: &Value) -> anyhow::Result<String> {
        self.sign(&self.header(), claims)
    }

    /// A token with exactly this header, signed by this key whatever the header says.
    pub fn sign(&self, header: &Value, claims: &Value) -> anyhow::Result<String> {
        self.sign_text(&header.to_string(), &claims.to_string())
    }

    /// The same from texts, which may be no JSON, or JSON that no [`Value`] can be.
    pub fn sign_text(&self, header: &str, claims: &str) -> anyhow::Result<String> {
        let input = signing_input(header, claims);
        let signature = self.signature(input.as_bytes())?;
        Ok(format!("{input}.{}", encode(&signature)))
    }

    fn signature(&self, input: &[u8]) -> anyhow::Result<Vec<u8>> {
        let random = SystemRandom::new();
        Ok(match &*self.secret {
            Secret::P256(pair) | Secret::P384(pair) => {
                pair.sign(&random, input).map_err(unspecified)?.as_ref().to_vec()
            }
            Secret::Ed25519(pair) => pair.sign(input).as_ref().to_vec(),
            Secret::Rsa(pair) => {
                let encoding = self.algorithm.rsa().context("not an algorithm of an RSA key")?;
                let mut signature = vec![0; pair.public().modulus_len()];
                pair.sign(encoding, &random, input, &mut signature).map_err(unspecified)?;
                signature
            }
            Secret::Shared(secret) => hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, secret), input).as_ref().to_vec(),
        })
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Key").field("id", &self.id).field("algorithm", &self.algorithm).finish_non_exhaustive()
    }
}

/// The first two parts of a token, encoded: what its signature is made over.
pub fn signing_input(header: &str, claims: &str) -> String {
    format!("{}.{}", encode(header.as_bytes()), encode(claims.as_bytes()))
}

fn encode(bytes: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

fn ecdsa(algorithm: &'static EcdsaSigningAlgorithm) -> anyhow::Result<EcdsaKeyPair> {
    let random = SystemRandom::new();
    let document = EcdsaKeyPair::generate_pkcs8(algorithm, &random).map_err(unspecified)?;
    EcdsaKeyPair::from_pkcs8(algorithm, document.as_ref(), &random).map_err(|error| anyhow!("{error}"))
}

/// ring's error says nothing and is no `std::error::Error` without its feature `std`.
fn unspecified(_: ring::error::Unspecified) -> anyhow::Error {
    anyhow!("ring refused")
}
