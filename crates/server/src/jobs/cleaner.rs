//! Deletes garbage, and forgets ended sessions: their parts at once, the rest after `limits.forget_sessions_seconds`.
//!
//! Invariant: only blobs in the garbage table are deleted, and a blob enters it in the transaction that takes it from its
//! owner. `service/blob_retention.rs` decides for how long a blob stays there. The row is deleted after the bytes, so deletion resumes at the next start whenever the process ends.

use std::sync::Arc;
use std::time::{Duration, Instant};

use partway_api::limits::IDEMPOTENCY_SECONDS;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::{EventBounds, Lease};
use crate::db::{Db, DbError, Durability, Timestamp, Tx, garbage, idempotency, parts, sessions};
use crate::error_chain::error_chain;
use crate::failpoint;
use crate::metrics::CleanerMetrics;
use crate::service::file::Files;
use crate::service::upload::{UploadError, Uploads};
use crate::storage::Stores;
use crate::turn::turn;

/// Upper bound of the time between two rounds. Sessions expire to the second; their bytes are deleted up to this much later.
const CLEANING_INTERVAL: Duration = Duration::from_secs(15);
/// Lower bound of the time between two rounds, however often the bell rings.
const MIN_CLEANING_INTERVAL: Duration = Duration::from_millis(500);
/// Blobs listed and deleted in one step.
const DELETION_BATCH: u32 = 100;
/// Consecutive failed deletions after which a store counts as unavailable for this round.
const MAX_DELETION_FAILURES: u32 = 3;
/// Rows deleted in one transaction: a few milliseconds, so that requests do not wait long for it.
const ROWS_PER_TRANSACTION: u32 = 1000;
/// Steps of purging deleted folders before the other work of a round has its turn again.
const PURGE_STEPS_PER_TURN: u32 = 50;

/// The cleaner of one server.
pub(crate) struct Cleaner {
    /// Lets one node clean at a time. Another node may take over during a long round, so every step may run twice.
    pub lease: Lease,
    /// The database.
    pub db: Db,
    /// The storages.
    pub stores: Stores,
    /// The sessions.
    pub uploads: Uploads,
    /// The files.
    pub files: Files,
    /// Between two searches of the bucket for unused uploads.
    pub sweep_interval: Duration,
    /// Retention of ended sessions.
    pub forget_sessions: Duration,
    /// Upper bounds of the outbox.
    pub event_bounds: EventBounds,
    /// Counts rounds and blobs.
    pub metrics: Arc<CleanerMetrics>,
}

#[derive(Debug, thiserror::Error)]
enum CleanerError {
    #[error(transparent)]
    Db(#[from] DbError),
    #[error(transparent)]
    Upload(#[from] UploadError),
}

impl Cleaner {
    /// Runs until `stop`. A failure is logged, and its work is retried in the next round.
    pub(crate) async fn run(mut self, stop: CancellationToken) {
        let bell = self.uploads.garbage_bell();
        let mut swept = None;
        loop {
            // A round may be cancelled anywhere: the next one resumes.
            let began = Instant::now();
            let cleaned = tokio::select! {
                () = stop.cancelled() => break,
                cleaned = turn("job.cleaner", self.clean(&mut swept)) => cleaned,
            };
            if !matches!(cleaned, Some(Ok(false))) {
                self.metrics.round(matches!(cleaned, Some(Ok(true))), began);
            }
            if let Some(Err(error)) = cleaned {
                tracing::error!(error = %error_chain(&error), "cleaning failed; retrying soon");
            }
            let interval = CLEANING_INTERVAL.min(self.sweep_interval);
            let next_round = async {
                tokio::time::sleep(MIN_CLEANING_INTERVAL).await;
                let _ = tokio::time::timeout(interval, bell.notified()).await;
            };
            tokio::select! {
                () = stop.cancelled() => break,
                () = next_round => {}
            }
        }
        self.lease.give_up().await;
    }

    /// Does all that is due. False when another node does it.
    async fn clean(&mut self, swept: &mut Option<Instant>) -> Result<bool, CleanerError> {
        self.uploads.close_idle();
        if !self.lease.take().await? {
            return Ok(false);
        }
        // First comes the work that frees space without waiting for a store.
        self.delete_garbage().await?;
        self.uploads.expire_overdue().await?;
        let mut steps = 0_u32;
        while self.files.purge_deleted().await? {
            failpoint::hit("cleaner.after_purge");
            steps += 1;
            // A large folder takes many steps: the lease is renewed, and the other work is done in between.
            if steps.is_multiple_of(PURGE_STEPS_PER_TURN) {
                if !self.lease.take().await? {
                    return Ok(false);
                }
                self.delete_garbage().await?;
                self.uploads.expire_overdue().await?;
            }
        }
        self.event_bounds.keep(&self.db).await?;
        self.delete_garbage().await?;
        self.forget_ended_parts().await?;
        self.forget_idempotency_keys().await?;
        self.forget_ended_sessions().await?;
        self.fill_reserve().await;
        if swept.is_none_or(|at| at.elapsed() >= self.sweep_interval) {
            *swept = Some(Instant::now());
            self.uploads.sweep().await?;
        }
        Ok(true)
    }

    async fn forget_ended_parts(&self) -> Result<(), CleanerError> {
        // Reads first: even an empty write transaction is synced to the disk.
        while self.db.read(parts::any_ended).await? {
            self.db.write_to_free(Durability::Process, |tx| parts::forget_ended(tx, ROWS_PER_TRANSACTION)).await?;
            failpoint::hit("cleaner.after_forget_parts");
        }
        Ok(())
    }

    async fn forget_ended_sessions(&self) -> Result<(), CleanerError> {
        let until = Timestamp::now().minus_seconds(self.forget_sessions.as_secs());
        if !self.db.read(move |tx| sessions::any_ended_before(tx, until)).await? {
            return Ok(());
        }
        let forget = move |tx: &Tx<'_>| sessions::forget_ended_before(tx, until, ROWS_PER_TRANSACTION);
        while self.db.write_to_free(Durability::Process, forget).await? == ROWS_PER_TRANSACTION as usize {
            failpoint::hit("cleaner.after_forget_sessions");
        }
        Ok(())
    }

    async fn forget_idempotency_keys(&self) -> Result<(), CleanerError> {
        let until = Timestamp::now().minus_seconds(IDEMPOTENCY_SECONDS);
        while self.db.read(move |tx| idempotency::any_before(tx, until)).await? {
            self.db
                .write_to_free(Durability::Process, move |tx| {
                    idempotency::forget_before(tx, until, ROWS_PER_TRANSACTION)
                })
                .await?;
        }
        Ok(())
    }

    async fn delete_garbage(&self) -> Result<(), CleanerError> {
        if self.db.read(garbage::any_unclaimed).await?
            && let Err(error) = self.uploads.give_up_unfinished().await
        {
            tracing::error!(error = %error_chain(&error), "unfinished copies cannot be given up; retrying later");
        }
        for store in self.stores.all() {
            let (kind, mut last) = (store.kind(), Uuid::nil());
            let mut failures = 0;
            while failures < MAX_DELETION_FAILURES {
                let blobs = self.db.read(move |tx| garbage::list(tx, kind, last, DELETION_BATCH)).await?;
                let Some(next) = blobs.last().copied() else { break };
                last = next;
                let mut deleted = Vec::with_capacity(blobs.len());
                for blob_id in blobs {
                    failpoint::hit("cleaner.before_delete");
                    let outcome = store.delete_blob(blob_id).await;
                    self.metrics.deleted(kind, outcome.is_ok());
                    match outcome {
                        Ok(()) => {
                            failures = 0;
                            deleted.push(blob_id);
                        }
                        // A blob that cannot be deleted stays listed, and the others are tried.
                        Err(error) => {
                            tracing::error!(%blob_id, error = %error_chain(&error), "a blob cannot be deleted; trying again later");
                            failures += u32::from(error.is_transient());
                        }
                    }
                    failpoint::hit("cleaner.after_delete");
                    if failures == MAX_DELETION_FAILURES {
                        break;
                    }
                }
                self.forget_garbage(deleted).await?;
            }
        }
        Ok(())
    }

    /// Deletes the rows of blobs whose bytes are deleted.
    async fn forget_garbage(&self, deleted: Vec<Uuid>) -> Result<(), CleanerError> {
        if !deleted.is_empty() {
            let forget = move |tx: &Tx<'_>| deleted.iter().try_for_each(|blob_id| garbage::delete(tx, *blob_id));
            self.db.write_to_free(Durability::Process, forget).await?;
        }
        failpoint::hit("cleaner.after_forget");
        Ok(())
    }

    /// Refills the database's reserve of disk space, which was given up on a full disk.
    async fn fill_reserve(&self) {
        let db = self.db.clone();
        match tokio::task::spawn_blocking(move || db.fill_reserve()).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::warn!(%error, "there is no free space for the reserve of the database"),
            Err(error) => tracing::error!(%error, "the task that fills the reserve of the database failed"),
        }
    }
}
