//! Doing again what failed for a reason that passes.

use std::time::Duration;

use backon::{BackoffBuilder, ExponentialBackoff, ExponentialBuilder, Retryable};
use tokio::time::{Instant, sleep};

use crate::Error;

/// Pauses between attempts that read and write, each with jitter: from 20 ms, growing to 1 s.
const SHORTEST: Duration = Duration::from_millis(20);
const LONGEST: Duration = Duration::from_secs(1);

fn pauses(shortest: Duration, longest: Duration) -> ExponentialBuilder {
    ExponentialBuilder::default().with_min_delay(shortest).with_max_delay(longest).without_max_times().with_jitter()
}

/// Runs `attempt`, which reads and then writes, until it ends with something else than [`Error::Conflict`], or the
/// pauses between attempts (20 ms to 1 s, growing, with jitter) add up to `limit`.
///
/// Returns the last error.
pub async fn retry_on_conflict<T, Attempt, Outcome>(limit: Duration, attempt: Attempt) -> Result<T, Error>
where
    Attempt: FnMut() -> Outcome,
    Outcome: Future<Output = Result<T, Error>>,
{
    attempt.retry(pauses(SHORTEST, LONGEST).with_total_delay(Some(limit))).when(Error::is_conflict).await
}

/// Runs `attempt`, which reads and then writes, until it ends with something else than [`Error::Conflict`] or
/// [`Error::Unavailable`]. None begins later than `limit` after the first; the pauses between are those of
/// [`retry_on_conflict`].
///
/// After an [`Error::Unavailable`] nobody knows whether the write was done. So an attempt must recognize its own write
/// in what it reads, and must not do it twice.
///
/// Returns the last error.
pub async fn retry_on_conflict_or_outage<T, Attempt, Outcome>(
    limit: Duration,
    mut attempt: Attempt,
) -> Result<T, Error>
where
    Attempt: FnMut() -> Outcome,
    Outcome: Future<Output = Result<T, Error>>,
{
    let mut patience = Patience::new(limit, SHORTEST, LONGEST);
    loop {
        match attempt().await {
            Err(error) if error.is_conflict() || error.is_unavailable() => {
                if !patience.pause().await {
                    return Err(error);
                }
            }
            ended => return ended,
        }
    }
}

/// Runs `attempt` again while it is refused, as happens until a binding made just before counts, until the pauses between
/// attempts (those of [`retry_on_conflict`]) add up to `limit`.
///
/// Returns the last error.
pub async fn retry_until_bound<T, Attempt, Outcome>(limit: Duration, attempt: Attempt) -> Result<T, Error>
where
    Attempt: FnMut() -> Outcome,
    Outcome: Future<Output = Result<T, Error>>,
{
    attempt.retry(pauses(SHORTEST, LONGEST).with_total_delay(Some(limit))).when(Error::is_forbidden).await
}

/// Growing pauses, with jitter, until a time that does not move, however long what is between them takes.
#[derive(Debug)]
pub(crate) struct Patience {
    end: Instant,
    pauses: ExponentialBackoff,
}

impl Patience {
    /// Ends `limit` from now.
    pub(crate) fn new(limit: Duration, shortest: Duration, longest: Duration) -> Self {
        Self { end: Instant::now() + limit, pauses: pauses(shortest, longest).build() }
    }

    /// Waits before the next try. `false`, at once, when that would begin after the end.
    pub(crate) async fn pause(&mut self) -> bool {
        match self.pauses.next() {
            Some(pause) if Instant::now() + pause < self.end => {
                sleep(pause).await;
                true
            }
            _ => false,
        }
    }

    /// The time until the end.
    pub(crate) fn left(&self) -> Duration {
        self.end.saturating_duration_since(Instant::now())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;

    fn conflict() -> Error {
        Error::Conflict { object: "Secret a/b".to_owned(), message: "modified".to_owned() }
    }

    fn outage() -> Error {
        Error::Unavailable { object: "Secret a/b".to_owned(), message: "gone".to_owned(), retry_after: None }
    }

    fn missing() -> Error {
        Error::NotFound { object: "Secret a/b".to_owned() }
    }

    #[tokio::test(start_paused = true)]
    async fn a_conflict_is_tried_again_and_another_error_is_not() {
        let calls = AtomicU32::new(0);
        let third = || async {
            match calls.fetch_add(1, Ordering::Relaxed) {
                0 | 1 => Err(conflict()),
                _ => Ok("written"),
            }
        };
        assert_eq!(retry_on_conflict(Duration::from_secs(5), third).await, Ok("written"));
        let missing =
            || async { Err::<(), _>(Error::NotFound { object: calls.fetch_add(1, Ordering::Relaxed).to_string() }) };
        assert_eq!(
            retry_on_conflict(Duration::from_secs(5), missing).await,
            Err(Error::NotFound { object: "3".to_owned() })
        );
    }

    #[tokio::test(start_paused = true)]
    async fn it_gives_up_within_the_limit() {
        let start = Instant::now();
        let never = || async { Err::<(), _>(conflict()) };
        assert_eq!(retry_on_conflict(Duration::from_secs(3), never).await, Err(conflict()));
        // A pause that ends just within the limit is rounded up to the timer's next millisecond.
        assert!(start.elapsed() <= Duration::from_millis(3001), "{:?}", start.elapsed());
    }

    #[tokio::test(start_paused = true)]
    async fn a_conflict_and_an_outage_are_tried_again_and_another_error_is_not() {
        let mut answers = [Err(conflict()), Err(outage()), Err(conflict()), Ok("written")].into_iter();
        let attempt = || std::future::ready(answers.next().unwrap());
        assert_eq!(retry_on_conflict_or_outage(Duration::from_secs(5), attempt).await, Ok("written"));
        let mut answers = [Err::<(), _>(outage()), Err(missing()), Err(conflict())].into_iter();
        let attempt = || std::future::ready(answers.next().unwrap());
        assert_eq!(retry_on_conflict_or_outage(Duration::from_secs(5), attempt).await, Err(missing()));
    }

    #[tokio::test(start_paused = true)]
    async fn slow_attempts_use_up_the_limit_too() {
        let calls = AtomicU32::new(0);
        let slow = || async {
            calls.fetch_add(1, Ordering::Relaxed);
            sleep(Duration::from_secs(20)).await;
            Err::<(), _>(outage())
        };
        assert_eq!(retry_on_conflict_or_outage(Duration::from_secs(30), slow).await, Err(outage()));
        assert_eq!(calls.into_inner(), 2);
    }
}
