//! One turn of a job, or one of the many things that a turn does.
//!
//! Invariant: a panic ends a turn and never the job. It is logged, and the job goes on with its next turn; what comes behind
//! the thing that panicked has its turn in this one.

use std::any::Any;
use std::panic::AssertUnwindSafe;

use futures_util::FutureExt;

use crate::failpoint;

/// Has the job called `job` take a turn; `None` when that panicked. Whatever the turn held was dropped, so that every turn must
/// leave things as a process that was killed may leave them.
pub(crate) async fn turn<T>(job: &'static str, work: impl Future<Output = T>) -> Option<T> {
    let guarded = AssertUnwindSafe(async {
        failpoint::hit(job);
        work.await
    });
    match guarded.catch_unwind().await {
        Ok(done) => Some(done),
        Err(panic) => {
            tracing::error!(job, panic = message(&*panic), "a job panicked, and goes on with its next turn");
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
