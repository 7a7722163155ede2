//! Why an upload request was refused or failed.

use std::time::Duration;

use partway_api::ErrorCode;
use uuid::Uuid;

use super::session::QuotaHeadroom;
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
    /// Unknown, or of another workspace.
    #[error("the workspace has no session {0:?}")]
    SessionNotFound(String),
    /// Nobody knows it, and its id is so old that it may have been forgotten.
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
    #[error("session {0} is completed; it takes no more parts")]
    SessionCompleted(Uuid),
    /// The session was aborted.
    #[error("session {0} was aborted; start a new one")]
    SessionAborted(Uuid),
    /// The session's time is over.
    #[error("session {0} has expired; start a new one")]
    SessionExpired(Uuid),
    /// A public key on an upload that it did not start.
    #[error("session {0} was started with another key; a public key may only work on the uploads it started")]
    NotYours(Uuid),
    /// The key that the upload was begun with is revoked, and its uploads with it.
    #[error("the API key that the upload was begun with is revoked; start anew with another key")]
    KeyRevoked,
    /// `uuid` is not the session's.
    #[error("`uuid` is {given:?}; allowed: {expected}, which starting this session answered, or none")]
    UuidMismatch {
        /// What was given.
        given: String,
        /// What the session has.
        expected: Uuid,
    },
    /// The key was used for another request.
    #[error(
        "`Idempotency-Key` is {0:?}, which another request body was sent with; allowed: the same body, or another key"
    )]
    IdempotencyKeyReused(String),
    /// The workspace has no room left.
    #[error(
        "`size` is {size_bytes}; allowed: at most {} bytes, what is left of the workspace's limit of {limit_bytes} \
         ({counted_bytes} are in files and open sessions of private keys)",
        limit_bytes.saturating_sub(*counted_bytes)
    )]
    StorageLimitExceeded {
        /// What was asked for.
        size_bytes: u64,
        /// What the workspace holds.
        counted_bytes: u64,
        /// What it may hold.
        limit_bytes: u64,
    },
    /// The workspace has no room left for a file whose size is known when it has come.
    #[error(
        "the file does not fit into the workspace; allowed: at most {} bytes, what is left of its limit of {} ({} are in \
         files and open sessions of private keys)",
        .0.left_bytes(), .0.limit_bytes, .0.counted_bytes
    )]
    NoRoomInWorkspace(QuotaHeadroom),
    /// The workspace has many sessions.
    #[error(
        "the workspace has {open} open sessions of private keys; allowed: at most {limit}; complete or abort some, or let \
         them expire"
    )]
    TooManySessions {
        /// How many it has.
        open: u64,
        /// How many it may have.
        limit: u64,
    },
    /// The same, told to a stranger.
    #[error("the workspace has no room left for the file; its owner can make some, or raise its limit")]
    WorkspaceFull,
    /// The same, told to a stranger.
    #[error("the workspace has as many open sessions as it may; come again when some have ended")]
    WorkspaceBusy,
    /// A file that came whole is too large.
    #[error("the file is larger than {} bytes, which is the most allowed {}", .0.bytes, .0.whose)]
    FileTooLarge(SizeLimit),
    /// A file could not be fetched.
    #[error("{}", fetch_problem(.0))]
    Fetch(#[from] FetchError),
    /// What the client said of the file is not as it must be.
    #[error(transparent)]
    Invalid(#[from] InvalidInput),
    /// Many others do the same.
    #[error("too many files are passing through at once; come again in a few seconds")]
    Busy,
    /// Writing took so long that what was written was taken for dead.
    #[error("storing the file was held up for so long that it was given up; send it again")]
    HeldUp,
    /// The session's parts are being verified, or its blob takes long to open.
    #[error("session {0} is being opened: its parts are verified after an unclean stop; come again in a few seconds")]
    Opening(Uuid),
    /// The session has fewer parts.
    #[error("`parts` has {part_index}; allowed: indices from 0 to {}", total - 1)]
    NoSuchPart {
        /// The index given.
        part_index: u32,
        /// Parts of the session.
        total: u32,
    },
    /// The whole file is not the one that its client means.
    #[error(
        "`hash` is {declared}; the bytes that arrived have {received}; send the right ones again, or another `hash`"
    )]
    HashMismatch {
        /// The hash that the client named.
        declared: String,
        /// What came.
        received: String,
    },
    /// The whole file's hash is of a kind that cannot be compared.
    #[error(
        "`hash` is {declared}; allowed here: {}…, or none{}",
        known.prefix(),
        if *known == HashKind::Crc64Nvme { " (parts go to an S3 store, which keeps no other hash)" } else { "" }
    )]
    HashKind {
        /// What the client said.
        declared: String,
        /// What would be compared.
        known: HashKind,
    },
    /// There is nothing to compare the whole file's hash with.
    #[error(
        "`hash` is {declared}; allowed here: none (the store keeps no CRC-64/NVME of whole objects, so nothing can be \
         compared with it)"
    )]
    HashNotKept {
        /// What the client said.
        declared: String,
    },
    /// Somebody else has sent parts in the place of those that the client means.
    #[error(
        "`etags_sha256` is not that of the parts which session {0} has, or was completed with; `part_etags` of its status \
         lists the ETags of those that are there"
    )]
    OtherParts(Uuid),
    /// ETags are named where they are not compared.
    #[error("`etags_sha256` is given; allowed here: none (the parts go to no S3 store; `hash` is compared)")]
    EtagsNotCompared,
    /// Another request is ending the session, and takes long.
    #[error("session {0} is being completed or aborted by another request; come again in a few seconds")]
    Ending(Uuid),
    /// The part is not the one that its sender sent.
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
    /// Complete came too early.
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
        /// Bytes that came.
        received: u64,
        /// Bytes of the part.
        expected: u64,
    },
    /// The body went on.
    #[error("the body has more than {expected} bytes, which is the length of part {part_index}")]
    PartTooLong {
        /// The part, from 0.
        part_index: u32,
        /// Bytes of the part.
        expected: u64,
    },
    /// The disk lost bytes while the part was written.
    #[error("the disk failed while part {0} was written")]
    SyncFailed(u32),
    /// Nothing came for too long.
    #[error("no byte of the body came for {} seconds", .0.as_secs())]
    Stalled(Duration),
    /// Bytes come, but so slowly that others wait for the place.
    #[error("the body is too slow: {bytes} bytes must come within {} seconds; slow lines send parts", within.as_secs())]
    TooSlow {
        /// How many.
        bytes: u64,
        /// Within which time.
        within: Duration,
    },
    /// It took so long in all that others wait for the place.
    #[error("the upload took longer than {} seconds, the longest allowed{}; slow lines send parts", .0.seconds, .0.whose)]
    TookTooLong(TtlLimit),
    /// The connection broke, or the body was malformed.
    #[error("the body broke off: {0}")]
    BodyBroken(String),
    /// Another request for the same part came later.
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

    /// What a session that has come to `status` answers to a part.
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

    /// The error for a session that is not there, or not for whoever asks, where ended ones are remembered for so long. Ids
    /// begin with their time: the answer tells nothing of the sessions of others.
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
