//! Doing a read and a write again when somebody else wrote in between.

use std::time::Duration;

use backon::{ExponentialBuilder, Retryable};

use crate::Error;

/// Runs `attempt`, which reads and then writes, until it ends with something else than [`Error::Conflict`], or the
/// pauses between attempts (20 ms to 1 s, growing, with jitter) add up to `limit`.
///
/// Returns the last error.
pub async fn retry_on_conflict<T, Attempt, Outcome>(limit: Duration, attempt: Attempt) -> Result<T, Error>
where
    Attempt: FnMut() -> Outcome,
    Outcome: Future<Output = Result<T, Error>>,
{
    let pauses = ExponentialBuilder::default()
        .with_min_delay(Duration::from_millis(20))
        .with_max_delay(Duration::from_secs(1))
        .without_max_times()
        .with_total_delay(Some(limit))
        .with_jitter();
    attempt.retry(pauses).when(Error::is_conflict).await
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;

    fn conflict() -> Error {
        Error::Conflict { object: "Secret a/b".to_owned(), message: "modified".to_owned() }
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
        let start = tokio::time::Instant::now();
        let never = || async { Err::<(), _>(conflict()) };
        assert_eq!(retry_on_conflict(Duration::from_secs(3), never).await, Err(conflict()));
        assert!(start.elapsed() <= Duration::from_secs(3));
    }
}
