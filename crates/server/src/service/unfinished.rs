//! Blobs that are being written and have no owner yet.
//!
//! Such a blob is inserted into `garbage` before its first byte is written, with a deadline. While its writer is alive, it
//! keeps moving the deadline. The transaction that gives the blob an owner removes it from `garbage`. If the process ends before,
//! the cleaner deletes the blob.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Notify;
use tokio_util::sync::{CancellationToken, DropGuard};
use uuid::Uuid;

use crate::db::garbage::{self, NewGarbage, Reason};
use crate::db::{Db, DbError, Durability, Tx, blobs};
use crate::error_chain::error_chain;
use crate::model::BlobRef;

/// Time from a renewal to the deletion. It is much longer than the interval of renewals, so that an outage of the database does not
/// cost the blob, and requests of a dead process to a store have ended by then.
const RENEWED_SECONDS: u64 = 900;
/// Time from the cancellation of a writer to the deletion: longer than any request to a store takes (ten minutes).
const CANCELLED_SECONDS: u64 = 900;
/// Between two renewals.
const RENEWAL_INTERVAL: Duration = Duration::from_secs(60);

/// A blob that is being written. If it is dropped before it was claimed, it is given up.
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
    /// Lists the blob as garbage. No byte may be written before.
    pub(super) async fn begin(
        db: &Db,
        blob: BlobRef,
        workspace_id: Option<Uuid>,
        bell: Arc<Notify>,
    ) -> Result<Self, DbError> {
        Self::begin_renewing(db, blob, workspace_id, bell, RENEWAL_INTERVAL).await
    }

    async fn begin_renewing(
        db: &Db,
        blob: BlobRef,
        workspace_id: Option<Uuid>,
        bell: Arc<Notify>,
        interval: Duration,
    ) -> Result<Self, DbError> {
        db.write(Durability::PowerLoss, move |tx| Self::list(tx, blob, workspace_id)).await?;
        let (stop, lost) = (CancellationToken::new(), CancellationToken::new());
        tokio::spawn(renew(db.clone(), blob.id, interval, stop.clone(), lost.clone()));
        Ok(Self { db: db.clone(), blob, bell, lost, _renewing: stop.drop_guard(), is_claimed: false })
    }

    /// Lists a blob as garbage; also one that was claimed in this transaction and gets no owner after all.
    pub(super) fn list(tx: &Tx<'_>, blob: BlobRef, workspace_id: Option<Uuid>) -> Result<(), DbError> {
        let (reason, keep_seconds) = (Reason::Unfinished, RENEWED_SECONDS);
        garbage::insert(tx, &NewGarbage { blob, workspace_id, reason, size_bytes: 0, keep_seconds })
    }

    /// The blob.
    pub(super) fn blob(&self) -> BlobRef {
        self.blob
    }

    /// Returns when the cleaner has taken the blob, because its writer did not renew it in time.
    pub(super) async fn lost(&self) {
        self.lost.cancelled().await;
    }

    /// Removes the blob from garbage, in the transaction that gives it an owner. False when the cleaner has taken it.
    pub(super) fn claim(tx: &Tx<'_>, blob: BlobRef) -> Result<bool, DbError> {
        garbage::claim_finished(tx, blob.id)
    }

    /// Call it after the transaction with [`claim`](Self::claim) was committed.
    pub(super) fn claimed(mut self) {
        self.is_claimed = true;
    }

    /// Gives the blob up, so that the cleaner deletes it in its next round. No write to it may be in flight.
    pub(super) async fn give_up(mut self) -> Result<(), DbError> {
        self.is_claimed = true;
        give_up(&self.db, self.blob, 0, &self.bell).await
    }
}

/// Lets the cleaner delete the blob after `seconds`. If the cleaner has deleted it already, bytes may have been written after
/// that: the blob is listed again, unless it has an owner by a transaction whose answer was lost.
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
    /// The writer was cancelled. A request to a store or a thread that writes to the disk may continue, and would create the blob
    /// again if it were deleted before they have ended.
    fn drop(&mut self) {
        if self.is_claimed {
            return;
        }
        let (db, blob, bell) = (self.db.clone(), self.blob, Arc::clone(&self.bell));
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            runtime.spawn(async move {
                if let Err(error) = give_up(&db, blob, CANCELLED_SECONDS, &bell).await {
                    tracing::warn!(blob_id = %blob.id, error = %error_chain(&error), "an unfinished blob could not be given up; it is deleted after its deadline");
                }
            });
        }
    }
}

async fn renew(db: Db, blob_id: Uuid, interval: Duration, stop: CancellationToken, lost: CancellationToken) {
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(interval) => {}
        }
        match db.write_to_free(Durability::Process, move |tx| garbage::keep(tx, blob_id, RENEWED_SECONDS)).await {
            Ok(true) => {}
            Ok(false) => return lost.cancel(),
            Err(error) => tracing::warn!(%blob_id, %error, "an unfinished blob could not be renewed"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::db::DatabaseLocation;
    use crate::model::StorageKind;

    /// Short enough for a test; the deadline stays as it is.
    const INTERVAL: Duration = Duration::from_millis(20);

    struct Writer {
        db: Db,
        writing: UnfinishedBlob,
        _directory: tempfile::TempDir,
    }

    impl Writer {
        async fn begin() -> Self {
            let directory = tempfile::tempdir().unwrap();
            let db = Db::open(&DatabaseLocation::Sqlite(directory.path().join("partway.db"))).unwrap();
            let blob = BlobRef { storage: StorageKind::Local, id: Uuid::now_v7() };
            let begun = UnfinishedBlob::begin_renewing(&db, blob, None, Arc::default(), INTERVAL);
            let writing = begun.await.unwrap();
            Self { db, writing, _directory: directory }
        }

        /// Has the deadline pass, as after a long time without a renewal.
        async fn let_deadline_pass(&self) {
            let id = self.writing.blob().id;
            assert!(self.db.write(Durability::Process, move |tx| garbage::keep(tx, id, 0)).await.unwrap());
        }

        /// Whether the cleaner may give the blob up.
        async fn is_due(&self) -> bool {
            self.db.read(garbage::any_unclaimed).await.unwrap()
        }

        async fn until_renewed(&self) {
            let began = std::time::Instant::now();
            while self.is_due().await {
                assert!(began.elapsed() < Duration::from_secs(60), "the deadline was not moved");
                tokio::time::sleep(INTERVAL).await;
            }
        }
    }

    #[tokio::test]
    async fn a_blob_is_kept_over_many_deadlines_while_it_is_written_and_its_writer_learns_when_it_is_not() {
        let writer = Writer::begin().await;
        for _ in 0..5 {
            writer.let_deadline_pass().await;
            writer.until_renewed().await;
            writer.db.write(Durability::Process, garbage::give_up_unfinished).await.unwrap();
        }
        assert!(!writer.writing.lost.is_cancelled());
        let blob = writer.writing.blob();
        assert!(writer.db.write(Durability::Process, move |tx| UnfinishedBlob::claim(tx, blob)).await.unwrap());
        // Another blob, which the cleaner took before a renewal.
        let writer = Writer::begin().await;
        let id = writer.writing.blob().id;
        let taken = writer.db.write(Durability::Process, move |tx| {
            garbage::keep(tx, id, 0)?;
            garbage::give_up_unfinished(tx)
        });
        taken.await.unwrap();
        let notified = tokio::time::timeout(Duration::from_secs(60), writer.writing.lost()).await;
        assert!(notified.is_ok(), "the writer goes on with a blob that the cleaner deletes");
        let blob = writer.writing.blob();
        assert!(!writer.db.write(Durability::Process, move |tx| UnfinishedBlob::claim(tx, blob)).await.unwrap());
    }
}
