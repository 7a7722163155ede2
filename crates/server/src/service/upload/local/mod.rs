//! Uploads whose parts this process receives, into blobs of its data directory.
//!
//! Invariant: while a session takes parts, exactly one `LiveSession` in memory keeps its open blob and knows which parts are there. Two
//! requests for the same part, or a part and a complete, therefore see each other.

mod backend;
mod complete;
mod end;
mod life;
mod live;
mod part_lease;
mod receive;
mod recovery;
mod registry;
mod resign;
mod start;
mod sync;
mod write_file;

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::{Notify, Semaphore};
use uuid::Uuid;

use super::UploadError;
use super::keyed_locks;
use super::session::{PartRecords, Records, plan_of};
use super::tasks::{blocking, to_its_end};
use crate::config::Config;
use crate::db::sessions;
use crate::pace::PaceLimits;
use crate::storage::{LocalStore, WriteGate};
use recovery::Opener;
use registry::{LocalSession, Registry};

/// The table `parts` records which parts of a local session are there.
const PART_RECORDS: PartRecords = PartRecords::Database;
/// Parts whose writeback is being started at once. Each takes a blocking thread for a moment, on a slow disk for longer.
const MAX_WRITEBACKS: usize = 4;
/// Idle sessions that are synced at once. Few: no request waits for them.
const MAX_IDLE_SYNCS: usize = 2;
/// Pause between two attempts to delete records of lost parts, which must not be given up.
const RETRY_PAUSE: Duration = Duration::from_secs(1);

/// The uploads of one data directory. Clones share them.
#[derive(Clone)]
pub(super) struct LocalUploads {
    records: Records,
    store: Arc<LocalStore>,
    gate: Arc<WriteGate>,
    registry: Arc<Registry>,
    /// The storage epoch: parts that were received in it need no verification. It names this boot of the machine and this directory.
    storage_epoch: Arc<str>,
    /// How fast a body must arrive.
    pace: PaceLimits,
    /// Permits to start the writeback of a part; none where early writeback is off.
    writebacks: Arc<Semaphore>,
    /// Permits to sync an idle session.
    idle_syncs: Arc<Semaphore>,
    /// When the bytes of public keys on the disk were last counted, and how many they were.
    strangers: Arc<tokio::sync::Mutex<Option<(Instant, u64)>>>,
    /// Rings when there is garbage.
    garbage_bell: Arc<Notify>,
}

impl LocalUploads {
    /// `gate` is shared by all that write to `store`. `storage_epoch` changes after every event that may have lost
    /// unsynced bytes.
    pub(super) fn new(
        records: Records,
        store: Arc<LocalStore>,
        gate: Arc<WriteGate>,
        storage_epoch: Arc<str>,
        garbage_bell: Arc<Notify>,
        config: &Config,
    ) -> Self {
        let opener = Opener::new(records.db.clone(), Arc::clone(&store), Arc::clone(&storage_epoch));
        Self {
            records,
            store,
            gate,
            registry: Arc::new(Registry::new(opener)),
            storage_epoch,
            pace: PaceLimits::new(&config.http),
            writebacks: Arc::new(Semaphore::new(if config.storage.early_writeback { MAX_WRITEBACKS } else { 0 })),
            idle_syncs: Arc::new(Semaphore::new(MAX_IDLE_SYNCS)),
            strangers: Arc::default(),
            garbage_bell,
        }
    }

    /// Bytes that the open sessions of public keys have on the disk. There may be thousands of sessions, so callers that arrive while
    /// a count is running share the next one.
    async fn bytes_of_strangers(&self) -> Result<u64, UploadError> {
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

    /// The session, opened if it takes parts.
    ///
    /// # Errors
    /// [`UploadError::Opening`] when that takes long; [`UploadError::SessionNotFound`] when there is none.
    async fn find(&self, id: Uuid) -> Result<LocalSession, UploadError> {
        self.registry.find(id).await?.ok_or_else(|| UploadError::SessionNotFound(id.to_string()))
    }
}
