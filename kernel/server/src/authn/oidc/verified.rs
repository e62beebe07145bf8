//! Tokens whose signature was found to be right, so that it is not computed again for each request of a client.
//!
//! What a token says is judged anew each time: it expires here as it does everywhere. With another key set all are
//! forgotten.

use std::{
    collections::HashMap,
    mem,
    sync::{Arc, Mutex, PoisonError},
};

use ring::digest::{SHA256, SHA256_OUTPUT_LEN, digest};

use super::{InvalidToken, KeySet, claims::Claims};

/// Tokens that are remembered at most, in each of two halves. A token takes about a kilobyte.
const HALF: usize = 512;

/// Remembers claims by the token that held them. Only genuine tokens get in, so nobody else can push them out.
#[derive(Debug, Default)]
pub(super) struct Verified(Mutex<Remembered>);

#[derive(Debug, Default)]
struct Remembered {
    keys: Option<Arc<KeySet>>,
    /// The newer half. When it is full it becomes the older one, and what was used of that one moves here.
    newer: Half,
    older: Half,
}

type Half = HashMap<[u8; SHA256_OUTPUT_LEN], Arc<Claims>>;

impl Verified {
    /// The claims of `token`, which one of `keys` has signed; `verify` finds out whether it did.
    pub(super) fn claims(
        &self,
        token: &str,
        keys: &Arc<KeySet>,
        verify: impl FnOnce() -> Result<Claims, InvalidToken>,
    ) -> Result<Arc<Claims>, InvalidToken> {
        let mut name = [0; SHA256_OUTPUT_LEN];
        name.copy_from_slice(digest(&SHA256, token.as_bytes()).as_ref());
        if let Some(claims) = self.with(keys, |remembered| remembered.get(&name)) {
            return Ok(claims);
        }
        let claims = Arc::new(verify()?);
        self.with(keys, |remembered| remembered.insert(name, Arc::clone(&claims)));
        Ok(claims)
    }

    fn with<T>(&self, keys: &Arc<KeySet>, act: impl FnOnce(&mut Remembered) -> T) -> T {
        let mut remembered = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if !remembered.keys.as_ref().is_some_and(|known| Arc::ptr_eq(known, keys)) {
            *remembered = Remembered { keys: Some(Arc::clone(keys)), ..Remembered::default() };
        }
        act(&mut remembered)
    }
}

impl Remembered {
    fn get(&mut self, name: &[u8; SHA256_OUTPUT_LEN]) -> Option<Arc<Claims>> {
        if let Some(claims) = self.newer.get(name) {
            return Some(Arc::clone(claims));
        }
        let claims = self.older.remove(name)?;
        self.insert(*name, Arc::clone(&claims));
        Some(claims)
    }

    fn insert(&mut self, name: [u8; SHA256_OUTPUT_LEN], claims: Arc<Claims>) {
        if self.newer.len() >= HALF {
            self.older = mem::take(&mut self.newer);
        }
        self.newer.insert(name, claims);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whether the token had to be verified.
    fn had_to(verified: &Verified, token: &str, keys: &Arc<KeySet>) -> bool {
        let mut computed = false;
        let verify = || {
            computed = true;
            Ok(Claims::default())
        };
        verified.claims(token, keys, verify).expect("genuine");
        computed
    }

    #[test]
    fn a_genuine_token_is_verified_once_for_each_key_set() {
        let verified = Verified::default();
        let (first, second) = (Arc::new(KeySet::default()), Arc::new(KeySet::default()));
        assert!(had_to(&verified, "a", &first));
        assert!(!had_to(&verified, "a", &first));
        assert!(had_to(&verified, "b", &first));
        assert!(had_to(&verified, "a", &second), "the keys are others");
        assert!(had_to(&verified, "a", &first), "what other keys said is forgotten");
        let forged = verified.claims("c", &first, || Err(InvalidToken::Signature));
        assert_eq!(forged.err(), Some(InvalidToken::Signature));
        assert!(had_to(&verified, "c", &first), "a forged token is not remembered");
    }

    #[test]
    fn memory_is_bounded_and_what_is_used_stays() {
        let verified = Verified::default();
        let keys = Arc::new(KeySet::default());
        for number in 0..10 * HALF {
            had_to(&verified, &number.to_string(), &keys);
            assert_eq!(had_to(&verified, "in use", &keys), number == 0);
        }
        let remembered = verified.0.lock().expect("not poisoned");
        assert!(remembered.newer.len() + remembered.older.len() <= 2 * HALF);
    }
}
