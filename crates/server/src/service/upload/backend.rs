//! The contract between uploads and a kind of storage.
//!
//! The database holds the state of every session; a backend holds its bytes. [`Uploads`](super::Uploads) authorizes, looks sessions
//! up and decides which backend is asked; a backend moves bytes and makes the state changes of its own sessions, by the rules of
//! [`session`](super::session). `crates/server/tests/api/backends.rs` holds every implementation to this contract.
//!
//! Rules for all methods:
//! - **Order.** A row is durable before the bytes that it names exist, and bytes are durable before a transaction makes them a file.
//!   A crash between two steps therefore leaves a row without bytes, or garbage that has a row; never bytes without an owner.
//! - **Crash.** No method has to be undone by its caller after a crash. A session without its bytes is made whole by
//!   [`ensure_blob`](PartsBackend::ensure_blob) or ends by [`end`](PartsBackend::end) when it is overdue; blobs of ended sessions and
//!   unfinished direct uploads are rows of `garbage`, and the cleaner deletes them.
//! - **Cancellation.** `Uploads` runs `start`, `complete` and a client's `end` in tasks of their own: they run to their end as long as the
//!   process lives. Every other call may be dropped at any await point, which is to the records as a crash at that point.
//! - **Concurrency.** Any number of calls for one session may run at once, for a store also on several nodes. They take effect one
//!   after the other; at most one of `complete` and `end` decides how a session ends, and the others report that.
//! - **Failure.** [`UploadError::Db`] and [`UploadError::Storage`] say that the outcome may be unknown: repeating the call is safe.
//!   Every other error says that nothing has changed, unless a method documents otherwise.

use std::num::NonZeroU64;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use futures_util::future::{BoxFuture, ready};
use futures_util::stream::BoxStream;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::UploadError;
use super::session::{Ending, ExpectedHashes, NewSession, Resigned, SessionStart, SessionState};
use crate::db::Timestamp;
use crate::db::api_keys::KeyKind;
use crate::db::files::File;
use crate::db::sessions::Session;
pub use crate::media::Pictures;
use crate::storage::{BlobHeaders, DiskState, PartDigests, UnclaimedBytes};

/// The result of a backend's method, boxed so that the trait is object-safe: one allocation a call, none per byte.
pub type Answer<'a, T> = BoxFuture<'a, Result<T, UploadError>>;
/// The bytes of a part as they arrive.
pub type PartBody<'a> = BoxStream<'a, Result<Bytes, BodyError>>;
/// The bytes of a file as they arrive.
pub type FileBody<'a> = BoxStream<'a, Result<Bytes, UploadError>>;

/// Why a request body ended early.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct BodyError(pub String);

/// When a request for a part arrived, among all requests of this process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Arrival(NonZeroU64);

impl Arrival {
    /// Later than all before.
    pub fn now() -> Self {
        static ARRIVED: AtomicU64 = AtomicU64::new(1);
        let number = ARRIVED.fetch_add(1, Ordering::Relaxed);
        Self(NonZeroU64::new(number).unwrap_or(NonZeroU64::MIN))
    }
}

/// A file that arrives in one piece, for a blob that is registered as unfinished.
#[derive(Debug, Clone, Copy)]
pub struct IncomingFile<'a> {
    /// Its blob.
    pub blob_id: Uuid,
    /// The workspace that sends it.
    pub workspace_id: Uuid,
    /// The kind of key that it is sent with.
    pub key_kind: KeyKind,
    /// The announced size in bytes; more or fewer may arrive.
    pub about_bytes: Option<u64>,
    /// Response headers for a store that serves the file itself.
    pub headers: &'a BlobHeaders,
}

/// A kind of storage, as uploads use it. See the module for what holds for all methods.
pub trait PartsBackend: Send + Sync + 'static {
    /// Stores a session's row and prepares the place for its bytes.
    ///
    /// Durable when it returns. Atomic for callers: on an error the session takes no part, and the `Idempotency-Key` is free
    /// again. Idempotent by the `Idempotency-Key`: repeating it answers the first session with `is_repeated`, whose place may be missing
    /// until [`ensure_blob`](Self::ensure_blob). After a crash between row and bytes the session is open, and its place is prepared by
    /// `ensure_blob`.
    ///
    /// # Errors
    /// A limit or [`UploadError::Invalid`] from the rules; `Full` of [`UploadError::Storage`] when there is no space.
    fn start(&self, new: NewSession) -> Answer<'_, SessionStart>;

    /// Prepares the place for the bytes of an open session, if it is missing. Idempotent.
    ///
    /// # Errors
    /// Those of [`start`](Self::start), and the session's end if it ended meanwhile.
    fn ensure_blob(&self, session: Session) -> Answer<'_, Session>;

    /// The URLs at the store of these parts, in the order of `parts`; `None` where parts are sent to this server. Changes nothing.
    fn part_urls(&self, session: Session, parts: Vec<u32>, expires_at: Timestamp) -> Answer<'_, Option<Vec<String>>>;

    /// The session, if this process has it in memory: saves a look into the database, and says nothing when it answers `None`.
    fn find_cached(&self, _id: Uuid) -> Option<Session> {
        None
    }

    /// How far the session is, which was open when it was looked up. A part is reported as there only if completing would use exactly
    /// its bytes. Changes nothing.
    ///
    /// # Errors
    /// [`UploadError::Opening`] while its parts are being verified, which takes as long as reading them and goes on when this is dropped;
    /// [`resign`](Self::resign) and [`complete`](Self::complete) fail likewise. [`UploadError::SessionNotFound`] when its row is gone.
    fn state(&self, session: Session) -> Answer<'_, SessionState>;

    /// Extends the session's life to at least `ttl_seconds` from now and answers which parts URLs may be signed for: `wanted`, or
    /// all that are missing. The longer life is durable when it returns. Idempotent; it never shortens a life.
    ///
    /// # Errors
    /// [`UploadError::NoSuchPart`]; the session's end if it has ended or is overdue.
    fn resign(&self, session: Session, wanted: Option<Vec<u32>>, ttl_seconds: u64) -> Answer<'_, Resigned>;

    /// Makes the session's parts its file, in one transaction that is durable when it returns.
    ///
    /// Idempotent: completing a completed session answers the same file. After a crash the session is open or completed, never
    /// between; completing it again goes on from there.
    ///
    /// # Errors
    /// [`UploadError::PartsMissing`], [`UploadError::OtherParts`] and the limits of publishing change nothing.
    /// [`UploadError::HashMismatch`] changes nothing either where this server hashes; at a store all parts are missing then, because
    /// the store has consumed them. [`UploadError::Ending`] while another request decides how the session ends.
    fn complete(&self, session: Session, expected: ExpectedHashes) -> Answer<'_, File>;

    /// Ends the session without a file, unless it has ended, is gone, or `ending` does not apply to it: all of these are `Ok`. Durable when
    /// it returns; requests that are sending parts to this server are cancelled, and later ones are refused. Its blob is garbage
    /// from then on.
    ///
    /// # Errors
    /// [`UploadError::Ending`] when a request of a client waits too long for another one that completes the session.
    fn end(&self, id: Uuid, ending: Ending) -> Answer<'_, ()>;

    /// Writes all bytes of `body` into the blob. They are durable when it returns. On an error the blob may have some
    /// bytes: it is the caller's, who has it registered as unfinished. The result frees local bytes when it is dropped unclaimed.
    ///
    /// # Errors
    /// The error that `body` yields; `Full` of [`UploadError::Storage`]; [`UploadError::Busy`] or [`UploadError::TooSlow`] where streams are limited.
    fn receive_file<'a>(&'a self, file: IncomingFile<'a>, body: FileBody<'a>) -> Answer<'a, Option<UnclaimedBytes>>;

    /// Checks that the store has an object of this size where [`receive_file`](Self::receive_file) streamed one to it, and answers its entity
    /// tag; `None` where this server wrote and synced the bytes itself. Changes nothing.
    ///
    /// # Errors
    /// [`UploadError::Storage`] when the object has another size, or does not exist.
    fn confirm_file(&self, blob_id: Uuid, size_bytes: u64) -> Answer<'_, Option<String>>;

    /// Reads the pictures' sides from the header of an image or a video. Changes nothing.
    fn pictures<'a>(&'a self, blob_id: Uuid, size_bytes: u64, mime_type: &'a str) -> Answer<'a, Pictures>;

    /// Upper bound of a file that is sent in one piece, in bytes, where the storage has one.
    fn max_file_bytes(&self) -> Option<u64> {
        None
    }

    /// Whether the storage has a hash of every whole file to compare with.
    ///
    /// # Errors
    /// When that has to be tried, and the trial fails; the next call tries again.
    fn keeps_hashes(&self) -> Answer<'_, bool>;

    /// Free and total space of the disk that the bytes go to; `None` where they go to no disk of this server.
    fn disk(&self) -> Answer<'_, Option<DiskState>> {
        Box::pin(ready(Ok(None)))
    }

    /// Bytes that open sessions of public keys take on that disk.
    fn bytes_of_public_keys(&self) -> Answer<'_, u64> {
        Box::pin(ready(Ok(0)))
    }

    /// Whether the table `parts` says which parts of an open session are there, so that a list of sessions can, too.
    fn records_parts(&self) -> bool {
        false
    }

    /// Whether the parts of an open session must be verified before they are trusted.
    fn needs_verification(&self, _session: &Session) -> bool {
        false
    }

    /// Verifies all sessions that need it, one after the other, until `stop`. One that cannot be verified is logged.
    ///
    /// # Errors
    /// When the sessions cannot be listed.
    fn verify_untrusted<'a>(&'a self, _stop: &'a CancellationToken) -> Answer<'a, ()> {
        Box::pin(ready(Ok(())))
    }

    /// Releases what idle sessions hold in memory.
    fn close_idle(&self) {}

    /// Deletes what calls without an answer left in the storage. Touches only what the records know as dead.
    ///
    /// # Errors
    /// When it cannot be listed.
    fn sweep(&self) -> Answer<'_, ()> {
        Box::pin(ready(Ok(())))
    }
}

/// A backend whose parts are sent to this server.
pub trait PartReceiver: PartsBackend {
    /// Receives a part, whose body must have exactly the part's length and `digests`. Answers the part's entity tag.
    ///
    /// When it returns, the part survives the end of the process; [`complete`](PartsBackend::complete) makes it survive a power cut. Idempotent: a part that is
    /// sent again replaces the earlier one. A request that is still sending the same part is cancelled; of two requests the one with the later
    /// `arrival` counts. Cancelled or failed, the part is missing, unless no byte of the body had come: then it is as it was.
    ///
    /// # Errors
    /// [`UploadError::Superseded`] for the earlier of two requests; [`UploadError::PartTooShort`], [`UploadError::PartTooLong`],
    /// [`UploadError::DigestMismatch`] for a body that is not the part; [`UploadError::Stalled`], [`UploadError::TooSlow`] and
    /// [`UploadError::BodyBroken`] for one that does not arrive; the session's end if it has ended.
    fn receive_part<'a>(
        &'a self,
        session_id: Uuid,
        part_index: u32,
        arrival: Arrival,
        digests: PartDigests,
        body: PartBody<'a>,
    ) -> Answer<'a, String>;
}
