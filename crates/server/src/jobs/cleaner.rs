//! Frees bytes that nobody owns any more, and forgets the parts of sessions that have ended.
//!
//! Invariant: only blobs named in the garbage table are deleted, and a blob is named there in the same transaction
//! that took it from its owner. A row goes after its bytes: whenever the process ends, deleting goes on at the next
//! start.

use std::sync::Arc;
use std::time::Duration;

use partway_api::limits::IDEMPOTENCY_SECONDS;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::db::{Db, DbError, Durability, Timestamp, garbage, idempotency, parts};
use crate::failpoint;
use crate::service::upload::{UploadError, Uploads};
use crate::storage::{DatabaseReserve, LocalStore, StorageError};

/// Sessions expire to the second; freeing their bytes may take this much longer.
const INTERVAL: Duration = Duration::from_secs(15);
/// Between two rounds, however often the bell rings.
const PAUSE: Duration = Duration::from_millis(500);
/// Blobs deleted in one step.
const STEP: u32 = 100;
/// Rows deleted in one transaction: a few milliseconds, so that requests do not wait long behind it.
const ROWS_STEP: u32 = 1000;

/// The cleaner of one server.
pub struct Cleaner {
    /// The records.
    pub db: Db,
    /// The bytes.
    pub store: Arc<LocalStore>,
    /// Room for the records without which nothing can be freed.
    pub reserve: Arc<DatabaseReserve>,
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
            // Wherever a round is left, the next one goes on.
            let cleaned = tokio::select! {
                () = stop.cancelled() => return,
                cleaned = self.clean() => cleaned,
            };
            if let Err(error) = cleaned {
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
        // First what makes room without waiting for anybody.
        self.delete_garbage().await?;
        self.uploads.expire_overdue().await?;
        self.delete_garbage().await?;
        self.forget_ended_parts().await?;
        self.forget_idempotency_keys().await?;
        self.fill_reserve().await;
        Ok(())
    }

    async fn forget_ended_parts(&self) -> Result<(), CleanerError> {
        // A look first: an empty transaction would have to be brought to the disk, too.
        while self.db.read(parts::any_ended).await? {
            self.db.write(Durability::Process, |tx| parts::forget_ended(tx, ROWS_STEP)).await?;
            failpoint::pass("cleaner.after_forget_parts");
        }
        Ok(())
    }

    async fn forget_idempotency_keys(&self) -> Result<(), CleanerError> {
        let until = Timestamp::now().minus_seconds(IDEMPOTENCY_SECONDS);
        while self.db.read(move |tx| idempotency::any_before(tx, until)).await? {
            self.db.write(Durability::Process, move |tx| idempotency::forget_before(tx, until, ROWS_STEP)).await?;
        }
        Ok(())
    }

    async fn delete_garbage(&self) -> Result<(), CleanerError> {
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
        failpoint::pass("cleaner.before_delete");
        let store = Arc::clone(&self.store);
        tokio::task::spawn_blocking(move || store.delete(blob_id)).await.map_err(|_| StorageError::Stopped)??;
        failpoint::pass("cleaner.after_delete");
        self.db.write(Durability::Process, move |tx| garbage::delete(tx, blob_id)).await?;
        failpoint::pass("cleaner.after_forget");
        Ok(())
    }

    /// What was given up on a full disk is taken again once there is room.
    async fn fill_reserve(&self) {
        let reserve = Arc::clone(&self.reserve);
        match tokio::task::spawn_blocking(move || reserve.fill()).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::warn!(%error, "there is no room to keep for the database"),
            Err(error) => tracing::error!(%error, "filling the room kept for the database ended badly"),
        }
    }
}
