//! Events of an upload, and the notes of its parts that a later run needs.

use std::time::Duration;

use crate::Error;

/// An event during an upload, for progress bars and for notes that outlive the process.
#[derive(Debug)]
pub enum Event<'e> {
    /// The session is known. Comes first, so that its id can be kept.
    Session {
        /// Id of the session.
        session_id: &'e str,
    },
    /// The missing parts are known; none was sent yet.
    Started {
        /// Id of the session.
        session_id: &'e str,
        /// Number of its parts.
        parts_total: u32,
        /// Number of parts that the server has already.
        parts_there: u32,
        /// Size of the file.
        size_bytes: u64,
        /// Bytes that the server has already.
        bytes_there: u64,
    },
    /// Parts of an earlier run are compared with the file as it is now, because the server compares nothing. Takes as long as
    /// reading them.
    Comparing {
        /// Number of those parts.
        parts: u32,
    },
    /// The comparison is done; nothing was sent yet. Notes of the parts that differ, or whose bytes are unknown, must be dropped: those
    /// parts are sent again.
    Compared {
        /// Indices of the parts that match the file, ascending.
        same: &'e [u32],
        /// Indices of the others.
        others: &'e [u32],
    },
    /// A part arrived at a store that does not compare the whole file.
    PartSent {
        /// Index of the part.
        index: u32,
        /// Note of the part, for [`Upload::sent_parts`](super::Upload::sent_parts).
        part: &'e SentPart,
    },
    /// More bytes were handed to the network.
    Sent {
        /// Bytes since the last event of this kind.
        bytes: u64,
    },
    /// A request failed and is retried.
    Retrying {
        /// Cause of the failure.
        error: &'e Error,
        /// Bytes reported as sent that are sent again.
        bytes_lost: u64,
        /// Time until the retry.
        pause: Duration,
    },
    /// A proxy ends requests after a time in which the parts that are sent at the same time do not get through. Fewer are sent at the
    /// same time from now on. The attempt's [`Retrying`](Self::Retrying) follows.
    FewerAtOnce {
        /// The end of the last attempt that it ended.
        error: &'e Error,
        /// Duration of that attempt.
        limit: Duration,
        /// Parts that are sent at the same time from now on.
        at_once: usize,
    },
    /// An attempt lasted much longer than the time after which a proxy seemed to end requests, so as many parts as before are sent at
    /// the same time.
    MoreAtOnce {
        /// Parts that are sent at the same time from now on.
        at_once: usize,
    },
    /// A proxy refused a part for its size or its duration. The upload starts again with smaller parts.
    SmallerParts {
        /// The refusal.
        error: &'e Error,
        /// Size of the smaller parts, in bytes.
        part_size: u64,
    },
    /// All parts were sent; the server completes the file.
    Completing,
}

/// The callback that receives events. It is called on the threads that send, so it must not block.
pub(super) type OnEvent<'e> = &'e (dyn Fn(Event<'_>) + Send + Sync);

/// Reports each retry, where no byte is lost by one.
pub(super) fn retrying(on_event: OnEvent<'_>) -> impl Fn(&Error, Duration) {
    move |error, pause| on_event(Event::Retrying { error, bytes_lost: 0, pause })
}

/// The BLAKE3 of a part's bytes.
pub type PartHash = [u8; 32];

/// A part as it was sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SentPart {
    /// The BLAKE3 of its bytes.
    pub hash: PartHash,
    /// The ETag that the store answered, without quotes.
    pub etag: String,
}
