//! The time of day, passed in so that tests set it.

use std::time::{Duration, SystemTime};

use chrono::{DateTime, Utc};

/// A time, in the form of schedules and ledgers.
pub(crate) type Time = DateTime<Utc>;

/// Tells the time of day.
pub(crate) trait Clock: Send + Sync + 'static {
    /// The time now.
    fn now(&self) -> SystemTime;

    /// The time now, in the form of schedules.
    fn time(&self) -> Time {
        self.now().into()
    }

    /// Waits until this clock may have come so much further.
    fn sleep(&self, duration: Duration) -> impl Future<Output = ()> + Send {
        tokio::time::sleep(duration)
    }
}

/// The clock of the system.
#[derive(Debug, Clone, Copy)]
pub(crate) struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> SystemTime {
        SystemTime::now()
    }
}
