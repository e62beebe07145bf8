//! One apply at a time in an enclave: between looking what stands there and writing, nobody else may make an object of the
//! same name. Server-side apply cannot demand that an object is new, and all callers write as one field manager.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use tentacular_contract::EnclaveName;
use tokio::sync::OwnedMutexGuard;

/// Whose turn it is, enclave by enclave. Holds within this process.
#[derive(Debug, Default)]
pub(crate) struct Turns(Mutex<HashMap<EnclaveName, Arc<tokio::sync::Mutex<()>>>>);

impl Turns {
    /// Waits for the turn in `enclave`, which lasts until the guard is dropped.
    pub(crate) async fn take(&self, enclave: &EnclaveName) -> OwnedMutexGuard<()> {
        let turn = {
            let mut turns = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            turns.retain(|_, turn| Arc::strong_count(turn) > 1);
            Arc::clone(turns.entry(enclave.clone()).or_default())
        };
        turn.lock_owned().await
    }
}
