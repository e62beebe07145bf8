//! How MinIO's admin API wants what is secret: encrypted under the administrator's secret key.
//!
//! `salt | cipher | nonce | fragment`, with the key out of Argon2id. A fragment is at most 16 KiB long, and ours are all of one.

use std::sync::{Mutex, PoisonError};

use argon2::{Algorithm, Argon2, Params, Version};
use ring::{
    aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey},
    error::Unspecified,
    rand::{SecureRandom as _, SystemRandom},
};

/// Salt of the key.
const SALT: usize = 32;
/// The part of the nonces that all fragments share.
const NONCE: usize = 8;
/// Stands for AES-256-GCM.
const CIPHER: u8 = 0;
/// Marks the last fragment.
const LAST: u8 = 0x80;
/// Number of the only fragment.
const FIRST: u32 = 1;
/// Memory of one derivation in KiB, its rounds, and its lanes.
const COST: (u32, u32, u32) = (64 * 1024, 1, 4);

/// One derivation at a time, for the memory it takes.
static TURN: Mutex<()> = Mutex::new(());

/// The text, at most 16 KiB of it, as only who knows `secret` reads it. Takes a while.
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
    let (memory, rounds, lanes) = COST;
    let mut key = [0; 32];
    let failed = |error| anyhow::anyhow!("no key for the admin API: {error}");
    let parameters = Params::new(memory, rounds, lanes, Some(key.len())).map_err(failed)?;
    let turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    Argon2::new(Algorithm::Argon2id, Version::V0x13, parameters)
        .hash_password_into(secret.as_bytes(), salt, &mut key)
        .map_err(failed)?;
    drop(turn);
    Ok(LessSafeKey::new(UnboundKey::new(&AES_256_GCM, &key).map_err(unspecified)?))
}

fn unspecified(_: Unspecified) -> anyhow::Error {
    anyhow::anyhow!("encryption for the admin API failed")
}
