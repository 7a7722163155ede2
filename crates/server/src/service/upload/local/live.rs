//! A session while it takes parts: its open blob, which parts are there, and who is sending which.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use partway_api::PartPlan;
use tokio::sync::OwnedMutexGuard;
use tokio_util::sync::CancellationToken;

use super::UploadError;
use crate::db::Timestamp;
use crate::db::sessions::{Session, Status};
use crate::service::upload::backend::Arrival;
use crate::storage::Blob;

/// Turns that were taken are kept until there are more than this; then those that nobody holds go.
const IDLE_TURNS: usize = 64;

/// A session while it takes parts. At most one exists for a session.
#[derive(Debug)]
pub(super) struct LiveSession {
    /// What it was started with. Its status and its end are not looked at here: the table has both.
    pub(super) session: Session,
    pub(super) plan: PartPlan,
    pub(super) blob: Arc<Blob>,
    /// Whether its room is taken part by part, as bytes come.
    blob_is_late: bool,
    /// Held while the session's end is being decided.
    pub(super) ending: tokio::sync::Mutex<()>,
    table: Mutex<Table>,
    /// Whether bytes may have been written since the last sync.
    unsynced: AtomicBool,
}

#[derive(Debug)]
struct Table {
    phase: Phase,
    /// How often a sync has failed. Bytes written before the last failure may be lost.
    failed_syncs: u64,
    expires_at: Timestamp,
    parts: Vec<Part>,
    turns: HashMap<u32, Turn>,
}

impl Table {
    fn parts(&self) -> (Vec<u32>, Vec<u32>) {
        (0..self.parts.len() as u32).partition(|index| self.parts[*index as usize].subtrees.is_some())
    }
}

/// How far the session is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// Parts may be written.
    Uploading,
    /// The parts are being synced, and if all are there perhaps published: none may be begun. Becomes `Ended` or
    /// `Uploading` again. Whoever holds `ending` decides.
    Ending,
    /// Final.
    Ended(Status),
}

#[derive(Debug, Clone, Default)]
struct Part {
    /// Set while the part's bytes are whole and its record is in the database.
    subtrees: Option<Box<[u8]>>,
    /// Whether the database may have a record, which must go before the bytes are touched.
    maybe_recorded: bool,
    /// The latest request that took its turn.
    latest: Option<Arrival>,
}

/// One part's turn: who holds the lock may write; who came last may cancel.
#[derive(Debug)]
struct Turn {
    lock: Arc<tokio::sync::Mutex<()>>,
    latest: CancellationToken,
}

/// A part that is being written.
#[derive(Debug, Clone, Copy)]
pub(super) struct BegunPart {
    /// Whether the database may have a record that must go before the bytes are touched.
    pub(super) maybe_recorded: bool,
    failed_syncs: u64,
}

/// Permission to write one part, alone.
#[derive(Debug)]
pub(super) struct PartLease {
    /// Held by whoever may still be writing.
    pub(super) turn: OwnedMutexGuard<()>,
    /// Cancelled when a later request for the part comes.
    pub(super) superseded: CancellationToken,
}

impl LiveSession {
    /// A session that has no parts yet.
    pub(super) fn fresh(session: Session, plan: PartPlan, blob: Blob, blob_is_late: bool) -> Self {
        Self::with_parts(session, plan, blob, blob_is_late, Vec::new())
    }

    /// A session with the parts that the database has. `blob_is_late`: whether its blob takes its room part by part.
    pub(super) fn with_parts(
        session: Session,
        plan: PartPlan,
        blob: Blob,
        blob_is_late: bool,
        recorded: Vec<(u32, Vec<u8>)>,
    ) -> Self {
        let mut parts = vec![Part::default(); plan.parts() as usize];
        for (index, subtrees) in recorded {
            if let Some(part) = parts.get_mut(index as usize) {
                *part = Part { subtrees: Some(subtrees.into()), maybe_recorded: true, latest: None };
            }
        }
        let expires_at = session.expires_at;
        let table =
            Mutex::new(Table { phase: Phase::Uploading, failed_syncs: 0, expires_at, parts, turns: HashMap::new() });
        let (blob, ending) = (Arc::new(blob), tokio::sync::Mutex::default());
        // What another process wrote is as unsynced as what this one writes.
        Self { session, plan, blob, blob_is_late, ending, table, unsynced: AtomicBool::new(true) }
    }

    /// Whether a stranger may have started it.
    pub(super) fn is_of_public_key(&self) -> bool {
        self.blob_is_late
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        // Every change of the table is a single assignment, so a panic leaves it whole.
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes the turn of a part. An earlier request for it is told to end, and is waited for; one that came earlier and was held
    /// up until now is refused, because what the later one sent counts.
    pub(super) async fn take_turn(&self, part_index: u32, arrival: Arrival) -> Result<PartLease, UploadError> {
        let superseded = CancellationToken::new();
        let lock = {
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
            if table.turns.len() > IDLE_TURNS {
                // Locks are only cloned under this table's lock, so a count of one cannot grow meanwhile.
                table.turns.retain(|_, turn| Arc::strong_count(&turn.lock) > 1);
            }
            let turn = table
                .turns
                .entry(part_index)
                .or_insert_with(|| Turn { lock: Arc::default(), latest: superseded.clone() });
            let earlier = std::mem::replace(&mut turn.latest, superseded.clone());
            let lock = Arc::clone(&turn.lock);
            if Arc::strong_count(&lock) > 2 {
                earlier.cancel();
            }
            lock
        };
        tokio::select! {
            biased;
            () = superseded.cancelled() => Err(self.cancelled(part_index)),
            turn = lock.lock_owned() => Ok(PartLease { turn, superseded }),
        }
    }

    /// Why the turn of a part was taken away: the session has ended, or a later request came.
    pub(super) fn cancelled(&self, part_index: u32) -> UploadError {
        match self.ended() {
            Some(status) => UploadError::ended(self.session.id, status),
            None => UploadError::Superseded(part_index),
        }
    }

    /// Before the first byte of a part is written: it counts as missing from here on. Waits while the session's end is
    /// being decided.
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

    /// Notes what the database has or may have of a part: `None`, nothing; otherwise a record, perhaps.
    pub(super) fn set_maybe_recorded(&self, part_index: u32, maybe: bool) {
        if let Some(part) = self.table().parts.get_mut(part_index as usize) {
            part.maybe_recorded = maybe;
        }
    }

    /// A sync has failed: every part is missing again, also those that are being written. Call with `ending` held.
    pub(super) fn forget_parts(&self) {
        let mut table = self.table();
        table.failed_syncs += 1;
        table.parts.iter_mut().for_each(|part| part.subtrees = None);
    }

    /// The part's bytes are whole and its record is in the database. False, and the part stays missing, when a sync has
    /// failed since it was begun.
    pub(super) fn part_recorded(&self, part_index: u32, begun: BegunPart, subtrees: Vec<u8>) -> bool {
        let mut table = self.table();
        if table.failed_syncs != begun.failed_syncs {
            return false;
        }
        if let Some(part) = table.parts.get_mut(part_index as usize) {
            part.subtrees = Some(subtrees.into());
        }
        // A sync may have come in the middle of the part.
        self.set_unsynced(true);
        true
    }

    /// From here on no part is written, until the guard says how it ended. Call with `ending` held.
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

    /// While the guard lives no part is begun; those that are being written go on. `None` when the session has ended. Call
    /// with `ending` held.
    pub(super) fn hold_parts(&self) -> Option<EndingGuard<'_>> {
        let mut table = self.table();
        if let Phase::Ended(_) = table.phase {
            return None;
        }
        table.phase = Phase::Ending;
        Some(EndingGuard { session: self, status: None })
    }

    /// Ends the session whatever its parts: all requests that are sending are told to end. Call with `ending` held.
    pub(super) fn end(&self, status: Status) {
        let mut table = self.table();
        table.phase = Phase::Ended(status);
        table.turns.values().for_each(|turn| turn.latest.cancel());
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

    /// When the session ends by itself.
    pub(super) fn expires_at(&self) -> Timestamp {
        self.table().expires_at
    }

    /// The database has the session live at least until then.
    pub(super) fn extend(&self, expires_at: Timestamp) {
        let mut table = self.table();
        table.expires_at = table.expires_at.max(expires_at);
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

/// While it lives no part is begun. Dropped without [`completed`](Self::completed), parts may come again.
#[derive(Debug)]
pub(super) struct EndingGuard<'s> {
    session: &'s LiveSession,
    status: Option<Status>,
}

impl EndingGuard<'_> {
    /// The session is completed.
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
mod tests {
    use super::*;
    use crate::storage::LocalStore;
    use uuid::Uuid;

    fn session(directory: &std::path::Path) -> LiveSession {
        let store = LocalStore::open(directory, false, 1).unwrap();
        let plan = PartPlan::for_size(15 * 1024 * 1024);
        let session = Session {
            id: Uuid::new_v4(),
            workspace_id: Uuid::nil(),
            api_key_id: Uuid::nil(),
            status: Status::Uploading,
            file_id: Uuid::nil(),
            blob_id: Uuid::now_v7(),
            file_name: String::new(),
            folder: String::new(),
            size_bytes: plan.size_bytes(),
            part_size_bytes: plan.part_size_bytes(),
            mime_type: String::new(),
            tags: Vec::new(),
            metadata: None,
            custom_id: None,
            created_at: Timestamp::now(),
            expires_at: Timestamp::now(),
            trusted_boot_id: String::new(),
            declared_hash: None,
            completed_file: None,
            storage: crate::model::StorageKind::Local,
            store_upload_id: None,
            webhook_url: None,
            complete_hash: None,
        };
        let blob = store.create(session.blob_id, plan.size_bytes()).unwrap();
        LiveSession::fresh(session, plan, blob, false)
    }

    #[tokio::test]
    async fn a_part_that_was_being_written_when_a_sync_failed_stays_missing() {
        let directory = tempfile::tempdir().unwrap();
        let live = session(directory.path());
        let (first, second) = (live.begin_part(0).await.unwrap(), live.begin_part(1).await.unwrap());
        assert!(live.part_recorded(0, first, vec![1]));
        live.forget_parts();
        assert!(!live.part_recorded(1, second, vec![1]));
        assert_eq!(live.parts(), (vec![], vec![0, 1]));
        let again = live.begin_part(1).await.unwrap();
        assert!(live.part_recorded(1, again, vec![1]));
        assert_eq!(live.parts(), (vec![1], vec![0]));
    }

    #[tokio::test]
    async fn a_sync_in_the_middle_of_a_part_does_not_make_it_safe() {
        let directory = tempfile::tempdir().unwrap();
        let live = session(directory.path());
        let begun = live.begin_part(0).await.unwrap();
        live.set_unsynced(false);
        assert!(live.part_recorded(0, begun, vec![1]));
        assert!(live.is_unsynced());
    }
}
