//! Frees bytes that nobody owns any more, and forgets the parts of sessions that have ended.
//!
//! Invariant: only blobs named in the garbage table are deleted, and a blob is named there in the same transaction
//! that took it from its owner. A row goes after its bytes: whenever the process ends, deleting goes on at the next
//! start.

use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::db::{Db, DbError, Durability, garbage, parts};
use crate::service::upload::{UploadError, Uploads};
use crate::storage::{LocalStore, StorageError};

/// Sessions expire to the second; freeing their bytes may take this much longer.
const INTERVAL: Duration = Duration::from_secs(15);
/// Between two rounds, however often the bell rings.
const PAUSE: Duration = Duration::from_millis(500);
/// Blobs deleted in one step.
const STEP: u32 = 100;
/// Records of parts deleted in one transaction: a few milliseconds, so that requests do not wait long behind it.
const PARTS_STEP: u32 = 1000;

/// The cleaner of one server.
pub struct Cleaner {
    /// The records.
    pub db: Db,
    /// The bytes.
    pub store: Arc<LocalStore>,
    /// The sessions.
    pub uploads: Uploads,
}

#[derive(Debug, thiserror::Error)]
enum CleanerError {
    #[error(transparent)]
    Db(#[from] DbError),
    #[error(transparent)]
    Storage(#[from] StorageError),
    #[error(transparent)]
    Upload(#[from] UploadError),
}

impl Cleaner {
    /// Runs until `stop`. What fails is logged and tried again in the next round.
    pub async fn run(self, stop: CancellationToken) {
        let bell = self.uploads.garbage_bell();
        loop {
            if let Err(error) = self.clean().await {
                tracing::error!(error = %crate::error::chain(&error), "cleaning failed; trying again soon");
            }
            let next_round = async {
                tokio::time::sleep(PAUSE).await;
                let _ = tokio::time::timeout(INTERVAL, bell.notified()).await;
            };
            tokio::select! {
                () = stop.cancelled() => return,
                () = next_round => {}
            }
        }
    }

    async fn clean(&self) -> Result<(), CleanerError> {
        self.uploads.close_idle();
        self.uploads.expire_overdue().await?;
        while self.db.write(Durability::Process, |tx| parts::forget_ended(tx, PARTS_STEP)).await? {}
        let mut last = Uuid::nil();
        loop {
            let blobs = self.db.read(move |tx| garbage::list(tx, last, STEP)).await?;
            let Some(next) = blobs.last().copied() else { return Ok(()) };
            last = next;
            for blob_id in blobs {
                // One that cannot be deleted stays listed and does not keep the others.
                if let Err(error) = self.delete(blob_id).await {
                    tracing::error!(%blob_id, error = %crate::error::chain(&error), "a blob cannot be deleted; trying again later");
                }
            }
        }
    }

    async fn delete(&self, blob_id: Uuid) -> Result<(), CleanerError> {
        let store = Arc::clone(&self.store);
        tokio::task::spawn_blocking(move || store.delete(blob_id)).await.map_err(|_| StorageError::Stopped)??;
        self.db.write(Durability::Process, move |tx| garbage::delete(tx, blob_id)).await?;
        Ok(())
    }
}
