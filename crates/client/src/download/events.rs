//! Events of a download.

use std::time::Duration;

use crate::Error;

/// An event during a download, for progress bars.
#[derive(Debug)]
pub enum DownloadEvent<'e> {
    /// The bytes of an earlier run are of another version or unusable, so the download starts from the beginning.
    Restarted,
    /// The size is known; no byte was received yet.
    Started {
        /// Size of the file, if the server names it.
        size_bytes: Option<u64>,
        /// Bytes that an earlier run received.
        bytes_there: u64,
    },
    /// More bytes were received and written.
    Received {
        /// Bytes since the last event of this kind.
        bytes: u64,
    },
    /// A request failed and is retried.
    Retrying {
        /// Cause of the failure.
        error: &'e Error,
        /// Bytes reported as received that are received again.
        bytes_lost: u64,
        /// Time until the retry.
        pause: Duration,
    },
    /// All bytes were received; they are compared and synced.
    Completing,
}

/// The callback that receives events. It is called on the threads that receive, so it must not block.
pub(super) type OnEvent<'e> = &'e (dyn Fn(DownloadEvent<'_>) + Send + Sync);
