//! One turn of a job, or one item of a turn.
//!
//! Invariant: a panic ends a turn and never the job. It is logged, and the job continues with its next turn. If an item
//! panics, the turn continues with the items after it.

use std::any::Any;
use std::panic::AssertUnwindSafe;

use futures_util::FutureExt;

use crate::failpoint;

/// Runs a turn of the job called `job`; `None` if it panicked. A panic drops the values of the turn at any point, so a turn must
/// tolerate that as it tolerates a killed process.
pub(crate) async fn turn<T>(job: &'static str, work: impl Future<Output = T>) -> Option<T> {
    let guarded = AssertUnwindSafe(async {
        failpoint::hit(job);
        work.await
    });
    match guarded.catch_unwind().await {
        Ok(done) => Some(done),
        Err(panic) => {
            tracing::error!(job, panic = message(&*panic), "a job panicked; it continues with its next turn");
            None
        }
    }
}

fn message(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("no message")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_panic_ends_a_turn_and_not_the_job() {
        let mut done = Vec::new();
        for number in 0..3 {
            let work = async {
                tokio::task::yield_now().await;
                assert_ne!(number, 1, "a panic in the middle");
                number
            };
            done.push(turn("test", work).await);
        }
        assert_eq!(done, [Some(0), None, Some(2)]);
    }
}
