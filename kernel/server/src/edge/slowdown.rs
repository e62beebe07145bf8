//! Slows down whoever fails to authenticate again and again. Requests with a valid token never come here, so that
//! callers behind one address are not punished for each other.

use std::{
    collections::hash_map::RandomState,
    hash::BuildHasher,
    net::IpAddr,
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use tentacular_process::http::site;
use tokio::{
    sync::Semaphore,
    time::{Instant, sleep},
};

/// Failures of one address that are answered at once, and come back at one in [`COST`].
const BURST: u64 = 20;
/// What a failure costs, in milliseconds.
const COST: u64 = 200;
/// Longest wait of an answer, in milliseconds.
const LONGEST: u64 = 2_000;
/// Answers that wait at the same time. More are not kept waiting but refused.
const WAITING: usize = 1024;
/// Addresses share this many counters. Two that share one are slowed down together, which costs them seconds.
const SLOTS: usize = 4096;

/// Counts failures by address, in memory of a fixed size.
#[derive(Debug)]
pub(super) struct Slowdown {
    begun: Instant,
    /// The spread over the slots is secret, so that nobody aims at the slot of another.
    hasher: RandomState,
    /// For each slot the time, in milliseconds since the begin, at which all failures so far are paid.
    slots: Box<[AtomicU64]>,
    waiting: Semaphore,
}

/// What is due for a failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Due {
    /// The answer goes at once.
    Now,
    /// The answer has waited.
    Later,
    /// Too many answers wait.
    TooMany,
}

impl Slowdown {
    pub(super) fn new() -> Self {
        Self {
            begun: Instant::now(),
            hasher: RandomState::new(),
            slots: (0..SLOTS).map(|_| AtomicU64::new(0)).collect(),
            waiting: Semaphore::new(WAITING),
        }
    }

    /// Counts a failure of `address` and waits as long as it must.
    pub(super) async fn fail(&self, address: Option<IpAddr>) -> Due {
        let wait = self.count(address);
        if wait.is_zero() {
            return Due::Now;
        }
        let Ok(_place) = self.waiting.try_acquire() else { return Due::TooMany };
        sleep(wait).await;
        Due::Later
    }

    fn count(&self, address: Option<IpAddr>) -> Duration {
        let now = u64::try_from(self.begun.elapsed().as_millis()).unwrap_or(u64::MAX);
        let Ok(slot) = usize::try_from(self.hasher.hash_one(address.map(site)) % SLOTS as u64) else {
            return Duration::ZERO;
        };
        let free = now + BURST * COST;
        let pay = |paid: u64| Some((paid.max(now) + COST).min(free + LONGEST));
        let paid = self.slots[slot].fetch_update(Ordering::Relaxed, Ordering::Relaxed, pay).unwrap_or_default();
        Duration::from_millis((paid.max(now) + COST).min(free + LONGEST).saturating_sub(free))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> IpAddr {
        text.parse().expect("an address")
    }

    #[tokio::test(start_paused = true)]
    async fn failures_are_slowed_down_after_a_burst_and_forgotten_after_a_while() {
        let slowdown = Slowdown::new();
        let attacker = Some(address("203.0.113.7"));
        for _ in 0..BURST {
            assert_eq!(slowdown.fail(attacker).await, Due::Now);
        }
        let begun = Instant::now();
        assert_eq!(slowdown.fail(attacker).await, Due::Later);
        assert_eq!(begun.elapsed(), Duration::from_millis(COST));
        for _ in 0..1_000 {
            slowdown.count(attacker);
        }
        assert_eq!(slowdown.count(attacker), Duration::from_millis(LONGEST), "nobody waits longer");
        sleep(Duration::from_millis(BURST * COST + LONGEST)).await;
        assert_eq!(slowdown.fail(attacker).await, Due::Now, "what was long ago does not count");
    }

    #[tokio::test(start_paused = true)]
    async fn an_ipv6_network_is_one_address() {
        let slowdown = Slowdown::new();
        for host in 0..BURST {
            assert_eq!(slowdown.count(Some(address(&format!("2001:db8:1:1::{host}")))), Duration::ZERO);
        }
        assert!(!slowdown.count(Some(address("2001:db8:1:1:ffff::1"))).is_zero());
    }

    #[tokio::test(start_paused = true)]
    async fn no_more_than_some_answers_wait() {
        let slowdown = Slowdown::new();
        for _ in 0..100 {
            slowdown.count(None);
        }
        let waiting: Vec<_> = (0..=WAITING).map(|_| slowdown.fail(None)).collect();
        let due = futures::future::join_all(waiting).await;
        assert_eq!(due.iter().filter(|due| **due == Due::TooMany).count(), 1);
        assert_eq!(due.iter().filter(|due| **due == Due::Later).count(), WAITING);
    }
}
