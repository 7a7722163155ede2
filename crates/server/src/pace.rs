//! The minimum speed of clients: a timeout for no progress, and a minimum rate over some minutes.
//!
//! Invariant: only the time for which the server waits for the client counts. A client that waits for the server's disk, or for
//! an answer, is never too slow.

use std::time::Duration;

use crate::config::HttpSettings;

/// The bounds of one direction of a connection.
#[derive(Debug, Clone, Copy)]
pub(crate) struct PaceLimits {
    /// Maximum time without progress.
    pub(crate) stall_timeout: Duration,
    /// Minimum bytes in a window.
    pub(crate) least_bytes: u64,
    /// The waiting time that makes up a window.
    pub(crate) window: Duration,
}

impl PaceLimits {
    pub(crate) fn new(settings: &HttpSettings) -> Self {
        let (window, rate) = (settings.min_rate_window_seconds, settings.min_rate_bytes_per_second.unwrap_or(0));
        Self { stall_timeout: settings.stall_timeout_seconds, least_bytes: rate * window.as_secs(), window }
    }
}

/// Progress of one direction of a connection in the current window.
#[derive(Debug)]
pub(crate) struct Pace {
    limits: PaceLimits,
    waited: Duration,
    bytes: u64,
}

impl Pace {
    pub(crate) fn new(limits: PaceLimits) -> Self {
        Self { limits, waited: Duration::ZERO, bytes: 0 }
    }

    pub(crate) fn limits(&self) -> PaceLimits {
        self.limits
    }

    /// Counts bytes and the time spent waiting for them. False if they were too few over a whole window.
    #[must_use]
    pub(crate) fn keeps(&mut self, waited: Duration, bytes: u64) -> bool {
        self.waited += waited;
        self.bytes += bytes;
        if self.waited < self.limits.window {
            return true;
        }
        // The window may have ended some time ago.
        let min = u128::from(self.limits.least_bytes) * self.waited.as_millis() / self.limits.window.as_millis().max(1);
        let is_fast = u128::from(self.bytes) >= min;
        (self.waited, self.bytes) = (Duration::ZERO, 0);
        is_fast
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pace() -> Pace {
        let seconds = Duration::from_secs;
        Pace::new(PaceLimits { stall_timeout: seconds(30), least_bytes: 120 * 1024, window: seconds(120) })
    }

    #[test]
    fn a_byte_now_and_then_is_too_slow_within_a_window() {
        let mut pace = pace();
        let kept = (0..100).take_while(|_| pace.keeps(Duration::from_secs(29), 1)).count();
        assert_eq!(kept, 4);
    }

    #[test]
    fn a_slow_line_passes_for_ever_and_a_burst_makes_up_for_a_pause() {
        let mut pace = pace();
        assert!((0..10_000).all(|_| pace.keeps(Duration::from_secs(1), 1024)));
        assert!((0..10_000).all(|n| pace.keeps(Duration::from_secs(10), if n % 10 == 0 { 200 * 1024 } else { 0 })));
    }
}
