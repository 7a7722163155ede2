//! Watches a request that sends a part: reports its progress, and ends it when it stalls.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::time::Instant;

use super::events::{Event, OnEvent};
use crate::Error;

/// Interval of progress reports.
const REPORT_INTERVAL: Duration = Duration::from_millis(100);
/// Upper bound of the bytes that buffers of this machine hold for one connection: Linux's limit of a socket buffer
/// (net.ipv4.tcp_wmem).
const MAX_BUFFERED_BYTES: u64 = 4 * 1024 * 1024;

/// Bounds after which a connection counts as dead.
#[derive(Debug, Clone, Copy)]
pub(super) struct StallLimits {
    /// Time without a byte or an answer.
    pub(super) timeout: Duration,
    /// Slowest line, in bytes per second, on which buffered bytes may still be under way without a sign of progress.
    pub(super) slowest_rate: u64,
}

/// Runs a request. `sent` counts the bytes of its body that were handed to the network. Returns also the time since the last of them.
pub(super) async fn watch<T>(
    request: impl Future<Output = Result<T, Error>>,
    sent: &AtomicU64,
    limits: StallLimits,
    on_event: OnEvent<'_>,
) -> (Result<T, Error>, Duration) {
    let mut reported = 0;
    let mut last_progress = Instant::now();
    let mut request = std::pin::pin!(request);
    loop {
        let outcome = tokio::time::timeout(REPORT_INTERVAL, request.as_mut()).await;
        let now = sent.load(Ordering::Relaxed);
        if now > reported {
            on_event(Event::Sent { bytes: now - reported });
            reported = now;
            last_progress = Instant::now();
        }
        let buffered = Duration::from_secs(now.min(MAX_BUFFERED_BYTES) / limits.slowest_rate);
        let silent = last_progress.elapsed();
        match outcome {
            Ok(output) => return (output, silent),
            Err(_) if silent >= limits.timeout + buffered => {
                let seconds = silent.as_secs();
                let error = Error::Stalled(format!("no byte was taken and no answer came for {seconds} s"));
                return (Err(error), silent);
            }
            Err(_) => {}
        }
    }
}
