//! Trying again: exponential backoff with full jitter, so that many clients do not come back all at once
//! (<https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/>).

use std::time::Duration;

use rand::RngExt;
use tokio::time::Instant;

use crate::Error;

/// How often and how patiently a request is tried again.
#[derive(Debug, Clone, Copy)]
pub struct RetryPolicy {
    /// Tries of one request, the first included, that are made in any case, as long as there is a server: on a slow line
    /// each of them may take many minutes.
    pub tries: u32,
    /// How long after its first failure a request is still tried again: for a server that is away for a while.
    pub wait: Duration,
    /// Longest first pause; it doubles with every try.
    pub first_pause: Duration,
    /// Longest pause.
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
    fn pause(&self, tried: u32, error: &Error) -> Duration {
        let longest = self.first_pause.saturating_mul(1_u32 << (tried - 1).min(20)).min(self.longest_pause);
        let jittered = longest.mul_f64(rand::rng().random_range(0.0..=1.0));
        error.retry_after().map_or(jittered, |asked| asked.max(jittered))
    }

    /// Runs `request` until it succeeds, fails in a way that is not `mendable`, or has been tried often and long
    /// enough. `failed` hears of every try that will be followed by another.
    pub(crate) async fn run<T>(
        &self,
        mut request: impl AsyncFnMut() -> Result<T, Error>,
        mendable: impl Fn(&Error) -> bool,
        failed: impl Fn(&Error, Duration),
    ) -> Result<T, Error> {
        let mut tried = 0;
        let mut failing_since = None;
        loop {
            let error = match request().await {
                Ok(value) => return Ok(value),
                Err(error) => error,
            };
            tried += 1;
            let since = *failing_since.get_or_insert_with(Instant::now);
            let enough = tried >= self.tries || error.is_away();
            if !mendable(&error) || (enough && since.elapsed() >= self.wait) {
                return Err(error);
            }
            let pause = self.pause(tried, &error);
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
    async fn what_can_be_mended_is_tried_again_and_what_cannot_is_not() {
        let policy = RetryPolicy { tries: 4, wait: Duration::ZERO, ..QUICK };
        let tries = AtomicU32::new(0);
        let outcome = policy
            .run(
                async || match tries.fetch_add(1, Ordering::Relaxed) {
                    0..2 => Err(Error::Connection("reset".into())),
                    _ => Ok(()),
                },
                Error::is_mendable,
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
                    Error::is_mendable,
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
    async fn a_server_that_is_away_is_waited_for_as_long_as_told() {
        let tries = AtomicU32::new(0);
        let away = async || {
            tries.fetch_add(1, Ordering::Relaxed);
            Err::<(), _>(Error::Unreachable("refused".into()))
        };
        let began = Instant::now();
        let policy = RetryPolicy { tries: 2, ..QUICK };
        assert!(policy.run(away, Error::is_mendable, |_, _| {}).await.is_err());
        assert!(began.elapsed() >= policy.wait && tries.swap(0, Ordering::Relaxed) > policy.tries);
        let policy = RetryPolicy { tries: 100, wait: Duration::ZERO, ..QUICK };
        assert!(policy.run(away, Error::is_mendable, |_, _| {}).await.is_err());
        assert_eq!(tries.swap(0, Ordering::Relaxed), 1, "an absent server was tried again");
        let unknown = async || {
            tries.fetch_add(1, Ordering::Relaxed);
            Err::<(), _>(Error::UnknownHost { host: "files.invalid:80".into(), text: String::new() })
        };
        assert!(policy.run(unknown, Error::is_mendable, |_, _| {}).await.is_err());
        assert_eq!(tries.into_inner(), 1, "a name that leads nowhere was looked up again");
    }
}
