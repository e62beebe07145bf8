//! The change from one certificate to the next. Pure: the time is passed in.

use std::time::{Duration, SystemTime};

use tokio::time::Instant;

use crate::certificate::Pair;

/// How fast a certificate is changed, by its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Pace {
    /// Between two looks. While what somebody took away is missing, writes in enclaves are refused.
    pub(super) look: Duration,
    /// How long a CA is trusted before what it signed is served, and how long the one of before stays after that.
    pub(super) settle: Duration,
}

impl Pace {
    /// That of certificates which live so long.
    pub(super) fn of(life: Duration) -> Self {
        Self {
            look: (life / 60).clamp(Duration::from_secs(1), Duration::from_secs(10)),
            settle: (life / 12).min(Duration::from_mins(10)),
        }
    }
}

/// The pairs that a replica knows.
#[derive(Debug, Default)]
pub(super) struct Known {
    /// That in the Secret, and since when its CA is trusted.
    pub(super) stored: Option<(Pair, Instant)>,
    /// That which is served, until when.
    pub(super) served: Option<(Pair, SystemTime)>,
}

impl Known {
    /// How long the CA of `pair` has been trusted, as far as this replica knows.
    pub(super) fn trusted(&self, pair: &Pair, at: Instant) -> Option<Duration> {
        self.stored.as_ref().filter(|(stored, _)| stored == pair).map(|(_, since)| at - *since)
    }

    /// Whether what is served is still to be, while another pair settles.
    pub(super) fn holds_on(&self, trusted: Duration, pace: Pace, now: SystemTime) -> bool {
        trusted < pace.settle && self.served.as_ref().is_some_and(|(_, until)| *until > now)
    }
}

#[cfg(test)]
mod tests {
    use rustls_pki_types::ServerName;

    use super::*;
    use crate::certificate::issue;

    const YEAR: Duration = Duration::from_hours(24 * 365);

    fn pair() -> Pair {
        let names = [ServerName::try_from("localhost").expect("a name")];
        issue(&names, SystemTime::now(), YEAR).expect("a pair")
    }

    #[test]
    fn a_pair_settles_before_it_is_served_unless_there_is_nothing_else() {
        let (pace, now, at) = (Pace::of(YEAR), SystemTime::now(), Instant::now());
        let (old, new) = (pair(), pair());
        let mut known = Known::default();
        assert!(!known.holds_on(Duration::ZERO, pace, now), "nothing is served yet");
        known.served = Some((old.clone(), now + YEAR));
        known.stored = Some((new.clone(), at));
        assert_eq!(known.trusted(&new, at + pace.look), Some(pace.look));
        assert_eq!(known.trusted(&old, at + pace.look), None);
        assert!(known.holds_on(pace.settle / 2, pace, now));
        assert!(!known.holds_on(pace.settle, pace, now));
        assert!(!known.holds_on(Duration::ZERO, pace, now + YEAR), "what is served has expired");
    }

    #[test]
    fn a_change_is_over_long_before_the_certificate_is() {
        for life in [Duration::from_mins(1), Duration::from_hours(1), YEAR] {
            let Pace { look, settle } = Pace::of(life);
            assert!(look * 4 <= settle, "every replica looks several times while a certificate settles: {life:?}");
            assert!(settle * 2 + look * 4 <= life / 3, "{life:?}");
        }
    }
}
