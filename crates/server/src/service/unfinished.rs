//! Blobs that are being written and belong to nobody yet.
//!
//! Such a blob is listed as garbage from before its first byte, to be deleted later than it takes, and that is put off as
//! long as somebody writes it. Whoever has written it takes it from the list in the transaction that gives it an owner.
//! Whatever ends the process in between, nothing is left behind.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Notify;
use tokio_util::sync::{CancellationToken, DropGuard};
use uuid::Uuid;

use crate::db::garbage::{self, NewGarbage, Reason};
use crate::db::{Db, DbError, Durability, Tx, blobs};
use crate::model::BlobRef;

/// How long a blob is kept whose writer does not renew it, in seconds. Renewed far more often: a database that is away for a
/// while does not cost the blob. When a process dies, what it asked a store for may still go on.
const KEPT_SECONDS: u64 = 900;
/// How long a blob is kept whose writer was cut off, in seconds: longer than any call to a store takes (ten minutes).
const CUT_OFF_SECONDS: u64 = 900;
const RENEWAL: Duration = Duration::from_secs(60);

/// A blob that is being written. Dropped without having been claimed, it is given up.
pub(super) struct UnfinishedBlob {
    db: Db,
    blob: BlobRef,
    /// Rings when there is garbage.
    bell: Arc<Notify>,
    lost: CancellationToken,
    _renewing: DropGuard,
    is_claimed: bool,
}

impl UnfinishedBlob {
    /// Lists the blob. Nothing may be written before.
    pub(super) async fn begin(
        db: &Db,
        blob: BlobRef,
        workspace_id: Option<Uuid>,
        bell: Arc<Notify>,
    ) -> Result<Self, DbError> {
        db.write(Durability::PowerLoss, move |tx| Self::list(tx, blob, workspace_id)).await?;
        let (stop, lost) = (CancellationToken::new(), CancellationToken::new());
        tokio::spawn(renew(db.clone(), blob.id, stop.clone(), lost.clone()));
        Ok(Self { db: db.clone(), blob, bell, lost, _renewing: stop.drop_guard(), is_claimed: false })
    }

    /// Lists a blob, or lists one again that was claimed in this transaction and that nobody can own after all.
    pub(super) fn list(tx: &Tx<'_>, blob: BlobRef, workspace_id: Option<Uuid>) -> Result<(), DbError> {
        let (reason, keep_seconds) = (Reason::Unfinished, KEPT_SECONDS);
        garbage::insert(tx, &NewGarbage { blob, workspace_id, reason, size_bytes: 0, keep_seconds })
    }

    /// The blob.
    pub(super) fn blob(&self) -> BlobRef {
        self.blob
    }

    /// Returns when the cleaner has taken the blob: its writer was held up for long.
    pub(super) async fn lost(&self) {
        self.lost.cancelled().await;
    }

    /// Takes a blob from the list, in the transaction that gives it an owner. False when the cleaner has it.
    pub(super) fn claim(tx: &Tx<'_>, blob: BlobRef) -> Result<bool, DbError> {
        garbage::claim_finished(tx, blob.id)
    }

    /// It was claimed, and the transaction committed.
    pub(super) fn claimed(mut self) {
        self.is_claimed = true;
    }

    /// Nobody will take it, and nothing that writes it is under way: it goes as soon as the cleaner comes.
    pub(super) async fn give_up(mut self) -> Result<(), DbError> {
        self.is_claimed = true;
        give_up(&self.db, self.blob, 0, &self.bell).await
    }
}

/// Has the cleaner delete the blob in so long. It may have been there already: what came after it is listed anew, unless the
/// blob was claimed after all, in a transaction whose answer was lost.
async fn give_up(db: &Db, blob: BlobRef, seconds: u64, bell: &Notify) -> Result<(), DbError> {
    db.write_to_free(Durability::Process, move |tx| {
        if !garbage::keep(tx, blob.id, seconds)? && !blobs::has_owner(tx, blob.id)? {
            UnfinishedBlob::list(tx, blob, None)?;
            garbage::keep(tx, blob.id, seconds)?;
        }
        Ok(())
    })
    .await?;
    bell.notify_one();
    Ok(())
}

impl Drop for UnfinishedBlob {
    /// Whoever wrote it was cut off, perhaps in the middle of a call that goes on: a store that is completing an object, a
    /// thread that waits for the disk. Deleting it before that has ended would leave what it then makes.
    fn drop(&mut self) {
        if self.is_claimed {
            return;
        }
        let (db, blob, bell) = (self.db.clone(), self.blob, Arc::clone(&self.bell));
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            runtime.spawn(async move {
                if let Err(error) = give_up(&db, blob, CUT_OFF_SECONDS, &bell).await {
                    tracing::warn!(blob_id = %blob.id, error = %crate::error_chain::error_chain(&error), "an unfinished blob stays until it is no longer kept");
                }
            });
        }
    }
}

async fn renew(db: Db, blob_id: Uuid, stop: CancellationToken, lost: CancellationToken) {
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(RENEWAL) => {}
        }
        match db.write_to_free(Durability::Process, move |tx| garbage::keep(tx, blob_id, KEPT_SECONDS)).await {
            Ok(true) => {}
            Ok(false) => return lost.cancel(),
            Err(error) => tracing::warn!(%blob_id, %error, "an unfinished blob could not be renewed"),
        }
    }
}
