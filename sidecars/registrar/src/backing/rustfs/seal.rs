//! How MinIO's admin API wants what is secret: encrypted under the administrator's secret key.
//!
//! `salt | cipher | nonce | fragment`, with the key out of PBKDF2. A fragment is at most 16 KiB long, and ours are all of one.

use std::num::NonZeroU32;

use ring::{
    aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey},
    error::Unspecified,
    pbkdf2,
    rand::{SecureRandom as _, SystemRandom},
};

/// Salt of the key.
const SALT: usize = 32;
/// The part of the nonces that all fragments share.
const NONCE: usize = 8;
/// Stands for AES-256-GCM under a key out of PBKDF2. MinIO's own clients use Argon2id, which takes 64 MiB on both sides for each
/// request and makes nothing safer: who sees a request has its signature too, by which a secret key is guessed much faster.
const CIPHER: u8 = 2;
/// Rounds of PBKDF2, as MinIO has them.
const ROUNDS: NonZeroU32 = NonZeroU32::new(8192).expect("it is not zero");
/// Marks the last fragment.
const LAST: u8 = 0x80;
/// Number of the only fragment.
const FIRST: u32 = 1;

/// The text, at most 16 KiB of it, as only who knows `secret` reads it. Takes some milliseconds.
pub(super) fn seal(secret: &str, text: &str) -> anyhow::Result<Vec<u8>> {
    let random = |bytes: &mut [u8]| SystemRandom::new().fill(bytes).map_err(unspecified);
    let (mut salt, mut nonce) = ([0; SALT], [0; NONCE]);
    random(&mut salt)?;
    random(&mut nonce)?;
    let key = key(secret, &salt)?;
    let numbered = |number: u32| {
        let mut bytes = [0; 12];
        bytes[..NONCE].copy_from_slice(&nonce);
        bytes[NONCE..].copy_from_slice(&number.to_le_bytes());
        Nonce::assume_unique_for_key(bytes)
    };
    // What is authenticated along with the fragment: that it is the last, and the tag of nothing.
    let nothing = key.seal_in_place_separate_tag(numbered(0), Aad::empty(), &mut []).map_err(unspecified)?;
    let aad = Aad::from([&[LAST], nothing.as_ref()].concat());
    let mut fragment = text.as_bytes().to_vec();
    key.seal_in_place_append_tag(numbered(FIRST), aad, &mut fragment).map_err(unspecified)?;
    Ok([&salt[..], &[CIPHER], &nonce, &fragment].concat())
}

fn key(secret: &str, salt: &[u8]) -> anyhow::Result<LessSafeKey> {
    let mut key = [0; 32];
    pbkdf2::derive(pbkdf2::PBKDF2_HMAC_SHA256, ROUNDS, salt, secret.as_bytes(), &mut key);
    Ok(LessSafeKey::new(UnboundKey::new(&AES_256_GCM, &key).map_err(unspecified)?))
}

fn unspecified(_: Unspecified) -> anyhow::Error {
    anyhow::anyhow!("encryption for the admin API failed")
}
