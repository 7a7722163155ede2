//! Why an upload request was refused or failed.

use std::time::Duration;

use partway_api::ErrorCode;
use uuid::Uuid;

use super::session::quota::QuotaHeadroom;
use crate::db::DbError;
use crate::db::sessions::Status;
use crate::hmac_keys::to_hex;
use crate::input::{HashKind, InvalidInput, SizeLimit, TtlLimit};
use crate::outgoing::FetchError;
use crate::pace::PaceLimits;
use crate::storage::{DigestMismatch, StorageError};

/// Why an upload request was refused or failed. The messages are for the developer of the client.
#[derive(Debug, thiserror::Error)]
pub enum UploadError {
    /// The session is unknown, or of another workspace.
    #[error("the workspace has no session {0:?}")]
    SessionNotFound(String),
    /// The session is unknown, and its id is so old that it may have been forgotten.
    #[error(
        "nothing is known of session {id}: sessions are forgotten {} seconds after they end \
         (limits.forget_sessions_seconds); start a new one",
        after.as_secs()
    )]
    SessionForgotten {
        /// The session.
        id: Uuid,
        /// How long ended sessions are remembered.
        after: Duration,
    },
    /// The session is complete and takes no part.
    #[error("session {0} is completed; it takes no more parts and cannot be aborted")]
    SessionCompleted(Uuid),
    /// The session was aborted.
    #[error("session {0} was aborted; start a new one")]
    SessionAborted(Uuid),
    /// The session's time is over.
    #[error("session {0} has expired; start a new one")]
    SessionExpired(Uuid),
    /// A public key was used on an upload that it did not start.
    #[error("session {0} was started with another key; a public key may only work on the uploads it started")]
    NotYours(Uuid),
    /// The key that the upload was begun with is revoked, and its uploads with it.
    #[error("the API key that the upload was begun with is revoked; start again with another key")]
    KeyRevoked,
    /// `uuid` is not the id of the session's file.
    #[error("`uuid` is {given:?}; allowed: {expected}, which starting this session answered, or none")]
    UuidMismatch {
        /// The given value.
        given: String,
        /// The id of the session's file.
        expected: Uuid,
    },
    /// The idempotency key was used for another request.
    #[error(
        "`Idempotency-Key` is {0:?}, which another request body was sent with; allowed: the same body, or another key"
    )]
    IdempotencyKeyReused(String),
    /// The workspace has not enough quota left.
    #[error(
        "`size` is {size_bytes}; allowed: at most {} bytes, what is left of the workspace's limit of {limit_bytes} \
         ({counted_bytes} are in files and open sessions of private keys)",
        limit_bytes.saturating_sub(*counted_bytes)
    )]
    StorageLimitExceeded {
        /// Size of the file.
        size_bytes: u64,
        /// Bytes that the workspace uses.
        counted_bytes: u64,
        /// Upper bound of these bytes.
        limit_bytes: u64,
    },
    /// The workspace has not enough quota left for a file whose size is known only when it has arrived.
    #[error(
        "the file does not fit into the workspace; allowed: at most {} bytes, what is left of its limit of {} ({} are in \
         files and open sessions of private keys)",
        .0.left_bytes(), .0.limit_bytes, .0.counted_bytes
    )]
    NoRoomInWorkspace(QuotaHeadroom),
    /// The workspace has too many open sessions.
    #[error(
        "the workspace has {open} open sessions of private keys; allowed: at most {limit}; complete or abort some, or let \
         them expire"
    )]
    TooManySessions {
        /// Number of open sessions.
        open: u64,
        /// Upper bound of this number.
        limit: u64,
    },
    /// The workspace has not enough quota left, as a public key learns it: without numbers.
    #[error("the workspace has no room left for the file; its owner can make some, or raise its limit")]
    WorkspaceFull,
    /// The workspace has too many open sessions, as a public key learns it: without numbers.
    #[error("the workspace has as many open sessions as it may; try again when some have ended")]
    WorkspaceBusy,
    /// A file that arrives in one piece is too large.
    #[error("the file is too large; allowed: at most {} bytes {}", .0.bytes, .0.whose)]
    FileTooLarge(SizeLimit),
    /// A file could not be fetched.
    #[error("{}", fetch_problem(.0))]
    Fetch(#[from] FetchError),
    /// A field of the request breaks a rule.
    #[error(transparent)]
    Invalid(#[from] InvalidInput),
    /// Too many uploads are in flight.
    #[error("too many uploads are in flight; try again in a few seconds")]
    Busy,
    /// Writing paused for so long that the cleaner took the blob.
    #[error("storing the file took so long that its bytes were deleted; send it again")]
    HeldUp,
    /// The session's parts are being verified, or its blob takes long to open.
    #[error("session {0} is being opened: its parts are verified after an unclean stop; try again in a few seconds")]
    Opening(Uuid),
    /// The session has fewer parts.
    #[error("`parts` has {part_index}; allowed: indices from 0 to {}", total - 1)]
    NoSuchPart {
        /// The index given.
        part_index: u32,
        /// Parts of the session.
        total: u32,
    },
    /// The whole file has another hash than its client expects.
    #[error(
        "`hash` is {declared}; the bytes that arrived have {received}; send the right ones again, or another `hash`"
    )]
    HashMismatch {
        /// The hash that the client named.
        declared: String,
        /// The hash of the bytes that arrived.
        received: String,
    },
    /// The whole file's hash is of a kind that cannot be compared.
    #[error(
        "`hash` is {declared}; allowed here: {}…, or none{}",
        known.prefix(),
        if *known == HashKind::Crc64Nvme { " (parts go to an S3 store, which keeps no other hash)" } else { "" }
    )]
    HashKind {
        /// The hash that the client named.
        declared: String,
        /// The kind that is compared.
        known: HashKind,
    },
    /// There is nothing to compare the whole file's hash with.
    #[error(
        "`hash` is {declared}; allowed here: none (the store keeps no CRC-64/NVME of whole objects, so nothing can be \
         compared with it)"
    )]
    HashNotKept {
        /// The hash that the client named.
        declared: String,
    },
    /// The parts have other ETags than the client expects: somebody else has sent parts.
    #[error(
        "`etags_sha256` is not that of the parts which session {0} has, or was completed with; `part_etags` of its status \
         lists the ETags of those that are there"
    )]
    OtherParts(Uuid),
    /// ETags are named where they are not compared.
    #[error("`etags_sha256` is given; allowed here: none (the parts go to no S3 store; `hash` is compared)")]
    EtagsNotCompared,
    /// Another request is ending the session, and takes long.
    #[error("session {0} is being completed or aborted by another request; try again in a few seconds")]
    Ending(Uuid),
    /// The part's bytes do not have the digest that its sender named.
    #[error(
        "the {} of part {part_index} is {}; it was sent as {}",
        mismatch.algorithm.name(),
        to_hex(&mismatch.received),
        to_hex(&mismatch.expected)
    )]
    DigestMismatch {
        /// The part, from 0.
        part_index: u32,
        /// The digests.
        mismatch: DigestMismatch,
    },
    /// The session cannot be completed yet.
    #[error("{} of {total} parts are missing; `missing_parts` lists their indices (from 0)", missing.len())]
    PartsMissing {
        /// Indices, ascending.
        missing: Vec<u32>,
        /// Parts of the session.
        total: u32,
    },
    /// The body ended early.
    #[error("the body has {received} bytes; part {part_index} has exactly {expected}")]
    PartTooShort {
        /// The part, from 0.
        part_index: u32,
        /// Bytes that arrived.
        received: u64,
        /// Bytes of the part.
        expected: u64,
    },
    /// The body is longer than the part.
    #[error("the body has more than {expected} bytes, which is the length of part {part_index}")]
    PartTooLong {
        /// The part, from 0.
        part_index: u32,
        /// Bytes of the part.
        expected: u64,
    },
    /// A sync failed while the part was written, so its bytes may be lost.
    #[error("the disk failed while part {0} was written")]
    SyncFailed(u32),
    /// No byte arrived for too long.
    #[error("no byte of the body came for {} seconds", .0.as_secs())]
    Stalled(Duration),
    /// The body arrives more slowly than the minimum pace.
    #[error("the body is too slow: {bytes} bytes must come within {} seconds; slow lines send parts", within.as_secs())]
    TooSlow {
        /// Bytes that must arrive.
        bytes: u64,
        /// The time in which they must arrive.
        within: Duration,
    },
    /// The whole upload took longer than is allowed.
    #[error("the upload took longer than {} seconds, the longest allowed{}; slow lines send parts", .0.seconds, .0.whose)]
    TookTooLong(TtlLimit),
    /// The connection broke, or the body was malformed.
    #[error("the body broke off: {0}")]
    BodyBroken(String),
    /// A later request for the same part arrived.
    #[error("a later request for part {0} took its place")]
    Superseded(u32),
    /// The database failed.
    #[error(transparent)]
    Db(#[from] DbError),
    /// The storage failed.
    #[error(transparent)]
    Storage(#[from] StorageError),
}

impl UploadError {
    /// [`UploadError::WorkspaceFull`], where it is refused like input.
    pub(super) fn workspace_full() -> InvalidInput {
        InvalidInput { code: ErrorCode::StorageLimitExceeded, message: Self::WorkspaceFull.to_string() }
    }

    /// The error for a part of a session that has ended with `status`.
    pub(super) fn ended(session_id: Uuid, status: Status) -> Self {
        match status {
            Status::Completed => Self::SessionCompleted(session_id),
            Status::Aborted => Self::SessionAborted(session_id),
            // Uploading sessions are refused only for their age.
            Status::Expired | Status::Uploading => Self::SessionExpired(session_id),
        }
    }

    /// The same, where the session may even be gone.
    pub(super) fn ended_or_gone(session_id: Uuid, status: Option<Status>) -> Self {
        status.map_or_else(|| Self::SessionNotFound(session_id.to_string()), |status| Self::ended(session_id, status))
    }

    /// The error for a session that does not exist or is not the caller's. It may be forgotten where its id is older than `remembered`; ids
    /// begin with their time, so the answer reveals nothing about the sessions of others.
    pub(super) fn unknown(session_id: &str, remembered: Duration) -> Self {
        match Uuid::try_parse(session_id) {
            Ok(id) if age(id).is_some_and(|age| age > remembered) => Self::SessionForgotten { id, after: remembered },
            _ => Self::SessionNotFound(session_id.to_owned()),
        }
    }

    /// A body that did not keep its pace.
    pub(crate) fn too_slow(limits: PaceLimits) -> Self {
        Self::TooSlow { bytes: limits.least_bytes, within: limits.window }
    }
}

/// How long ago the id was made, where it says so (UUID version 7).
fn age(id: Uuid) -> Option<Duration> {
    let (seconds, nanoseconds) = id.get_timestamp().filter(|_| id.get_version_num() == 7)?.to_unix();
    let made = std::time::UNIX_EPOCH + Duration::new(seconds, nanoseconds);
    made.elapsed().ok()
}

fn fetch_problem(error: &FetchError) -> String {
    match error {
        FetchError::Forbidden(_) => error.to_string(),
        other => format!("the server of `remote_url` did not deliver the file: {other}"),
    }
}
