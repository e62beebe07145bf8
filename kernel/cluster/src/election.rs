//! One leader among several processes, by a Lease that it renews.

use std::time::Duration;

use tokio::{
    sync::{oneshot, watch},
    task::JoinHandle,
    time::{Instant, sleep, timeout},
};

use crate::{
    Cluster,
    lease::{Attempt, Claim, Term},
};

/// How often things happen in an election.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Times {
    /// How long the Lease is good after a renewal: others may lead after that.
    pub duration: Duration,
    /// Pause between two renewals of the leader, and between two tries of the others.
    pub pause: Duration,
    /// A leader who has not renewed for so long leads no more. Shorter than `duration`, so that it ends before another
    /// may begin.
    pub give_up: Duration,
}

impl Default for Times {
    fn default() -> Self {
        Self { duration: Duration::from_secs(15), pause: Duration::from_secs(2), give_up: Duration::from_secs(10) }
    }
}

/// An election that this process stands for.
#[derive(Debug, Clone)]
pub struct Election {
    claim: Claim,
    times: Times,
}

impl Election {
    /// Stands for the Lease of that name with the `identity`, which no other process has at the same time.
    pub fn new(cluster: &Cluster, namespace: &str, name: &str, identity: &str, times: Times) -> Self {
        let claim = Claim::new(cluster, namespace, name, identity, times.duration).counting_on();
        Self { claim, times }
    }

    /// Waits until this process leads.
    pub async fn lead(&self) -> Leadership {
        let mut seen = None;
        let mut told = false;
        loop {
            match self.claim.try_take(&mut seen).await {
                Ok(Attempt::Taken(term)) => return Leadership::of(*term, self.times),
                Ok(Attempt::Busy { .. }) => told = false,
                Err(error) => {
                    if !std::mem::replace(&mut told, true) {
                        tracing::warn!(%error, "no leader can be elected; trying again");
                    }
                }
            }
            sleep(self.times.pause).await;
        }
    }
}

/// This process's leadership, from one election to its end.
#[derive(Debug)]
#[must_use = "a leadership that is dropped ends"]
pub struct Leadership {
    term: u32,
    until: watch::Receiver<Instant>,
    /// Dropped, or told a term, to end the renewal.
    holding: oneshot::Sender<u32>,
    keeper: JoinHandle<()>,
    patience: Duration,
}

impl Leadership {
    fn of(term: Term, times: Times) -> Self {
        let number = u32::try_from(term.number()).unwrap_or_default();
        let (holding, ended) = oneshot::channel();
        let (sender, until) = watch::channel(term.renewed() + times.give_up);
        let keeper = tokio::spawn(keep(term, times, sender, ended));
        Self { term: number, until, holding, keeper, patience: times.pause }
    }

    /// The number of this leadership. Every later one, of whichever process, has a higher one, as long as nobody deletes
    /// the Lease twice in a minute.
    pub const fn term(&self) -> u32 {
        self.term
    }

    /// Until when this process leads without another renewal; in the past when it does no more.
    pub fn until(&self) -> watch::Receiver<Instant> {
        self.until.clone()
    }

    /// Waits until this process no longer leads.
    pub async fn lost(&self) {
        let mut until = self.until.clone();
        loop {
            let end = *until.borrow_and_update();
            if Instant::now() >= end {
                return;
            }
            tokio::select! {
                () = tokio::time::sleep_until(end) => {}
                changed = until.changed() => if changed.is_err() { return },
            }
        }
    }

    /// Ends it, so that another process need not wait for the Lease's time to be over. The next term is above `above`: a
    /// Lease that somebody deleted may have forgotten how far its terms were.
    pub async fn resign(self, above: u32) {
        // Without a keeper it has ended already.
        let _ = self.holding.send(above);
        let _ = timeout(self.patience, self.keeper).await;
    }
}

async fn keep(mut term: Term, times: Times, until: watch::Sender<Instant>, mut ended: oneshot::Receiver<u32>) {
    tokio::select! {
        above = &mut ended => {
            until.send_replace(Instant::now());
            if let Err(error) = term.vacate(above.unwrap_or_default()).await {
                tracing::warn!(%error, "the leader's Lease was not given back; it ends by itself");
            }
        }
        () = renew(&mut term, times, &until) => {
            until.send_replace(Instant::now());
        }
    }
}

/// Renews until the leadership is lost: to somebody else, or because it could not be renewed in time.
async fn renew(term: &mut Term, times: Times, until: &watch::Sender<Instant>) {
    loop {
        sleep(times.pause).await;
        match term.renew().await {
            Ok(true) => {
                until.send_replace(term.renewed() + times.give_up);
            }
            Ok(false) => return,
            Err(error) => {
                tracing::warn!(%error, "the leader's Lease was not renewed; trying again");
                if term.renewed().elapsed() >= times.give_up {
                    return;
                }
            }
        }
    }
}
