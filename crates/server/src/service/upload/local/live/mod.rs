//! A session while it takes parts: its open blob, which parts are there, and which requests are sending them.
//!
//! Invariant: a part counts as there exactly while its bytes are complete in the blob and its record is in the database.

mod table;

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use self::table::{Phase, Table};
use super::UploadError;
use super::life::Life;
use super::part_lease::{PartLease, PartLocks};
use crate::db::Timestamp;
use crate::db::sessions::{Session, Status};
use crate::service::upload::backend::Arrival;
use crate::storage::Blob;
use partway_api::PartPlan;

/// A session while it takes parts. At most one exists for a session.
#[derive(Debug)]
pub(super) struct LiveSession {
    /// Its row as it was opened. Status and expiry in it are not used: the table has both.
    pub(super) session: Session,
    pub(super) plan: PartPlan,
    pub(super) blob: Arc<Blob>,
    /// Whether its disk space is allocated part by part, as bytes arrive.
    blob_is_late: bool,
    /// Held while it is decided how the session ends.
    pub(super) ending: tokio::sync::Mutex<()>,
    table: Mutex<Table>,
    /// Which requests are sending parts.
    leases: PartLocks,
    /// Whether bytes may have been written since the last sync.
    unsynced: AtomicBool,
}

/// A part that is being written.
#[derive(Debug, Clone, Copy)]
pub(super) struct BegunPart {
    /// Whether the database may have a record that must be deleted before the bytes are touched.
    pub(super) maybe_recorded: bool,
    failed_syncs: u64,
}

impl LiveSession {
    /// A session that has no parts yet.
    pub(super) fn fresh(session: Session, plan: PartPlan, blob: Blob, blob_is_late: bool) -> Self {
        Self::with_parts(session, plan, blob, blob_is_late, Vec::new())
    }

    /// A session with the parts that the database has. `blob_is_late`: whether its blob's space is allocated part by part.
    pub(super) fn with_parts(
        session: Session,
        plan: PartPlan,
        blob: Blob,
        blob_is_late: bool,
        recorded: Vec<(u32, Vec<u8>)>,
    ) -> Self {
        let table = Mutex::new(Table::new(Life::of(&session), plan.parts(), recorded));
        let (blob, ending, leases) = (Arc::new(blob), tokio::sync::Mutex::default(), PartLocks::default());
        // Bytes that another process wrote may be unsynced, too.
        let unsynced = AtomicBool::new(true);
        Self { session, plan, blob, blob_is_late, ending, table, leases, unsynced }
    }

    /// Whether it may have been started with a public key.
    pub(super) fn is_of_public_key(&self) -> bool {
        self.blob_is_late
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        // Every change of the table is a single assignment, so a panic leaves it whole.
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for the lease of a part. An earlier request for the part is cancelled, and is waited for; a request that arrived before
    /// the latest one is refused, because the bytes of the later one count.
    pub(super) async fn lease(&self, part_index: u32, arrival: Arrival) -> Result<PartLease, UploadError> {
        let claim = {
            let mut table = self.table();
            if let Phase::Ended(status) = table.phase {
                return Err(UploadError::ended(self.session.id, status));
            }
            if let Some(part) = table.parts.get_mut(part_index as usize) {
                if part.latest.is_some_and(|latest| latest > arrival) {
                    return Err(UploadError::Superseded(part_index));
                }
                part.latest = Some(arrival);
            }
            // Under the table's lock, so that the session cannot end before the claim can be cancelled.
            self.leases.claim(part_index)
        };
        claim.wait().await.ok_or_else(|| self.cancelled(part_index))
    }

    /// Why the lease of a part was cancelled: the session has ended, or a later request arrived.
    pub(super) fn cancelled(&self, part_index: u32) -> UploadError {
        match self.ended() {
            Some(status) => UploadError::ended(self.session.id, status),
            None => UploadError::Superseded(part_index),
        }
    }

    /// Called before the first byte of a part is written: the part is missing from here on. Waits while it is decided how the session
    /// ends.
    pub(super) async fn begin_part(&self, part_index: u32) -> Result<BegunPart, UploadError> {
        loop {
            {
                let mut table = self.table();
                match table.phase {
                    Phase::Ended(status) => return Err(UploadError::ended(self.session.id, status)),
                    Phase::Uploading => {
                        let Some(part) = table.parts.get_mut(part_index as usize) else {
                            return Err(UploadError::SessionNotFound(self.session.id.to_string()));
                        };
                        part.subtrees = None;
                        let begun = BegunPart { maybe_recorded: part.maybe_recorded, failed_syncs: table.failed_syncs };
                        self.set_unsynced(true);
                        return Ok(begun);
                    }
                    Phase::Ending => {}
                }
            }
            drop(self.ending.lock().await);
        }
    }

    /// Notes whether the database may have a record of a part.
    pub(super) fn set_maybe_recorded(&self, part_index: u32, maybe: bool) {
        if let Some(part) = self.table().parts.get_mut(part_index as usize) {
            part.maybe_recorded = maybe;
        }
    }

    /// Called after a failed sync, with `ending` held: every part is missing again, including those that are being written.
    pub(super) fn forget_parts(&self) {
        let mut table = self.table();
        table.failed_syncs += 1;
        table.parts.iter_mut().for_each(|part| part.subtrees = None);
    }

    /// Called when the part's bytes are complete and its record is in the database. False when a sync has failed since the part was
    /// begun; the part stays missing then.
    pub(super) fn part_recorded(&self, part_index: u32, begun: BegunPart, subtrees: Vec<u8>) -> bool {
        let mut table = self.table();
        if table.failed_syncs != begun.failed_syncs {
            return false;
        }
        if let Some(part) = table.parts.get_mut(part_index as usize) {
            part.subtrees = Some(subtrees.into());
        }
        // A sync may have run in the middle of the part.
        self.set_unsynced(true);
        true
    }

    /// Stops all writing of parts until the guard is dropped. Call with `ending` held.
    ///
    /// # Errors
    /// When the session has ended, or parts are missing.
    pub(super) fn begin_ending(&self) -> Result<EndingGuard<'_>, UploadError> {
        let mut table = self.table();
        if let Phase::Ended(status) = table.phase {
            return Err(UploadError::ended(self.session.id, status));
        }
        let (_, missing) = table.parts();
        if !missing.is_empty() {
            return Err(UploadError::PartsMissing { missing, total: self.plan.parts() });
        }
        table.phase = Phase::Ending;
        Ok(EndingGuard { session: self, status: None })
    }

    /// While the guard lives no part is begun; parts that are being written go on. `None` when the session has ended. Call with
    /// `ending` held.
    pub(super) fn hold_parts(&self) -> Option<EndingGuard<'_>> {
        let mut table = self.table();
        if let Phase::Ended(_) = table.phase {
            return None;
        }
        table.phase = Phase::Ending;
        Some(EndingGuard { session: self, status: None })
    }

    /// Ends the session and cancels all requests that are sending parts. Call with `ending` held.
    pub(super) fn end(&self, status: Status) {
        let mut table = self.table();
        table.phase = Phase::Ended(status);
        self.leases.cancel_all();
    }

    /// How the session ended, if it did.
    pub(super) fn ended(&self) -> Option<Status> {
        match self.table().phase {
            Phase::Ended(status) => Some(status),
            Phase::Uploading | Phase::Ending => None,
        }
    }

    /// Indices of the parts that are there, and of those that are not.
    pub(super) fn parts(&self) -> (Vec<u32>, Vec<u32>) {
        self.table().parts()
    }

    /// When the session expires.
    pub(super) fn expires_at(&self) -> Timestamp {
        self.table().life.expires_at
    }

    /// Notes a longer life that the database has recorded.
    pub(super) fn extend(&self, expires_at: Timestamp, ttl_seconds: u64) {
        self.table().life.extend(expires_at, ttl_seconds);
    }

    /// The end to which an arriving part renews the session now, at most `latest`; see [`Life::claim_renewal`].
    pub(super) fn claim_renewal(&self, now: Timestamp, latest: Timestamp) -> Option<Timestamp> {
        self.table().life.claim_renewal(now, latest)
    }

    /// Notes a renewal that the database has recorded. `renewed_from` is the end before the first one.
    pub(super) fn renewed(&self, expires_at: Timestamp, renewed_from: Timestamp) {
        self.table().life.renewed(expires_at, renewed_from);
    }

    /// Its row, with its present life.
    pub(super) fn session_now(&self) -> Session {
        let mut session = self.session.clone();
        self.table().life.write_to(&mut session);
        session
    }

    /// Whether bytes may have been written since the last sync.
    pub(super) fn is_unsynced(&self) -> bool {
        self.unsynced.load(Ordering::Acquire)
    }

    /// Notes that bytes are about to be written, or that they are about to be synced.
    pub(super) fn set_unsynced(&self, unsynced: bool) {
        self.unsynced.store(unsynced, Ordering::Release);
    }

    /// The hash of the whole file. `None` unless all parts are there.
    pub(super) fn hash(&self) -> Option<blake3::Hash> {
        let table = self.table();
        let parts: Option<Vec<_>> = (0..)
            .zip(&table.parts)
            .map(|(index, part)| Some((self.plan.range(index)?, part.subtrees.as_deref()?)))
            .collect();
        partway_hash::merge(self.plan.size_bytes(), parts?)
    }
}

/// While it lives no part is begun. Dropped without [`completed`](Self::completed), parts are accepted again.
#[derive(Debug)]
pub(super) struct EndingGuard<'s> {
    session: &'s LiveSession,
    status: Option<Status>,
}

impl EndingGuard<'_> {
    /// Marks the session as completed.
    pub(super) fn completed(mut self) {
        self.status = Some(Status::Completed);
    }
}

impl Drop for EndingGuard<'_> {
    fn drop(&mut self) {
        self.session.table().phase = self.status.map_or(Phase::Uploading, Phase::Ended);
    }
}

#[cfg(test)]
mod tests;
