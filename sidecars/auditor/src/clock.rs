//! The time of day, passed in so that tests set it, and ages as clients read them.

use k8s_openapi::jiff::Timestamp;

/// Tells the time of day.
pub(crate) trait Clock: Send + Sync + 'static {
    /// The time now.
    fn now(&self) -> Timestamp;
}

/// The clock of the system.
#[derive(Debug, Clone, Copy)]
pub(crate) struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> Timestamp {
        Timestamp::now()
    }
}

/// A time as results give it: RFC 3339 in UTC, in whole seconds.
pub(crate) fn utc(time: Timestamp) -> String {
    time.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

/// How long ago `then` was, rounded to seconds, as Go writes a duration: `72h3m0s`. What lies ahead is `0s` ago.
pub(crate) fn age(now: Timestamp, then: Timestamp) -> String {
    let millis = now.duration_since(then).as_millis().max(0);
    let seconds = (millis + 500) / 1000;
    let (hours, minutes, seconds) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    match (hours, minutes) {
        (0, 0) => format!("{seconds}s"),
        (0, _) => format!("{minutes}m{seconds}s"),
        _ => format!("{hours}h{minutes}m{seconds}s"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ages_are_written_as_go_writes_them() {
        let now = Timestamp::from_second(1_800_000_000).expect("a time");
        for (millis, text) in [
            (0, "0s"),
            (499, "0s"),
            (500, "1s"),
            (59_499, "59s"),
            (59_500, "1m0s"),
            (3_600_000, "1h0m0s"),
            (259_380_000, "72h3m0s"),
            (-5_000, "0s"),
        ] {
            let then = Timestamp::from_millisecond(now.as_millisecond() - millis).expect("a time");
            assert_eq!(age(now, then), text, "{millis}");
        }
    }
}
