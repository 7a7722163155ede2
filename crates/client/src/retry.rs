//! Retries with exponential backoff and full jitter, so that many clients do not return at the same moment
//! (<https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/>).

use std::time::Duration;

use rand::RngExt;
use tokio::time::Instant;

use crate::Error;

/// How often and for how long a request is retried.
#[derive(Debug, Clone, Copy)]
pub struct RetryPolicy {
    /// Attempts of one request, including the first, that are made even after `wait`, unless the server is unreachable or its disk is
    /// full. On a slow line each attempt may take many minutes.
    pub tries: u32,
    /// Time after its first failure during which a request is retried: for a server that is away for a while.
    pub wait: Duration,
    /// Upper bound of the first pause; it doubles with every attempt.
    pub first_pause: Duration,
    /// Upper bound of every pause.
    pub longest_pause: Duration,
}

impl Default for RetryPolicy {
    fn default() -> Self {
        Self {
            tries: 12,
            // A restart of a router, or of the server's machine.
            wait: Duration::from_secs(300),
            first_pause: Duration::from_millis(500),
            longest_pause: Duration::from_secs(30),
        }
    }
}

impl RetryPolicy {
    fn pause(&self, attempts: u32, error: &Error) -> Duration {
        let longest = self.first_pause.saturating_mul(1_u32 << (attempts - 1).min(20)).min(self.longest_pause);
        let jittered = longest.mul_f64(rand::rng().random_range(0.0..=1.0));
        error.retry_after().map_or(jittered, |asked| asked.max(jittered))
    }

    /// Runs `request` until it succeeds, fails with an error that is not transient, or exhausts its attempts and time. `failed` is called
    /// for every failure that is followed by a retry.
    pub(crate) async fn run<T>(
        &self,
        mut request: impl AsyncFnMut() -> Result<T, Error>,
        is_retryable: impl Fn(&Error) -> bool,
        failed: impl Fn(&Error, Duration),
    ) -> Result<T, Error> {
        let mut attempts = 0;
        let mut failing_since = None;
        loop {
            let error = match request().await {
                Ok(value) => return Ok(value),
                Err(error) => error,
            };
            attempts += 1;
            let since = *failing_since.get_or_insert_with(Instant::now);
            let enough = attempts >= self.tries || error.needs_time();
            if !is_retryable(&error) || (enough && since.elapsed() >= self.wait) {
                return Err(error);
            }
            let pause = self.pause(attempts, &error);
            failed(&error, pause);
            tokio::time::sleep(pause).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicU32, Ordering};

    const QUICK: RetryPolicy = RetryPolicy {
        tries: 12,
        wait: Duration::from_secs(1),
        first_pause: Duration::from_millis(1),
        longest_pause: Duration::from_millis(50),
    };

    #[tokio::test]
    async fn transient_errors_are_retried_and_others_are_not() {
        let policy = RetryPolicy { tries: 4, wait: Duration::ZERO, ..QUICK };
        let tries = AtomicU32::new(0);
        let outcome = policy
            .run(
                async || match tries.fetch_add(1, Ordering::Relaxed) {
                    0..2 => Err(Error::Connection("reset".into())),
                    _ => Ok(()),
                },
                Error::is_transient,
                |_, _| {},
            )
            .await;
        assert!(outcome.is_ok());
        assert_eq!(tries.swap(0, Ordering::Relaxed), 3);
        let fail = async |error: fn() -> Error| {
            let _ = policy
                .run(
                    async || {
                        tries.fetch_add(1, Ordering::Relaxed);
                        Err::<(), _>(error())
                    },
                    Error::is_transient,
                    |_, pause| assert!(pause <= policy.longest_pause),
                )
                .await;
            tries.swap(0, Ordering::Relaxed)
        };
        assert_eq!(fail(|| Error::Connection("reset".into())).await, 4);
        assert_eq!(fail(|| Error::Unexpected { status: 503, url: String::new(), text: String::new() }).await, 4);
        assert_eq!(fail(|| Error::Unexpected { status: 403, url: String::new(), text: String::new() }).await, 1);
    }

    #[tokio::test]
    async fn an_unreachable_server_is_retried_for_the_configured_time() {
        let tries = AtomicU32::new(0);
        let away = async || {
            tries.fetch_add(1, Ordering::Relaxed);
            Err::<(), _>(Error::Unreachable("refused".into()))
        };
        let began = Instant::now();
        let policy = RetryPolicy { tries: 2, ..QUICK };
        assert!(policy.run(away, Error::is_transient, |_, _| {}).await.is_err());
        assert!(began.elapsed() >= policy.wait && tries.swap(0, Ordering::Relaxed) > policy.tries);
        let policy = RetryPolicy { tries: 100, wait: Duration::ZERO, ..QUICK };
        assert!(policy.run(away, Error::is_transient, |_, _| {}).await.is_err());
        assert_eq!(tries.swap(0, Ordering::Relaxed), 1, "an unreachable server was retried");
        let unknown = async || {
            tries.fetch_add(1, Ordering::Relaxed);
            Err::<(), _>(Error::UnknownHost { host: "files.invalid:80".into(), text: String::new() })
        };
        assert!(policy.run(unknown, Error::is_transient, |_, _| {}).await.is_err());
        assert_eq!(tries.into_inner(), 1, "an unknown name was looked up again");
    }

    #[tokio::test]
    async fn a_full_disk_is_retried_for_the_configured_time_and_no_longer() {
        let tries = AtomicU32::new(0);
        let in_words_of_the_store = || Error::Unexpected { status: 507, url: String::new(), text: String::new() };
        let in_own_words = || {
            let body = serde_json::json!({"success": false, "error": "Full", "message": "the disk is full",
                "errorCode": "INSUFFICIENT_STORAGE", "requestId": ""});
            Error::Refused { body: Box::new(serde_json::from_value(body).unwrap()), retry_after: None }
        };
        for full in [&in_words_of_the_store as &dyn Fn() -> Error, &in_own_words] {
            let refuse = async || {
                tries.fetch_add(1, Ordering::Relaxed);
                Err::<(), _>(full())
            };
            let policy = RetryPolicy { wait: Duration::ZERO, ..QUICK };
            assert!(policy.run(refuse, Error::is_transient_for_part, |_, _| {}).await.is_err());
            assert_eq!(tries.swap(0, Ordering::Relaxed), 1, "a part was sent again to a full disk");
            let began = Instant::now();
            let policy = RetryPolicy { tries: 2, ..QUICK };
            assert!(policy.run(refuse, Error::is_transient_for_part, |_, _| {}).await.is_err());
            assert!(began.elapsed() >= policy.wait && tries.swap(0, Ordering::Relaxed) > policy.tries);
        }
    }
}
