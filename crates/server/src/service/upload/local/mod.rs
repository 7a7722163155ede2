//! Uploads whose parts this process receives, into blobs of its data directory.
//!
//! While a session takes parts, a `LiveSession` in memory keeps its open blob and knows which parts are there; there is
//! never more than one for a session, which is what lets two requests for the same part, or a part and a complete, see
//! each other.

mod complete;
mod end;
mod live;
mod receive;
mod registry;
mod reopen;
mod resign;
mod start;
mod sync;
mod whole;

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::{Notify, Semaphore};
use uuid::Uuid;

pub(super) use live::{Arrival, LiveSession};
pub use receive::BodyError;
pub(super) use whole::Announced;

use super::records::Records;
use super::turns;
use super::{UploadError, blocking, plan_of, to_its_end};
use crate::config::Config;
use crate::db::sessions::{self, Session};
use crate::pace::PaceLimits;
use crate::storage::{DiskState, LocalStore, WriteGate};
pub(super) use registry::LocalSession;
use registry::Registry;
use reopen::Opener;

/// Parts whose writing is being started at once. Each takes a blocking thread for a moment, on a slow disk for longer.
const WRITEBACKS: usize = 4;
/// Sessions that rest and are synced at once: nobody waits for them.
const IDLE_SYNCS: usize = 2;
/// Between two tries of what must not be left undone.
const RETRY_PAUSE: Duration = Duration::from_secs(1);

/// The uploads of one data directory. Clones share them.
#[derive(Clone)]
pub(super) struct LocalUploads {
    records: Records,
    store: Arc<LocalStore>,
    gate: Arc<WriteGate>,
    registry: Arc<Registry>,
    /// What parts must have been received under to be trusted as they are: this boot of the machine, this directory.
    trust: Arc<str>,
    /// How fast a body must come.
    pace: PaceLimits,
    /// Permits to start writing a part back; none where parts do not go to the disk as they come.
    writebacks: Arc<Semaphore>,
    /// Permits to sync a session that rests.
    idle_syncs: Arc<Semaphore>,
    /// When it was looked up last how many bytes strangers have on the disk, and how many they were.
    strangers: Arc<tokio::sync::Mutex<Option<(Instant, u64)>>>,
    /// Rings when there is garbage.
    garbage_bell: Arc<Notify>,
}

impl LocalUploads {
    /// `gate` is shared by all that write to `store`. `trust` differs after whatever may have lost unsynced bytes.
    pub(super) fn new(
        records: Records,
        store: Arc<LocalStore>,
        gate: Arc<WriteGate>,
        trust: Arc<str>,
        garbage_bell: Arc<Notify>,
        config: &Config,
    ) -> Self {
        let opener = Opener::new(records.db.clone(), Arc::clone(&store), Arc::clone(&trust));
        Self {
            records,
            store,
            gate,
            registry: Arc::new(Registry::new(opener)),
            trust,
            pace: PaceLimits::new(&config.http),
            writebacks: Arc::new(Semaphore::new(if config.storage.early_writeback { WRITEBACKS } else { 0 })),
            idle_syncs: Arc::new(Semaphore::new(IDLE_SYNCS)),
            strangers: Arc::default(),
            garbage_bell,
        }
    }

    /// How full the disk is.
    pub(super) async fn disk(&self) -> Result<DiskState, UploadError> {
        let store = Arc::clone(&self.store);
        blocking(move || store.room()).await
    }

    /// How many bytes the open sessions of public keys have on the disk. There may be thousands of sessions: one looks for all
    /// who ask while another one is looking.
    pub(super) async fn bytes_of_strangers(&self) -> Result<u64, UploadError> {
        let asked_at = Instant::now();
        let mut known = self.strangers.lock().await;
        if let Some((began_at, bytes)) = *known
            && began_at >= asked_at
        {
            return Ok(bytes);
        }
        let began_at = Instant::now();
        let blobs = self.records.db.read(sessions::list_blobs_of_public_keys).await?;
        let store = Arc::clone(&self.store);
        let bytes = blocking(move || Ok(store.taken_bytes(&blobs))).await?;
        *known = Some((began_at, bytes));
        Ok(bytes)
    }

    /// The circumstances that parts received now have.
    pub(super) fn trust(&self) -> &str {
        &self.trust
    }

    /// Whether the session's parts need no verification.
    pub(super) fn trusts(&self, session: &Session) -> bool {
        session.trusted_boot_id == *self.trust
    }

    /// The session, if it is open in memory.
    pub(super) fn find_open(&self, id: Uuid) -> Option<Arc<LiveSession>> {
        self.registry.find_open(id)
    }

    /// The session, opened if it takes parts. `None` when there is none.
    ///
    /// # Errors
    /// [`UploadError::Opening`] when that takes long.
    pub(super) async fn open(&self, id: Uuid) -> Result<Option<LocalSession>, UploadError> {
        self.registry.find(id).await
    }
}
