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
        if matches!(verdict, Verdict::FewerAtOnce(_)) {
            state.peak = state.sending;
        }
        verdict
    }

    pub(super) fn arrived(&self, duration: Duration) {
        self.state().time_limit.arrived(duration);
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
