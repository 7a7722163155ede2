//! Uploads: multipart uploads, whose sessions are a state machine, and direct ones, which arrive in one piece (`direct/`).
//!
//! ```text
//!            start                 complete, all parts there
//!  (nothing) ─────▶ uploading ─────────────────────────────▶ completed
//!                     │   ▲ parts arrive, are sent again
//!                     │   └─┘
//!                     ├────────▶ aborted        (by its client, or its key was revoked)
//!                     └────────▶ expired        (it was overdue)
//! ```
//! [`Uploads`] is what routes and jobs call. The database is the truth: it holds the state of every session. When a
//! complete and an abort arrive at the same moment, the first to hold the session decides: by a lock on local storage
//! (`LiveSession::ending`), by a claim at a store (`s3/claim.rs`). The other one answers how the session ended.
//! - `session/` has the rules that no kind of storage changes.
//! - [`backend`] is the contract of a kind of storage, and two modules implement it:
//!   - `local/` receives parts itself. One process owns the data directory and keeps open sessions in memory.
//!   - `s3/` leaves parts to the store. Any node serves any request and keeps nothing in memory; a node that ends a session claims it
//!     in the database first.

pub mod backend;
mod backends;
mod complete;
pub mod direct;
mod end;
mod error;
mod fair_permits;
mod keyed_locks;
mod limits;
mod local;
mod resign;
mod revoked;
mod s3;
pub mod session;
mod start;
mod state;
mod tasks;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::{Stream, StreamExt};
use partway_api::ErrorCode;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

pub use backend::BodyError;
use backend::{Arrival, PartReceiver, PartsBackend};
pub use error::UploadError;
pub(super) use session::plan_of;
pub use session::{ExpectedHashes, Idempotency, Resigned, SessionInList, SessionPage, SessionState, Uploaded};
pub use start::Started;

use crate::config::Config;
use crate::db::{Db, DbError, Durability, Timestamp, garbage};
use crate::input::{IdempotencyKey, InvalidInput, WebhookUrl, quote_for_message};
use crate::metrics::UploadMetrics;
use crate::model::WorkspaceLimits;
use crate::outgoing::{Outgoing, Reachability};
use crate::service::blob_retention::GracePolicy;
use crate::service::event::Events;
use crate::storage::{PartDigests, Stores, WriteGate};
use backends::Backends;
use direct::bytes_in_flight::BytesInFlight;
use fair_permits::FairPermits;
use keyed_locks::KeyedLocks;
use local::LocalUploads;
use s3::S3Uploads;
use session::Records;

/// Remote files that are fetched at once.
const MAX_CONCURRENT_FETCHES: usize = 32;

/// The uploads of one server. Clones share them.
#[derive(Clone)]
pub struct Uploads {
    records: Records,
    backends: Backends,
    /// The epoch in which local storage receives parts now; empty without local storage.
    storage_epoch: Arc<str>,
    /// Starts that are in flight, by the names that their clients gave them.
    starts: KeyedLocks<(Uuid, IdempotencyKey)>,
    /// Limits of a workspace that has none of its own.
    limits: WorkspaceLimits,
    /// How long ended sessions are remembered.
    remembered: Duration,
    /// Fetches remote files.
    outgoing: Outgoing,
    /// Limits the remote files that are being fetched.
    fetches: FairPermits,
    /// Limits the files that arrive in one request.
    directs: FairPermits,
    /// Upper bound of one of them, in bytes.
    max_direct_bytes: u64,
    /// Bytes of direct uploads in flight, by workspace.
    bytes_in_flight: BytesInFlight,
    /// Rings when there is garbage.
    garbage_bell: Arc<Notify>,
}

crate::opaque_debug::opaque_debug!(Uploads);

/// The parts of the process that uploads to local storage need.
#[derive(Debug)]
pub struct LocalParts {
    /// Decides where writes run.
    pub gate: Arc<WriteGate>,
    /// The storage epoch: it changes after every event that may have lost unsynced bytes.
    pub storage_epoch: Arc<str>,
}

impl Uploads {
    /// `local` where `stores` has local storage.
    pub fn new(
        db: Db,
        stores: &Stores,
        local: Option<LocalParts>,
        events: Events,
        outgoing: Outgoing,
        config: &Config,
        metrics: Arc<UploadMetrics>,
    ) -> Self {
        let grace = GracePolicy::new(config.storage.url_seconds.as_secs());
        let public = config.limits.of_public_keys();
        let storage_limit = config.limits.of_workspace().storage_bytes;
        let session_age_seconds = config.limits.session_age_seconds.as_secs();
        let records = Records { db, grace, events, storage_limit, public, session_age_seconds, metrics };
        let garbage_bell = Arc::<Notify>::default();
        let local = stores.local.clone().zip(local);
        let storage_epoch = local.as_ref().map_or_else(|| "".into(), |(_, parts)| Arc::clone(&parts.storage_epoch));
        let local = local.map(|(store, LocalParts { gate, storage_epoch })| {
            let bell = Arc::clone(&garbage_bell);
            Arc::new(LocalUploads::new(records.clone(), store, gate, storage_epoch, bell, config))
                as Arc<dyn PartReceiver>
        });
        let s3 = stores.s3.clone().map(|store| {
            Arc::new(S3Uploads::new(records.clone(), store, Arc::clone(&garbage_bell))) as Arc<dyn PartsBackend>
        });
        Self {
            records,
            backends: Backends::new(stores.primary, local, s3),
            storage_epoch,
            starts: KeyedLocks::default(),
            limits: config.limits.of_workspace(),
            remembered: config.limits.forget_sessions_seconds,
            outgoing,
            fetches: FairPermits::new(MAX_CONCURRENT_FETCHES),
            directs: FairPermits::new(config.limits.direct_uploads as usize),
            max_direct_bytes: config.limits.max_direct_bytes,
            bytes_in_flight: BytesInFlight::default(),
            garbage_bell,
        }
    }

    /// Checks the URL of a webhook when an upload names it, because nobody sees later whether its messages arrive. A name that no
    /// name server resolves just now is accepted; it is checked again before each message.
    ///
    /// # Errors
    /// INVALID_PARAMETER, for an unknown name the same as for one of the server's own network.
    pub async fn check_webhook(&self, url: Option<&WebhookUrl>) -> Result<(), UploadError> {
        let Some(url) = url.map(WebhookUrl::as_str) else { return Ok(()) };
        match self.outgoing.examine(url).await {
            Ok(Reachability::Open | Reachability::Unknown) => Ok(()),
            Ok(Reachability::Forbidden | Reachability::NoSuchName) | Err(_) => {
                let allowed = "an http or https URL of a globally reachable host outside of the server's own network, or of \
                               one that the server's setting outgoing.allowed_hosts names";
                Err(InvalidInput::new(ErrorCode::InvalidParameter, "webhook_url", quote_for_message(url), allowed)
                    .into())
            }
        }
    }

    /// The backend of new sessions.
    ///
    /// # Errors
    /// When it is not configured.
    pub fn backend(&self) -> Result<Arc<dyn PartsBackend>, UploadError> {
        Ok(Arc::clone(self.backends.primary()?))
    }

    /// The backend whose parts are sent to this server, if there is one.
    pub fn receiver(&self) -> Option<Arc<dyn PartReceiver>> {
        self.backends.receiver().ok().cloned()
    }

    /// Rings when there is garbage, so that its bytes are freed soon.
    pub fn garbage_bell(&self) -> Arc<Notify> {
        Arc::clone(&self.garbage_bell)
    }

    /// Hands the unfinished blobs that were not claimed in time to the cleaner. On a full disk this frees space.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn give_up_unfinished(&self) -> Result<(), DbError> {
        self.records.db.write_to_free(Durability::Process, garbage::give_up_unfinished).await
    }

    /// Receives part `part_index` of a session, which must have `digests`. The caller has checked that the sender may
    /// send it. Returns the part's entity tag.
    ///
    /// # Errors
    /// When the session takes no parts here, the body is not exactly the part, or something failed.
    pub async fn receive_part(
        &self,
        session_id: Uuid,
        part_index: u32,
        digests: PartDigests,
        body: impl Stream<Item = Result<Bytes, BodyError>> + Send,
    ) -> Result<String, UploadError> {
        // Taken before the first await: a request that is delayed must not supersede one that arrived after it.
        let arrival = Arrival::now();
        self.check_key_of(session_id).await?;
        self.backends.receiver()?.receive_part(session_id, part_index, arrival, digests, body.boxed()).await
    }

    /// Whether a part URL that was to expire at `expires_at` (Unix seconds) is still good, because arriving parts have renewed its
    /// session.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn renews_url(&self, session_id: Uuid, expires_at: i64) -> Result<bool, UploadError> {
        let session = match self.backends.all().find_map(|backend| backend.find_cached(session_id)) {
            Some(cached) => Some(cached),
            None => self.records.find(session_id).await?,
        };
        Ok(session.is_some_and(|session| session.renews_url(expires_at, Timestamp::now())))
    }

    /// Releases what idle sessions hold in memory.
    pub fn close_idle(&self) {
        self.backends.all().for_each(|backend| backend.close_idle());
    }

    /// Verifies all sessions that need it, one after the other, until `stop`.
    ///
    /// # Errors
    /// When they cannot be listed.
    pub async fn verify_untrusted(&self, stop: &CancellationToken) -> Result<(), UploadError> {
        for backend in self.backends.all() {
            backend.verify_untrusted(stop).await?;
        }
        Ok(())
    }

    /// Deletes what calls without an answer left in the storages, where the records know it as dead.
    ///
    /// # Errors
    /// When it cannot be listed.
    pub async fn sweep(&self) -> Result<(), UploadError> {
        for backend in self.backends.all() {
            backend.sweep().await?;
        }
        Ok(())
    }
}
