//! Multipart uploads: the session's state machine.
//!
//! ```text
//!            start                 complete, all parts there
//!  (nothing) ─────▶ uploading ─────────────────────────────▶ completed
//!                     │   ▲ parts come, are sent again
//!                     │   └─┘
//!                     ├────────▶ aborted        (its client gave it up)
//!                     └────────▶ expired        (its time ran out)
//! ```
//! The database is the truth. While a session takes parts, a `LiveSession` in memory keeps its open blob
//! and knows which parts are there; there is never more than one for a session, which is what lets two requests
//! for the same part, or a part and a complete, see each other.

mod complete;
mod end;
mod error;
mod live;
mod receive;
mod registry;
mod reopen;
mod resign;
mod room;
mod start;
mod status;
mod sync;
mod turns;

use std::sync::Arc;
use std::time::Duration;

use partway_api::PartPlan;
use tokio::sync::{Notify, Semaphore};
use uuid::Uuid;

pub use error::UploadError;
pub(crate) use error::db_code;
pub use receive::BodyError;
pub use resign::Resigned;
pub use start::{Idempotency, Started};
pub use status::{SessionPage, SessionState};

use crate::config::Config;
use crate::db::api_keys::KeyKind;
use crate::db::sessions::{Session, Status};
use crate::db::{Db, DbError};
use crate::input::IdempotencyKey;
use crate::service::key::Identity;
use crate::storage::{DatabaseReserve, LocalStore, WriteGate};
use registry::Registry;
use reopen::Opener;
use turns::Turns;

/// Parts whose writing is being started at once. Each takes a blocking thread for a moment, on a slow disk for longer.
const WRITEBACKS: usize = 4;
/// Sessions that rest and are synced at once: nobody waits for them.
const IDLE_SYNCS: usize = 2;
/// Between two tries of what must not be left undone.
const RETRY_PAUSE: Duration = Duration::from_secs(1);

/// The uploads of one server.
#[derive(Clone)]
pub struct Uploads {
    db: Db,
    store: Arc<LocalStore>,
    gate: Arc<WriteGate>,
    registry: Arc<Registry>,
    /// Room for the records without which nothing can be freed.
    reserve: Arc<DatabaseReserve>,
    /// What parts must have been received under to be trusted as they are: this boot of the machine, this directory.
    trust: Arc<str>,
    /// Starts that are under way, by the names that their clients gave them.
    starts: Arc<Turns<(Uuid, IdempotencyKey)>>,
    /// Most bytes of a workspace that has no limit of its own.
    storage_limit: Option<u64>,
    /// How long a body may bring nothing.
    stall_timeout: Duration,
    /// Permits to start writing a part back; none where parts do not go to the disk as they come.
    writebacks: Arc<Semaphore>,
    /// Permits to sync a session that rests.
    idle_syncs: Arc<Semaphore>,
    /// Rings when there is garbage.
    garbage_bell: Arc<Notify>,
}

impl Uploads {
    /// `gate` is shared by all that write to `store`. `trust` differs after whatever may have lost unsynced bytes.
    pub fn new(
        db: Db,
        store: Arc<LocalStore>,
        gate: Arc<WriteGate>,
        reserve: Arc<DatabaseReserve>,
        trust: Arc<str>,
        config: &Config,
    ) -> Self {
        let opener = Opener::new(db.clone(), Arc::clone(&store), Arc::clone(&trust));
        let registry = Arc::new(Registry::new(opener));
        Self {
            db,
            store,
            gate,
            registry,
            reserve,
            trust,
            starts: Arc::default(),
            storage_limit: config.limits.workspace_storage.map(|limit| limit.0),
            stall_timeout: config.http.stall_timeout.0,
            writebacks: Arc::new(Semaphore::new(if config.storage.early_writeback { WRITEBACKS } else { 0 })),
            idle_syncs: Arc::new(Semaphore::new(IDLE_SYNCS)),
            garbage_bell: Arc::default(),
        }
    }

    /// Whether the session's parts have to be verified before they are trusted.
    pub fn needs_verification(&self, session: &Session) -> bool {
        session.status == Status::Uploading && session.trusted_boot_id != *self.trust
    }

    /// Rings when there is garbage, so that its bytes are freed soon.
    pub fn garbage_bell(&self) -> Arc<Notify> {
        Arc::clone(&self.garbage_bell)
    }
}

/// Whether the caller may see the session and work on it: a private key on all of its workspace, a public one on those
/// that were started with it.
fn authorize(session: &Session, identity: &Identity) -> Result<(), UploadError> {
    if session.workspace_id != identity.workspace_id {
        return Err(UploadError::SessionNotFound(session.id.to_string()));
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
    work: impl FnOnce() -> Result<T, crate::storage::StorageError> + Send + 'static,
) -> Result<T, UploadError> {
    let result = tokio::task::spawn_blocking(work).await;
    Ok(result.map_err(|_| crate::storage::StorageError::Stopped)??)
}

/// Runs `work` to its end even when the request that wants its result goes away.
async fn to_its_end<T: Send + 'static>(
    work: impl Future<Output = Result<T, UploadError>> + Send + 'static,
) -> Result<T, UploadError> {
    tokio::spawn(work).await.unwrap_or(Err(UploadError::Storage(crate::storage::StorageError::Stopped)))
}
