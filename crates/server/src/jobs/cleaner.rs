//! Frees bytes that nobody owns any more.
//!
//! Invariant: only blobs named in the garbage table are deleted, and a blob is named there in the same transaction
//! that took it from its owner. A row goes after its bytes: whenever the process ends, deleting goes on at the next
//! start.

use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::db::{Db, DbError, Durability, garbage};
use crate::service::upload::{UploadError, Uploads};
use crate::storage::{LocalStore, StorageError};

/// Sessions expire to the second; freeing their bytes may take this much longer.
const INTERVAL: Duration = Duration::from_secs(15);
/// Blobs deleted in one step.
const STEP: u32 = 100;

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
            tokio::select! {
                () = stop.cancelled() => return,
                () = bell.notified() => {}
                () = tokio::time::sleep(INTERVAL) => {}
            }
        }
    }

    async fn clean(&self) -> Result<(), CleanerError> {
        self.uploads.close_idle();
        while self.uploads.expire_overdue().await? > 0 {}
        loop {
            let blobs = self.db.read(|tx| garbage::list(tx, STEP)).await?;
            if blobs.is_empty() {
                return Ok(());
            }
            for blob_id in blobs {
                self.delete(blob_id).await?;
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
