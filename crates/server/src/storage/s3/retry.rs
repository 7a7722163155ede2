//! The one retry policy for calls to the store.
//!
//! A call is retried while its failure is transient ([`StorageError::is_transient`]). The pauses double, with jitter, so that
//! nodes that met the same failure do not return at the same moment. `Retry-After` of the store lengthens a pause, up to a bound:
//! requests and readiness checks wait for calls, and an upload of many parts depends on each part.

use std::time::Duration;

use backon::{ExponentialBuilder, Retryable};

use crate::error_chain::error_chain;
use crate::storage::StorageError;

/// How often something is tried, and how long the store may make it wait.
#[derive(Debug, Clone, Copy)]
pub(super) struct Attempts {
    number: usize,
    /// Upper bound of a pause that `Retry-After` asks for; a longer one is cut to it.
    max_retry_after: Duration,
}

/// A call. It survives a store that is away for a second, and waits about three seconds for one that asks for pauses.
pub(super) const CALL: Attempts = Attempts { number: 4, max_retry_after: Duration::from_secs(1) };
/// Sending a part, which is worth more: a failed one gives up an upload of many parts.
pub(super) const PART: Attempts = Attempts { number: 8, max_retry_after: Duration::from_secs(10) };
/// The first pause is this long to twice as long.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
/// Upper bound of a pause, without jitter.
const MAX_PAUSE: Duration = Duration::from_secs(10);

/// Calls `attempt` until it succeeds or fails for good, as often as `attempts` allows.
///
/// # Errors
/// The last failure.
pub(super) async fn retry<T, F: Future<Output = Result<T, StorageError>>>(
    attempts: Attempts,
    attempt: impl FnMut() -> F,
) -> Result<T, StorageError> {
    let pauses = ExponentialBuilder::new()
        .with_min_delay(FIRST_PAUSE)
        .with_max_delay(MAX_PAUSE)
        .with_max_times(attempts.number - 1)
        .with_jitter();
    attempt
        .retry(pauses)
        .when(StorageError::is_transient)
        .adjust(|error: &StorageError, pause: Option<Duration>| {
            let at_least = error.retry_after().unwrap_or_default().min(attempts.max_retry_after);
            pause.map(|pause| pause.max(at_least))
        })
        .notify(|error: &StorageError, pause: Duration| {
            tracing::debug!(error = %error_chain(error), ?pause, "the store failed and is tried again");
        })
        .await
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::time::Instant;

    use super::*;

    fn busy(retry_after: Option<u64>) -> StorageError {
        StorageError::Answer {
            doing: "list",
            status: 503,
            code: "SlowDown".to_owned(),
            message: String::new(),
            retry_after: retry_after.map(Duration::from_secs),
        }
    }

    /// Fails this often, and returns the result, the number of attempts and the time that passed.
    async fn fail(times: usize, error: impl Fn() -> StorageError) -> (Result<(), StorageError>, usize, Duration) {
        let (begin, attempts) = (Instant::now(), Cell::new(0));
        let attempt = || {
            attempts.set(attempts.get() + 1);
            std::future::ready(if attempts.get() <= times { Err(error()) } else { Ok(()) })
        };
        (retry(CALL, attempt).await, attempts.get(), begin.elapsed())
    }

    #[tokio::test]
    async fn transient_failures_are_retried_with_growing_pauses_and_jitter() {
        let runs = futures_util::future::join_all((0..5).map(|_| fail(3, || busy(None)))).await;
        for (result, attempts, time) in &runs {
            // 100 + 200 + 400 ms without jitter.
            assert!(result.is_ok() && *attempts == 4 && *time >= Duration::from_millis(700), "{runs:?}");
        }
        let first = runs[0].2;
        assert!(runs.iter().any(|run| run.2.abs_diff(first) > Duration::from_millis(10)), "{runs:?}");
        let (result, attempts, _) = fail(4, || busy(None)).await;
        assert!(result.unwrap_err().is_code("SlowDown") && attempts == 4);
    }

    #[tokio::test]
    async fn other_failures_are_returned_at_once() {
        let (result, attempts, _) = fail(1, || StorageError::store("list", "it is malformed".to_owned())).await;
        assert!(result.is_err() && attempts == 1);
    }

    #[tokio::test]
    async fn the_time_that_the_store_asks_for_is_waited_up_to_a_bound() {
        for seconds in [1, 3_600] {
            let (result, attempts, time) = fail(1, || busy(Some(seconds))).await;
            assert!(result.is_ok() && attempts == 2, "{result:?} after {attempts}");
            assert!((Duration::from_secs(1)..Duration::from_secs(30)).contains(&time), "{time:?}");
        }
    }
}
