//! Locks that hold between processes: a queue within this one, and a Lease between all.
//!
//! As no Lease stops a holder that was paused, whoever holds a lock still sends the uid and resource version that was
//! read under it with every write.

use std::{
    collections::HashMap,
    convert::Infallible,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use tokio::{
    sync::{OwnedMutexGuard, oneshot, watch},
    task::JoinHandle,
    time::{Instant, sleep, timeout},
};

use crate::{
    Cluster, Error,
    lease::{Attempt, Claim, Seen, Term},
    retry::Patience,
};

/// How long a lock outlives a holder that died.
const DURATION: Duration = Duration::from_secs(15);
/// Pauses between the tries while somebody else holds it.
const SHORTEST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_millis(500);
/// How long it is remembered what was seen of a Lease when nobody waits for it any more: long enough for the next call
/// to find that it did not change.
const REMEMBERED: Duration = Duration::from_mins(1);

/// Why a lock was not taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LockError {
    /// Somebody else has it.
    #[error("{lease} {} and did not become free within {} s", since(*held), waited.as_secs())]
    Busy {
        /// Namespace and name of the Lease.
        lease: String,
        /// For how long the present holder has it, where that is known.
        held: Option<Duration>,
        /// How long this call was ready to wait.
        waited: Duration,
    },
    /// The Kubernetes API refused, the namespace does not exist or is being deleted, or the API was not available for
    /// the whole of the wait.
    #[error(transparent)]
    Api(#[from] Error),
}

fn since(held: Option<Duration>) -> String {
    match held {
        Some(held) => format!("has been locked by another call for {} s", held.as_secs()),
        None => "is locked by another call".to_owned(),
    }
}

/// The locks of one process. Clones share them.
#[derive(Debug, Clone)]
pub struct Locks {
    cluster: Cluster,
    identity: Arc<str>,
    duration: Duration,
    turns: Arc<Turns>,
}

impl Locks {
    /// `identity` is this process's name in the Lease, and nobody else's: a lock that is found under it is taken over
    /// at once, since the process that held it is dead. All of a process must use clones of one `Locks`.
    pub fn new(cluster: Cluster, identity: impl Into<Arc<str>>) -> Self {
        Self::with_duration(cluster, identity, DURATION)
    }

    /// The same with another time, in whole seconds, than 15 s after which others take a lock that is not renewed.
    /// It is renewed after a third of it.
    pub fn with_duration(cluster: Cluster, identity: impl Into<Arc<str>>, duration: Duration) -> Self {
        Self { cluster, identity: identity.into(), duration, turns: Arc::default() }
    }

    /// Takes the lock that is the Lease `name` in `namespace`: first the turn within this process, then the Lease.
    /// While somebody else holds it, or the API is unavailable, tries again (after 50 to 500 ms, growing, with jitter)
    /// until `wait` is over; a request that hangs then still has the rest of its 5 s.
    ///
    /// Costs one write when nobody holds it. Within this process it is first come, first served; between processes it
    /// is not.
    pub async fn take(&self, namespace: &str, name: &str, wait: Duration) -> Result<Lock, LockError> {
        let mut patience = Patience::new(wait, SHORTEST_PAUSE, LONGEST_PAUSE);
        let busy = |held| LockError::Busy { lease: format!("{namespace}/{name}"), held, waited: wait };
        let mut turn = timeout(wait, self.turns.take(namespace, name)).await.map_err(|_| busy(None))?;
        let claim = Claim::new(&self.cluster, namespace, name, &self.identity, self.duration);
        loop {
            let why_not = match claim.try_take(&mut turn).await {
                Ok(Attempt::Taken(term)) => return Ok(Lock::of(*term, self.duration, turn)),
                Ok(Attempt::Busy { held }) => busy(held),
                Err(error) if error.is_unavailable() => error.into(),
                Err(error) => return Err(error.into()),
            };
            if !patience.pause().await {
                return Err(why_not);
            }
        }
    }
}

/// A lock while it is held. It is renewed until it is dropped, and then removed.
#[derive(Debug)]
#[must_use = "a lock that is dropped is released"]
pub struct Lock {
    held_until: watch::Receiver<Instant>,
    /// Dropped to end the renewal.
    holding: oneshot::Sender<Infallible>,
    keeper: JoinHandle<()>,
    patience: Duration,
}

impl Lock {
    fn of(term: Term, duration: Duration, mut turn: Turn) -> Self {
        *turn = None;
        let (holding, ended) = oneshot::channel();
        let (sender, held_until) = watch::channel(held_until(&term, duration));
        let keeper = tokio::spawn(keep(term, duration, sender, ended, turn));
        Self { held_until, holding, keeper, patience: duration / 3 }
    }

    /// Whether nobody else can have it: it was renewed within four fifths of its time, and nobody took it.
    pub fn is_held(&self) -> bool {
        Instant::now() < *self.held_until.borrow()
    }

    /// Gives it to the next. Costs one write. When that does not succeed within 5 s, it is tried further in the
    /// background until the lock's time is over.
    pub async fn release(self) {
        drop(self.holding);
        // The keeper's end is the release; when it goes on for longer, nothing is left to do here.
        let _ = timeout(self.patience, self.keeper).await;
    }
}

/// Renews until `ended`, then releases. Who waits in this process goes on after that.
async fn keep(
    mut term: Term,
    duration: Duration,
    held: watch::Sender<Instant>,
    mut ended: oneshot::Receiver<Infallible>,
    turn: Turn,
) {
    tokio::select! {
        _ = &mut ended => release(&mut term, duration).await,
        () = renew(&mut term, duration, &held) => {
            held.send_replace(Instant::now());
            let _ = ended.await;
        }
    }
    drop(turn);
}

/// Renews after each third of the time, and after a failure five times as often, until the lock is lost.
async fn renew(term: &mut Term, duration: Duration, held: &watch::Sender<Instant>) {
    let mut pause = duration / 3;
    loop {
        sleep(pause).await;
        pause = match term.renew().await {
            Ok(true) => {
                held.send_replace(held_until(term, duration));
                duration / 3
            }
            Ok(false) => {
                tracing::warn!(lease = %term, "a lock was lost to somebody else");
                return;
            }
            Err(error) => {
                tracing::warn!(%error, "a lock was not renewed; trying again");
                duration / 15
            }
        };
    }
}

/// Releases, or lets the time pass after which nobody needs that any more.
async fn release(term: &mut Term, duration: Duration) {
    let left = (term.renewed() + duration).saturating_duration_since(Instant::now());
    let mut patience = Patience::new(left, SHORTEST_PAUSE, LONGEST_PAUSE);
    while let Err(error) = term.release().await {
        if !patience.pause().await {
            tracing::warn!(%error, "a lock was not released; it ends by itself");
            return;
        }
    }
}

/// A fifth before others may take it, for what the clocks disagree and for what is on its way.
fn held_until(term: &Term, duration: Duration) -> Instant {
    term.renewed() + duration / 5 * 4
}

/// Whose turn it is within this process, Lease by Lease, and what was last seen of that Lease while another process
/// held it.
#[derive(Debug, Default)]
struct Turns(Mutex<HashMap<(String, String), Queue>>);

type Queue = Arc<tokio::sync::Mutex<Option<Seen>>>;
/// Lasts until it is dropped.
type Turn = OwnedMutexGuard<Option<Seen>>;

impl Turns {
    /// Waits for the turn, first come, first served.
    async fn take(&self, namespace: &str, name: &str) -> Turn {
        let queue = {
            let mut turns = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            turns.retain(|_, queue| Arc::strong_count(queue) > 1 || is_remembered(queue));
            Arc::clone(turns.entry((namespace.to_owned(), name.to_owned())).or_default())
        };
        queue.lock_owned().await
    }
}

fn is_remembered(queue: &Queue) -> bool {
    queue.try_lock().is_ok_and(|seen| seen.as_ref().is_some_and(|seen| seen.age() < REMEMBERED))
}

#[cfg(test)]
mod tests;
