//! Uploads: multipart, whose sessions are a state machine, and files that come whole (`whole.rs`, `remote.rs`).
//!
//! ```text
//!            start                 complete, all parts there
//!  (nothing) ─────▶ uploading ─────────────────────────────▶ completed
//!                     │   ▲ parts come, are sent again
//!                     │   └─┘
//!                     ├────────▶ aborted        (its client gave it up)
//!                     └────────▶ expired        (its time ran out)
//! ```
//! The database is the truth. How parts come differs by storage, and so does who may end a session:
//! - `local/` receives them itself. One process has the data directory; it keeps a session that takes parts in memory.
//! - `s3/` leaves them to the store. Any node serves any request, keeps nothing, and whoever ends a session claims it in
//!   the database first.
//!
//! The files here are what both share, and what decides which of them is asked.

mod complete;
mod end;
mod error;
mod in_flight;
mod local;
mod quota;
mod records;
mod remote;
mod resign;
mod revoked;
mod s3;
mod start;
mod status;
mod turns;
mod whole;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::Stream;
use partway_api::limits::{DEFAULT_MAX_FILE_BYTES, MAX_TTL_SECONDS};
use partway_api::{ErrorCode, PartPlan};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

pub use error::UploadError;
pub use local::BodyError;
pub use resign::Resigned;
pub use start::{Idempotency, Started};
pub use status::{SessionPage, SessionState};
pub use whole::{DirectUploadHints, MOST_IN_ONE_REQUEST, ReceivedFile, UploadOrigin};

use crate::config::Config;
use crate::db::api_keys::KeyKind;
use crate::db::sessions::{Session, Status};
use crate::db::{Db, DbError, Durability, api_keys, garbage};
use crate::input::{IdempotencyKey, InvalidInput, SizeLimit, StartRules, TtlLimit, WebhookUrl, quote_for_message};
use crate::model::StorageKind;
use crate::model::WorkspaceLimits;
use crate::outgoing::{Outgoing, Reachability};
use crate::service::event::Events;
use crate::service::grace::GracePolicy;
use crate::service::key::Identity;
use crate::service::public_keys::StrangersDisk;
use crate::storage::{DiskState, PartDigests, StorageError, Stores, WriteGate};
pub use in_flight::InFlightPermit;
use in_flight::{InFlightBytes, InFlightLimit};
use local::{Arrival, LocalUploads};
use records::Records;
use s3::S3Uploads;
use turns::Turns;

/// Remote files that are fetched at once.
const FETCHES: usize = 32;

/// The uploads of one server.
#[derive(Clone)]
pub struct Uploads {
    records: Records,
    /// Where the bytes of new sessions go.
    primary: StorageKind,
    local: Option<LocalUploads>,
    s3: Option<S3Uploads>,
    /// Starts that are under way, by the names that their clients gave them.
    starts: Arc<Turns<(Uuid, IdempotencyKey)>>,
    /// Limits of a workspace that has none of its own.
    limits: WorkspaceLimits,
    /// How long ended sessions are remembered.
    remembered: Duration,
    /// Fetches remote files.
    outgoing: Outgoing,
    /// Those that are being fetched.
    fetches: InFlightLimit,
    /// Files that come in one request.
    directs: InFlightLimit,
    /// Bytes of files that come whole and are not there yet, by workspace.
    under_way: InFlightBytes,
    /// Rings when there is garbage.
    garbage_bell: Arc<Notify>,
}

/// What the uploads of local storage need of the process.
pub struct LocalParts {
    /// Decides where writes run.
    pub gate: Arc<WriteGate>,
    /// Differs after whatever may have lost unsynced bytes.
    pub trust: Arc<str>,
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
    ) -> Self {
        let grace = GracePolicy::new(config.storage.url_lifetime.0.as_secs());
        let public = config.limits.of_public_keys();
        let storage_limit = config.limits.of_workspace().storage_bytes;
        let records = Records { db, grace, events, storage_limit, public };
        let garbage_bell = Arc::<Notify>::default();
        let local = stores.local.clone().zip(local).map(|(store, LocalParts { gate, trust })| {
            LocalUploads::new(records.clone(), store, gate, trust, Arc::clone(&garbage_bell), config)
        });
        let s3 = stores.s3.clone().map(|store| S3Uploads::new(records.clone(), store, Arc::clone(&garbage_bell)));
        Self {
            records,
            primary: stores.primary,
            local,
            s3,
            starts: Arc::default(),
            limits: config.limits.of_workspace(),
            remembered: config.limits.forget_sessions.0,
            outgoing,
            fetches: InFlightLimit::new(FETCHES),
            directs: InFlightLimit::new(config.limits.direct_uploads.0 as usize),
            under_way: InFlightBytes::default(),
            garbage_bell,
        }
    }

    /// Most bytes of one file that the caller uploads.
    pub fn max_file(&self, identity: &Identity) -> SizeLimit {
        let of_all = identity.limits.max_file_bytes.or(self.limits.max_file_bytes).unwrap_or(DEFAULT_MAX_FILE_BYTES);
        let of_public = self.records.public.max_file_bytes;
        if identity.is_public() && of_public < of_all {
            return SizeLimit { bytes: of_public, whose: "with a public key (limits.public_max_file_bytes)" };
        }
        let whose = if identity.limits.max_file_bytes.is_some() { "in this workspace" } else { "on this server" };
        SizeLimit { bytes: of_all, whose }
    }

    /// Permissions of the caller's key.
    pub fn rules(&self, identity: &Identity) -> StartRules {
        StartRules {
            max_file: self.max_file(identity),
            ttl: self.longest_time(identity),
            random_prefix: identity.permissions.random_prefix,
        }
    }

    /// For how long the caller may upload one file, in a session or in one request.
    pub fn longest_time(&self, identity: &Identity) -> TtlLimit {
        let age_seconds = self.records.public.session_age_seconds;
        if identity.is_public() && age_seconds < MAX_TTL_SECONDS {
            return TtlLimit { seconds: age_seconds, whose: " with a public key (limits.public_session_age_seconds)" };
        }
        TtlLimit { seconds: MAX_TTL_SECONDS, whose: "" }
    }

    /// How full the disk is that the bytes of the caller's uploads go to, where that matters: strangers may not fill it.
    async fn disk_of(&self, identity: &Identity) -> Result<Option<DiskState>, UploadError> {
        if !identity.is_public() || self.primary != StorageKind::Local {
            return Ok(None);
        }
        self.local()?.disk().await.map(Some)
    }

    /// The same for a session of `size_bytes`, with what strangers have of the disk where that may decide.
    async fn strangers_disk(&self, identity: &Identity, size_bytes: u64) -> Result<Option<StrangersDisk>, UploadError> {
        let Some(state) = self.disk_of(identity).await? else { return Ok(None) };
        let open = self.records.db.read(api_keys::public_sessions).await?;
        let open_bytes = u64::try_from(open.bytes).unwrap_or_default();
        if !self.records.public.nears_share(open_bytes, size_bytes, state) {
            return Ok(Some(StrangersDisk { state, taken_bytes: 0 }));
        }
        // Before the disk is looked at anew: what comes in between is counted as not free and not as theirs.
        let taken_bytes = self.local()?.bytes_of_strangers().await?;
        Ok(self.disk_of(identity).await?.map(|state| StrangersDisk { state, taken_bytes }))
    }

    /// Waits for its turn before a file comes in one request: each holds a descriptor and a row for as long as it comes, which is
    /// [`Self::longest_time`] at most.
    ///
    /// # Errors
    /// [`UploadError::Busy`] when there is none for a while.
    pub async fn begin_direct(&self, identity: &Identity) -> Result<InFlightPermit, UploadError> {
        self.directs.enter(identity.workspace_id, identity.kind).await
    }

    fn local(&self) -> Result<&LocalUploads, StorageError> {
        self.local.as_ref().ok_or(StorageError::NotConfigured(StorageKind::Local))
    }

    fn s3(&self) -> Result<&S3Uploads, StorageError> {
        self.s3.as_ref().ok_or(StorageError::NotConfigured(StorageKind::S3))
    }

    /// Whether the session's parts have to be verified before they are trusted.
    pub fn needs_verification(&self, session: &Session) -> bool {
        session.storage == StorageKind::Local
            && session.status == Status::Uploading
            && self.local.as_ref().is_some_and(|local| !local.trusts(session))
    }

    /// Whether a webhook may be where an upload says. Told when it is named: nobody sees what becomes of its messages. A
    /// name of which no name server says anything just now is taken; it is looked at again before each message.
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

    /// Rings when there is garbage, so that its bytes are freed soon.
    pub fn garbage_bell(&self) -> Arc<Notify> {
        Arc::clone(&self.garbage_bell)
    }

    /// The cleaner has the blobs that nobody came for in time. On a full disk this is what makes room.
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
        body: impl Stream<Item = Result<Bytes, BodyError>>,
    ) -> Result<String, UploadError> {
        // Before anything is waited for: a request that is held up must not take the turn of one that came after it.
        let arrival = Arrival::now();
        self.check_key_of(session_id).await?;
        self.local()?.receive_part(session_id, part_index, arrival, digests, body).await
    }

    /// Closes sessions of local storage that rest.
    pub fn close_idle(&self) {
        if let Some(local) = &self.local {
            local.close_idle();
        }
    }

    /// Verifies all sessions of local storage that need it, one after the other, until `stop`.
    ///
    /// # Errors
    /// When they cannot be listed.
    pub async fn verify_untrusted(&self, stop: &CancellationToken) -> Result<(), UploadError> {
        match &self.local {
            Some(local) => local.verify_untrusted(stop).await,
            None => Ok(()),
        }
    }

    /// Gives up multipart uploads of the bucket that the records know as dead.
    ///
    /// # Errors
    /// When they cannot be listed.
    pub async fn sweep(&self) -> Result<(), UploadError> {
        match &self.s3 {
            Some(s3) => s3.sweep().await,
            None => Ok(()),
        }
    }
}

/// Whether the caller may see the session and work on it: a private key on all of its workspace, a public one on those
/// that were started with it.
fn authorize(session: &Session, identity: &Identity, remembered: Duration) -> Result<(), UploadError> {
    if session.workspace_id != identity.workspace_id {
        return Err(UploadError::unknown(&session.id.to_string(), remembered));
    }
    if identity.kind == KeyKind::Public && session.api_key_id != identity.api_key_id {
        return Err(UploadError::NotYours(session.id));
    }
    Ok(())
}

/// How the session's file is cut.
pub(super) fn plan_of(session: &Session) -> Result<PartPlan, UploadError> {
    PartPlan::from_stored(session.size_bytes, session.part_size_bytes).ok_or_else(|| {
        let problem = format!("{} bytes in parts of {}", session.size_bytes, session.part_size_bytes);
        DbError::Corrupt { table: "sessions", problem }.into()
    })
}

/// Runs storage work, which blocks, off the async threads.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, StorageError> + Send + 'static,
) -> Result<T, UploadError> {
    let result = tokio::task::spawn_blocking(work).await;
    Ok(result.map_err(StorageError::from)??)
}

/// Runs `work` to its end even when the request that wants its result goes away.
async fn to_its_end<T: Send + 'static>(
    work: impl Future<Output = Result<T, UploadError>> + Send + 'static,
) -> Result<T, UploadError> {
    tokio::spawn(work).await.unwrap_or_else(|error| Err(UploadError::Storage(error.into())))
}

#[cfg(test)]
mod tests {
    use partway_api::ErrorCode;

    use super::{UploadError, blocking, to_its_end};

    #[tokio::test]
    async fn a_panic_is_a_failure_of_the_server_and_not_a_stop() {
        let in_task = to_its_end::<()>(async { panic!("injected") }).await.unwrap_err();
        let on_thread = blocking::<()>(|| panic!("injected")).await.unwrap_err();
        for error in [in_task, on_thread] {
            assert_eq!(error.code(), ErrorCode::Internal, "{error}");
        }
        let task = tokio::spawn(std::future::pending::<()>());
        task.abort();
        let stopped = UploadError::Storage(task.await.unwrap_err().into());
        assert_eq!(stopped.code(), ErrorCode::ServiceUnavailable);
    }
}
