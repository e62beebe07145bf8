//! How far what a watch shows can be trusted.

use std::time::Duration;

use tokio::time::Instant;

/// How long after it was last confirmed what a failing watch shows is stale.
pub const STALE_AFTER: Duration = Duration::from_secs(30);

/// Nothing is decided: what a watch shows is stale.
#[derive(Debug, thiserror::Error)]
#[error("authorization data is stale: the API server has not been reachable for a while; try again later")]
pub struct Stale;

/// When a watch last worked and since when it fails. An idle watch is a working one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Freshness {
    /// The last time that a list, the watch or a probe was answered; `None` before the first list.
    pub last_success: Option<Instant>,
    /// What that was when a failure came that no success followed; `None` when all is well.
    pub failing_since: Option<Instant>,
}

impl Freshness {
    /// Whether nothing may be decided with what the watch shows: never filled, or failing, and not confirmed for
    /// [`STALE_AFTER`].
    pub fn is_stale(&self, now: Instant) -> bool {
        self.last_success.is_none() || self.failing_since.is_some_and(|since| now - since >= STALE_AFTER)
    }

    /// How long ago it last worked: since `begun` where it never did.
    pub fn age(&self, begun: Instant, now: Instant) -> Duration {
        now.saturating_duration_since(self.failing_since.or(self.last_success).unwrap_or(begun))
    }

    /// Whether what the watch shows was so less than [`STALE_AFTER`] ago, also where there are so many watches that one
    /// which hangs is noticed later.
    pub(crate) fn is_confirmed(&self, now: Instant) -> bool {
        self.last_success.is_some_and(|at| is_recent(at, now))
    }

    /// The state of what needs both this and `other`.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        let first = [self.failing_since, other.failing_since].into_iter().flatten().min();
        Self { last_success: self.last_success.min(other.last_success), failing_since: first }
    }

    pub(crate) const fn succeed(&mut self, now: Instant) {
        *self = Self { last_success: Some(now), failing_since: None };
    }

    pub(crate) fn fail(&mut self, now: Instant) {
        self.failing_since.get_or_insert(self.last_success.unwrap_or(now));
    }
}

/// Whether what was so at `at` may still be taken for so at `now`: it is less than [`STALE_AFTER`] ago.
pub(crate) fn is_recent(at: Instant, now: Instant) -> bool {
    now.saturating_duration_since(at) < STALE_AFTER
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failing_watch_is_stale_before_the_first_list_and_a_while_after_it_last_worked() {
        let start = Instant::now();
        let mut watch = Freshness::default();
        assert!(watch.is_stale(start));
        watch.succeed(start);
        assert!(!watch.is_stale(start + Duration::from_hours(1)));
        watch.fail(start + Duration::from_secs(10));
        watch.fail(start + Duration::from_secs(25));
        assert!(!watch.is_stale(start + Duration::from_secs(29)));
        assert!(watch.is_stale(start + Duration::from_secs(30)), "since it last worked, not since it fails");
        let probed = Freshness { last_success: Some(start + Duration::from_secs(29)), ..watch };
        assert_eq!(
            probed.age(start, start + Duration::from_secs(30)).as_secs(),
            30,
            "that something else works is no help"
        );
        watch.succeed(start + Duration::from_secs(41));
        assert!(!watch.is_stale(start + Duration::from_secs(100)));
    }

    #[test]
    fn two_are_as_fresh_as_the_worse_one() {
        let start = Instant::now();
        let well = Freshness { last_success: Some(start), failing_since: None };
        let ill = Freshness { failing_since: Some(start), ..well };
        assert_eq!(well.and(ill), ill);
        assert_eq!(well.and(Freshness::default()), Freshness::default());
    }
}
