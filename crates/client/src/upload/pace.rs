//! Permits for attempts to send a part. Their number shrinks when a proxy bounds the time of requests; the sessions of one upload share it.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::Instant;

use super::time_limit::{Cut, TimeLimit, Verdict};

/// The number of parts that are sent at the same time.
#[derive(Debug)]
pub(super) struct Pace {
    state: Mutex<State>,
    freed: Notify,
}

#[derive(Debug)]
struct State {
    sending: usize,
    /// The highest `sending` since the last change.
    peak: usize,
    time_limit: TimeLimit,
}

impl Pace {
    pub(super) fn new(at_once: usize) -> Self {
        Self {
            state: Mutex::new(State { sending: 0, peak: 0, time_limit: TimeLimit::new(at_once) }),
            freed: Notify::new(),
        }
    }

    /// Waits until one more part may be sent.
    pub(super) async fn permit(&self) -> SendPermit<'_> {
        loop {
            let freed = self.freed.notified();
            {
                let mut state = self.state();
                if state.sending < state.time_limit.at_once() {
                    state.sending += 1;
                    state.peak = state.peak.max(state.sending);
                    return SendPermit(self);
                }
            }
            freed.await;
        }
    }

    pub(super) fn judge(&self, cut: Cut) -> Verdict {
        let mut state = self.state();
        let peak = state.peak;
        let verdict = state.time_limit.judge(cut, peak, Instant::now());
        match verdict {
            Verdict::FewerAtOnce(_) => state.peak = state.sending,
            Verdict::Refuted(Some(_)) => self.freed.notify_waiters(),
            _ => {}
        }
        verdict
    }

    /// Notes a part that arrived. Returns how many parts may be sent at the same time, if that lifted their bound.
    pub(super) fn arrived(&self, duration: Duration) -> Option<usize> {
        let lifted = self.state().time_limit.arrived(duration);
        if lifted.is_some() {
            self.freed.notify_waiters();
        }
        lifted
    }

    pub(super) fn smaller_parts(&self) {
        self.state().time_limit.smaller_parts(Instant::now());
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Permission to send one part, until it is dropped.
pub(super) struct SendPermit<'p>(&'p Pace);

impl Drop for SendPermit<'_> {
    fn drop(&mut self) {
        self.0.state().sending -= 1;
        self.0.freed.notify_waiters();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn those_who_wait_go_on_once_the_bound_is_lifted() {
        let pace = Pace::new(2);
        let held = pace.permit().await;
        drop(pace.permit().await);
        let now = Instant::now();
        let verdicts = [0, 1, 2].map(|round| {
            let began = now + Duration::from_secs(60) * round;
            let (duration, silent) = (Duration::from_secs(60), Duration::ZERO);
            pace.judge(Cut { began, duration, silent, sent_bytes: 6, part_bytes: 10 })
        });
        assert_eq!(verdicts, [Verdict::Unrelated, Verdict::Unrelated, Verdict::FewerAtOnce(1)]);
        let mut waiting = std::pin::pin!(pace.permit());
        let waited = tokio::time::timeout(Duration::from_millis(50), &mut waiting).await;
        assert!(waited.is_err(), "one is sent already");
        assert_eq!(pace.arrived(Duration::from_secs(100)), Some(2));
        drop(tokio::time::timeout(Duration::from_secs(60), waiting).await.unwrap());
        drop(held);
    }
}
