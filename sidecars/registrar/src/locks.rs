//! What keeps calls out of each other's way: a lock for each tentacle, and one for each enclave. They are Leases in the
//! enclave, so they hold between registrars too. As a Lease does not stop a holder that was paused, every write beside
//! them says which object, in which version, it means.

use std::time::Duration;

use tentacular_cluster::{Cluster, Lock, LockError, Locks as Leases};
use tentacular_contract::{EnclaveName, TentacleName, reach::OURS};
use tentacular_process::link::ToolError;

/// How long a call waits for its turn.
const WAIT: Duration = Duration::from_secs(90);
/// The lock of an enclave. No tentacle's can have that name, as tentacles have no dot in theirs.
const ENCLAVE: &str = "tentacular.enclave";

/// The locks of all enclaves.
#[derive(Debug)]
pub(crate) struct Locks(Leases);

/// Locks that are held. The tentacle's is always taken before the enclave's.
#[derive(Debug)]
pub(crate) struct Held(Vec<Lock>);

impl Locks {
    /// Locks that are taken in the name of `identity`, which no other registrar has.
    pub(crate) fn new(cluster: Cluster, identity: String) -> Self {
        Self(Leases::new(cluster, identity))
    }

    /// Waits until nobody else applies or removes the tentacle.
    pub(crate) async fn tentacle(&self, enclave: &EnclaveName, tentacle: &TentacleName) -> Result<Held, ToolError> {
        let lease = format!("{OURS}{tentacle}");
        let taken = self.0.take(enclave.as_str(), &lease, WAIT).await;
        let lock = taken.map_err(|error| refused(&format!("tentacle {enclave}/{tentacle}"), &error))?;
        Ok(Held(vec![lock]))
    }

    /// Waits until nobody else in the enclave does what may concern several tentacles: makes an object, changes what it
    /// chooses or shows to others, or gives tentacles to somebody.
    pub(crate) async fn enclave(&self, enclave: &EnclaveName) -> Result<Held, ToolError> {
        let taken = self.0.take(enclave.as_str(), ENCLAVE, WAIT).await;
        Ok(Held(vec![taken.map_err(|error| refused(&format!("enclave {enclave}"), &error))?]))
    }
}

impl Held {
    /// These and `other` together.
    pub(crate) fn and(mut self, other: Self) -> Self {
        self.0.extend(other.0);
        self
    }

    /// An error once somebody else may hold one of them.
    pub(crate) fn require(&self) -> Result<(), ToolError> {
        if self.0.iter().all(Lock::is_held) {
            return Ok(());
        }
        Err(ToolError::new("the lock was lost, as the Kubernetes API could not be reached in time to keep it"))
    }

    /// Gives them back, the last taken first.
    pub(crate) async fn release(self) {
        for lock in self.0.into_iter().rev() {
            lock.release().await;
        }
    }
}

fn refused(what: &str, error: &LockError) -> ToolError {
    match error {
        LockError::Busy { .. } => ToolError::new(format_args!(
            "nothing was changed: another call is at work on {what} and did not end within {} s; try again",
            WAIT.as_secs()
        )),
        LockError::Api(error) => {
            ToolError::new(format_args!("nothing was changed: {what} cannot be locked: {error}"))
        }
    }
}
