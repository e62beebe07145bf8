//! Whether this process may fire: it leads, as far as it knows, and no ledger says otherwise.

use std::time::Duration;

use tokio::{sync::watch, time::Instant};

use crate::ledger::Term;

/// The lead of this process, for everything that fires.
#[derive(Debug, Clone)]
pub(super) struct Leading {
    until: watch::Receiver<Instant>,
    later: watch::Sender<Term>,
    ended: watch::Sender<bool>,
}

impl Leading {
    /// The lead that lasts until `until`, which renewals move.
    pub(super) fn new(until: watch::Receiver<Instant>) -> Self {
        Self { until, later: watch::Sender::new(0), ended: watch::Sender::new(false) }
    }

    /// How long it lasts without another renewal. What was claimed is made only while there is time left: after that,
    /// another process may lead.
    pub(super) fn left(&self) -> Duration {
        self.until.borrow().saturating_duration_since(Instant::now())
    }

    /// Whether something new may be begun.
    pub(super) fn goes_on(&self) -> bool {
        !*self.ended.borrow() && !self.left().is_zero()
    }

    /// Nothing new is begun any more.
    pub(super) fn end(&self) {
        self.ended.send_replace(true);
    }

    /// Notes that a ledger was written in a later term.
    pub(super) fn is_fenced_by(&self, term: Term) {
        self.later.send_if_modified(|later| {
            let newer = term > *later;
            *later = term.max(*later);
            newer
        });
    }

    /// Waits until a ledger was found to be written in a later term, and returns that.
    pub(super) async fn fenced(&self) -> Term {
        let mut later = self.later.subscribe();
        // The sender lives as long as `self`.
        later.wait_for(|later| *later > 0).await.map_or(0, |later| *later)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn it_ends_with_the_lease_or_by_will_and_what_was_begun_ends_with_the_lease_alone() {
        let (renew, until) = watch::channel(Instant::now() + Duration::from_secs(10));
        let leading = Leading::new(until);
        tokio::time::advance(Duration::from_secs(9)).await;
        assert_eq!((leading.goes_on(), leading.left()), (true, Duration::from_secs(1)));
        renew.send_replace(Instant::now() + Duration::from_secs(2));
        tokio::time::advance(Duration::from_secs(1)).await;
        leading.clone().end();
        assert_eq!((leading.goes_on(), leading.left()), (false, Duration::from_secs(1)));
        tokio::time::advance(Duration::from_secs(1)).await;
        assert_eq!(leading.left(), Duration::ZERO);
    }

    #[tokio::test]
    async fn the_latest_term_that_was_seen_fences() {
        let leading = Leading::new(watch::channel(Instant::now()).1);
        let fenced = leading.fenced();
        leading.is_fenced_by(7);
        leading.is_fenced_by(5);
        assert_eq!(fenced.await, 7);
    }
}
