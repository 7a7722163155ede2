//! The live sessions of this process, by id. Invariant: at most one [`LiveSession`] exists for a session, and
//! whoever works on a session got it from here.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use partway_api::PartPlan;
use tokio::sync::OnceCell;
use uuid::Uuid;

use super::live::LiveSession;
use super::{UploadError, blocking};
use crate::boot::boot_id;
use crate::db::sessions::{self, Session, Status};
use crate::db::{Db, DbError, Durability, parts};
use crate::storage::{LocalStore, StorageError, part_is_intact};

/// A session that nobody used for this long is closed; the next request opens it again.
const IDLE: Duration = Duration::from_secs(120);

/// The live sessions.
pub(super) struct Registry {
    db: Db,
    store: Arc<LocalStore>,
    cells: Mutex<HashMap<Uuid, Entry>>,
}

struct Entry {
    cell: Arc<OnceCell<Arc<LiveSession>>>,
    used: Instant,
}

/// What there is of a session.
pub(super) enum Found {
    /// It takes parts.
    Live(Arc<LiveSession>),
    /// It has ended.
    Ended(Box<Session>),
}

impl Registry {
    pub(super) fn new(db: Db, store: Arc<LocalStore>) -> Self {
        Self { db, store, cells: Mutex::default() }
    }

    fn cells(&self) -> MutexGuard<'_, HashMap<Uuid, Entry>> {
        self.cells.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds a session that was just started: nobody else knows its id yet.
    pub(super) fn insert(&self, live: LiveSession) {
        let id = live.session.id;
        let cell = Arc::new(OnceCell::new_with(Some(Arc::new(live))));
        self.cells().insert(id, Entry { cell, used: Instant::now() });
    }

    /// The session with this id, opened from the database if need be. `None` when there is none.
    pub(super) async fn find(self: &Arc<Self>, id: Uuid) -> Result<Option<Found>, UploadError> {
        let cell = {
            let mut cells = self.cells();
            let entry = cells.entry(id).or_insert_with(|| Entry { cell: Arc::default(), used: Instant::now() });
            entry.used = Instant::now();
            Arc::clone(&entry.cell)
        };
        if let Some(live) = cell.get() {
            return Ok(Some(Found::Live(Arc::clone(live))));
        }
        // Opening may take long, and must neither end with the request that began it nor be begun twice.
        let (registry, opening) = (Arc::clone(self), Arc::clone(&cell));
        let opened = tokio::spawn(async move { opening.get_or_try_init(|| registry.open(id)).await.cloned() });
        match opened.await.unwrap_or(Err(NotOpened::Failed(StorageError::Stopped.into()))) {
            Ok(live) => Ok(Some(Found::Live(live))),
            Err(NotOpened::Nothing) => {
                self.forget_unopened(id);
                Ok(None)
            }
            Err(NotOpened::Ended(session)) => {
                self.forget_unopened(id);
                Ok(Some(Found::Ended(session)))
            }
            Err(NotOpened::Failed(error)) => {
                self.forget_unopened(id);
                Err(error)
            }
        }
    }

    async fn open(&self, id: Uuid) -> Result<Arc<LiveSession>, NotOpened> {
        let found = self.db.read(move |tx| match sessions::find(tx, id)? {
            Some(session) if session.status == Status::Uploading => {
                let parts = parts::list(tx, id)?;
                Ok(Some((session, parts)))
            }
            other => Ok(other.map(|session| (session, Vec::new()))),
        });
        let (session, parts) = found.await?.ok_or(NotOpened::Nothing)?;
        if session.status != Status::Uploading {
            return Err(NotOpened::Ended(Box::new(session)));
        }
        let plan =
            PartPlan::from_stored(session.size_bytes, session.part_size_bytes).ok_or_else(|| DbError::Corrupt {
                table: "sessions",
                problem: format!("{} bytes in parts of {}", session.size_bytes, session.part_size_bytes),
            })?;
        if session.trusted_boot_id != boot_id() {
            return self.open_after_reboot(session, plan, parts).await;
        }
        let (store, blob_id) = (Arc::clone(&self.store), session.blob_id);
        let blob = blocking(move || store.open_for_writing(blob_id)).await.map_err(NotOpened::Failed)?;
        Ok(Arc::new(LiveSession::with_parts(session, plan, blob, parts)))
    }

    /// The machine was started anew since parts were recorded, perhaps after a power cut: each is read and compared
    /// with its record. Those that differ are missing again. Whoever asks for the session waits.
    async fn open_after_reboot(
        &self,
        session: Session,
        plan: PartPlan,
        recorded: Vec<(u32, Vec<u8>)>,
    ) -> Result<Arc<LiveSession>, NotOpened> {
        let (store, blob_id, session_id) = (Arc::clone(&self.store), session.blob_id, session.id);
        let verify = move || {
            // Even its name may be gone; then it is made again, and no part of it is intact.
            let blob = store.open_or_create(blob_id, plan.size_bytes())?;
            let mut intact = Vec::with_capacity(recorded.len());
            let mut damaged = Vec::new();
            for (index, subtrees) in recorded {
                let verified = plan.range(index).map(|part| part_is_intact(&blob, &part, plan.size_bytes(), &subtrees));
                match verified {
                    Some(Ok(true)) => intact.push((index, subtrees)),
                    Some(Err(error)) => {
                        // A part that cannot be read is as good as one that is wrong: it can be sent again.
                        tracing::warn!(%session_id, index, error = %crate::error::chain(&error), "a part cannot be read");
                        damaged.push(index);
                    }
                    Some(Ok(false)) | None => damaged.push(index),
                }
            }
            Ok((blob, intact, damaged))
        };
        let (blob, intact, damaged) = blocking(verify).await.map_err(NotOpened::Failed)?;
        tracing::info!(%session_id, intact = intact.len(), damaged = damaged.len(), "verified parts after a reboot");
        let noted = self.db.write(Durability::Process, move |tx| {
            damaged.iter().try_for_each(|index| parts::delete(tx, session_id, *index))?;
            sessions::set_trusted_boot(tx, session_id, boot_id())
        });
        noted.await?;
        Ok(Arc::new(LiveSession::with_parts(session, plan, blob, intact)))
    }

    /// The session, if it is open in memory.
    pub(super) fn find_open(&self, id: Uuid) -> Option<Arc<LiveSession>> {
        self.cells().get(&id).and_then(|entry| entry.cell.get().cloned())
    }

    /// Takes out the entry of a session that could not be opened, unless somebody is opening it right now: whoever
    /// does so holds the cell.
    fn forget_unopened(&self, id: Uuid) {
        let mut cells = self.cells();
        if cells.get(&id).is_some_and(|entry| entry.cell.get().is_none() && Arc::strong_count(&entry.cell) <= 2) {
            cells.remove(&id);
        }
    }

    /// Takes out a session that has ended. Those who hold it see from it that it has.
    pub(super) fn remove(&self, id: Uuid) {
        self.cells().remove(&id);
    }

    /// Closes sessions that nobody uses, so that open files and memory do not grow with their number.
    pub(super) fn close_idle(&self) {
        let now = Instant::now();
        self.cells().retain(|_, entry| {
            let free =
                Arc::strong_count(&entry.cell) == 1 && entry.cell.get().is_none_or(|live| Arc::strong_count(live) == 1);
            !free || now.duration_since(entry.used) < IDLE
        });
    }
}

enum NotOpened {
    Nothing,
    Ended(Box<Session>),
    Failed(UploadError),
}

impl From<DbError> for NotOpened {
    fn from(error: DbError) -> Self {
        Self::Failed(error.into())
    }
}
