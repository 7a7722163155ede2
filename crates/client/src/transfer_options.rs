//! Options that uploads and downloads share.

use std::time::Duration;

use crate::RetryPolicy;

/// How the bytes of a file are transferred, in either direction.
///
/// ```
/// use std::time::Duration;
/// use partway_client::{RetryPolicy, TransferOptions};
///
/// let patient = TransferOptions {
///     concurrency: 8,
///     retry: RetryPolicy { wait: Duration::from_secs(3600), ..RetryPolicy::default() },
///     ..TransferOptions::default()
/// };
/// ```
#[derive(Debug, Clone, Copy)]
pub struct TransferOptions {
    /// Parts that are sent, or ranges that are fetched, at the same time; 0 counts as 1. By default 4: enough to fill a line with some
    /// delay, few enough for a phone. An upload sends fewer where a proxy ends requests before they get through.
    pub concurrency: usize,
    /// How failed requests are retried.
    pub retry: RetryPolicy,
    /// Time without a byte or an answer after which a connection is dead, even if a proxy keeps it open. By default 60 s. (The kernel
    /// notices a peer that is gone sooner.)
    pub stall_timeout: Duration,
}

impl Default for TransferOptions {
    fn default() -> Self {
        Self { concurrency: 4, retry: RetryPolicy::default(), stall_timeout: Duration::from_secs(60) }
    }
}

impl TransferOptions {
    /// Transfers at the same time, at least one.
    pub(crate) fn at_once(&self) -> usize {
        self.concurrency.max(1)
    }
}
