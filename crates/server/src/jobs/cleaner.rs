//! Frees bytes that nobody owns any more, and forgets sessions that have ended: their parts at once, the rest after a while.
//!
//! Invariant: only blobs named in the garbage table are deleted, and a blob is named there in the same transaction
//! that took it from its owner. A row goes after its bytes: whenever the process ends, deleting goes on at the next
//! start.

use std::time::{Duration, Instant};

use partway_api::limits::IDEMPOTENCY_SECONDS;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::{EventBounds, Lease};
use crate::db::{Db, DbError, Durability, Timestamp, Tx, garbage, idempotency, parts, sessions};
use crate::failpoint;
use crate::service::file::Files;
use crate::service::upload::{UploadError, Uploads};
use crate::storage::Stores;
use crate::turn::turn;

/// Sessions expire to the second; freeing their bytes may take this much longer.
const INTERVAL: Duration = Duration::from_secs(15);
/// Between two rounds, however often the bell rings.
const PAUSE: Duration = Duration::from_millis(500);
/// Blobs deleted in one step.
const STEP: u32 = 100;
/// So many blobs one after the other that a store does not delete: it is away, and will not delete the others either.
const MAX_FAILURES: u32 = 3;
/// Rows deleted in one transaction: a few milliseconds, so that requests do not wait long behind it.
const ROWS_STEP: u32 = 1000;

/// Steps of taking the files of deleted folders away, before everything else is looked at again.
const PURGE_STEPS: u32 = 50;

/// The cleaner of one server.
pub struct Cleaner {
    /// Says whether it is this node that cleans. A long round may be taken over in the middle: every step may be done twice.
    pub lease: Lease,
    /// The records.
    pub db: Db,
    /// The bytes.
    pub stores: Stores,
    /// The sessions.
    pub uploads: Uploads,
    /// The files.
    pub files: Files,
    /// Between two searches for uploads of the bucket that nobody uses.
    pub sweep_interval: Duration,
    /// How long ended sessions are remembered.
    pub forget_sessions: Duration,
    /// How many events are kept.
    pub event_bounds: EventBounds,
}

#[derive(Debug, thiserror::Error)]
enum CleanerError {
    #[error(transparent)]
    Db(#[from] DbError),
    #[error(transparent)]
    Upload(#[from] UploadError),
}

impl Cleaner {
    /// Runs until `stop`. What fails is logged and tried again in the next round.
    pub async fn run(mut self, stop: CancellationToken) {
        let bell = self.uploads.garbage_bell();
        let mut swept = None;
        loop {
            // Wherever a round is left, the next one goes on.
            let cleaned = tokio::select! {
                () = stop.cancelled() => break,
                cleaned = turn("job.cleaner", self.clean(&mut swept)) => cleaned,
            };
            if let Some(Err(error)) = cleaned {
                tracing::error!(error = %crate::error_chain::error_chain(&error), "cleaning failed; trying again soon");
            }
            let interval = INTERVAL.min(self.sweep_interval);
            let next_round = async {
                tokio::time::sleep(PAUSE).await;
                let _ = tokio::time::timeout(interval, bell.notified()).await;
            };
            tokio::select! {
                () = stop.cancelled() => break,
                () = next_round => {}
            }
        }
        self.lease.give_up().await;
    }

    async fn clean(&mut self, swept: &mut Option<Instant>) -> Result<(), CleanerError> {
        self.uploads.close_idle();
        if !self.lease.take().await? {
            return Ok(());
        }
        // First what makes room without waiting for anybody.
        self.delete_garbage().await?;
        self.uploads.expire_overdue().await?;
        let mut steps = 0_u32;
        while self.files.purge_deleted().await? {
            failpoint::hit("cleaner.after_purge");
            steps += 1;
            // A large folder takes a while: the lease is renewed, and the rest is not forgotten over it.
            if steps.is_multiple_of(PURGE_STEPS) {
                if !self.lease.take().await? {
                    return Ok(());
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
        Ok(())
    }

    async fn forget_ended_parts(&self) -> Result<(), CleanerError> {
        // A look first: an empty transaction would have to be brought to the disk, too.
        while self.db.read(parts::any_ended).await? {
            self.db.write_to_free(Durability::Process, |tx| parts::forget_ended(tx, ROWS_STEP)).await?;
            failpoint::hit("cleaner.after_forget_parts");
        }
        Ok(())
    }

    async fn forget_ended_sessions(&self) -> Result<(), CleanerError> {
        let until = Timestamp::now().minus_seconds(self.forget_sessions.as_secs());
        if !self.db.read(move |tx| sessions::any_ended_before(tx, until)).await? {
            return Ok(());
        }
        let forget = move |tx: &Tx<'_>| sessions::forget_ended_before(tx, until, ROWS_STEP);
        while self.db.write_to_free(Durability::Process, forget).await? == ROWS_STEP as usize {
            failpoint::hit("cleaner.after_forget_sessions");
        }
        Ok(())
    }

    async fn forget_idempotency_keys(&self) -> Result<(), CleanerError> {
        let until = Timestamp::now().minus_seconds(IDEMPOTENCY_SECONDS);
        while self.db.read(move |tx| idempotency::any_before(tx, until)).await? {
            self.db
                .write_to_free(Durability::Process, move |tx| idempotency::forget_before(tx, until, ROWS_STEP))
                .await?;
        }
        Ok(())
    }

    async fn delete_garbage(&self) -> Result<(), CleanerError> {
        if self.db.read(garbage::any_unclaimed).await?
            && let Err(error) = self.uploads.give_up_unfinished().await
        {
            tracing::error!(error = %crate::error_chain::error_chain(&error), "unfinished copies cannot be given up; trying again later");
        }
        for store in self.stores.all() {
            let (kind, mut last) = (store.kind(), Uuid::nil());
            let mut failures = 0;
            while failures < MAX_FAILURES {
                let blobs = self.db.read(move |tx| garbage::list(tx, kind, last, STEP)).await?;
                let Some(next) = blobs.last().copied() else { break };
                last = next;
                let mut deleted = Vec::with_capacity(blobs.len());
                for blob_id in blobs {
                    failpoint::hit("cleaner.before_delete");
                    match store.delete_blob(blob_id).await {
                        Ok(()) => {
                            failures = 0;
                            deleted.push(blob_id);
                        }
                        // One that cannot be deleted stays listed and does not keep the others.
                        Err(error) => {
                            tracing::error!(%blob_id, error = %crate::error_chain::error_chain(&error), "a blob cannot be deleted; trying again later");
                            failures += u32::from(error.is_transient());
                        }
                    }
                    failpoint::hit("cleaner.after_delete");
                    if failures == MAX_FAILURES {
                        break;
                    }
                }
                self.forget_garbage(deleted).await?;
            }
        }
        Ok(())
    }

    /// Blobs whose bytes are gone.
    async fn forget_garbage(&self, deleted: Vec<Uuid>) -> Result<(), CleanerError> {
        if !deleted.is_empty() {
            let forget = move |tx: &Tx<'_>| deleted.iter().try_for_each(|blob_id| garbage::delete(tx, *blob_id));
            self.db.write_to_free(Durability::Process, forget).await?;
        }
        failpoint::hit("cleaner.after_forget");
        Ok(())
    }

    /// What was given up on a full disk is taken again once there is room.
    async fn fill_reserve(&self) {
        let db = self.db.clone();
        match tokio::task::spawn_blocking(move || db.fill_reserve()).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::warn!(%error, "there is no room to keep for the database"),
            Err(error) => tracing::error!(%error, "filling the room kept for the database ended badly"),
        }
    }
}
