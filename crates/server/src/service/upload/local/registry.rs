//! The live sessions of this process, by id.
//!
//! Invariant: at most one [`LiveSession`] exists for a session, and all work on a session uses the one from here.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::OnceCell;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::UploadError;
use super::keyed_locks::KeyedGuard;
use super::live::LiveSession;
use super::recovery::{NotOpened, Opener};
use crate::db::sessions::Session;
use crate::storage::StorageError;

/// A session that was not used for this long is closed; the next request opens it again.
const IDLE_TIMEOUT: Duration = Duration::from_secs(120);
/// How long a request waits for a session whose parts are being verified. Then it is answered to try again, and verifying goes on
/// without it.
const OPENING_WAIT: Duration = Duration::from_secs(10);

/// The live sessions.
pub(super) struct Registry {
    opener: Opener,
    cells: Mutex<HashMap<Uuid, Entry>>,
}

struct Entry {
    cell: Arc<OnceCell<Arc<LiveSession>>>,
    /// Present while a task of its own opens the session, however long that takes; cancelled when that task has ended.
    opening: Option<CancellationToken>,
    used: Instant,
}

impl Registry {
    pub(super) fn new(opener: Opener) -> Self {
        Self { opener, cells: Mutex::default() }
    }

    fn cells(&self) -> MutexGuard<'_, HashMap<Uuid, Entry>> {
        self.cells.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Makes a session that did not exist before. While `make` runs, requests for the session wait, as do those that end it.
    pub(super) async fn start<E>(&self, id: Uuid, make: impl Future<Output = Result<LiveSession, E>>) -> Result<(), E> {
        let cell = self.used_now(id);
        let started = cell.get_or_try_init(|| async {
            let _lifecycle = self.opener.lifecycles.lock(id).await;
            make.await.map(Arc::new)
        });
        let started = started.await.map(drop);
        if started.is_err() {
            self.forget_unopened(id);
        }
        started
    }

    /// While the guard lives, the session is neither being started nor being opened. It may be open.
    pub(super) async fn lock_lifecycle(&self, id: Uuid) -> KeyedGuard<Uuid> {
        self.opener.lifecycles.lock(id).await
    }

    /// The session with this id, opened from the database if need be. `None` when there is none.
    ///
    /// # Errors
    /// [`UploadError::Opening`] when that takes long.
    pub(super) async fn find(self: &Arc<Self>, id: Uuid) -> Result<Option<LocalSession>, UploadError> {
        let deadline = tokio::time::Instant::now() + OPENING_WAIT;
        loop {
            if let Some(live) = self.used_now(id).get() {
                return Ok(Some(LocalSession::Live(Arc::clone(live))));
            }
            // Opening may take long, and must not end with the request that began it. Later requests only wait, so that memory
            // does not grow with their number. If opening fails, the next of them tries.
            match self.claim_opening(id) {
                Claim::Others(ended) => match tokio::time::timeout_at(deadline, ended.cancelled()).await {
                    Ok(()) => {}
                    Err(_) => return Err(UploadError::Opening(id)),
                },
                Claim::Own(opening) => {
                    let registry = Arc::clone(self);
                    let opening = tokio::spawn(async move {
                        let _ended = opening.drop_guard();
                        registry.open(id).await
                    });
                    let opened = tokio::time::timeout_at(deadline, opening).await;
                    let opened =
                        opened.map(|opened| opened.unwrap_or_else(|error| Err(StorageError::from(error).into())));
                    return opened.unwrap_or(Err(UploadError::Opening(id)));
                }
            }
        }
    }

    /// `Own` for the first request that opens the session, and for the next one when that has failed.
    fn claim_opening(&self, id: Uuid) -> Claim {
        let mut cells = self.cells();
        let opening = &mut cells.entry(id).or_default().opening;
        if let Some(others) = opening.as_ref().filter(|opening| !opening.is_cancelled()) {
            return Claim::Others(others.clone());
        }
        Claim::Own(opening.insert(CancellationToken::new()).clone())
    }

    /// Opens the session, however long that takes.
    pub(super) async fn open(&self, id: Uuid) -> Result<Option<LocalSession>, UploadError> {
        let opened = loop {
            let cell = self.used_now(id);
            let opened = cell.get_or_try_init(|| self.opener.open(id)).await.cloned();
            if opened.is_err() {
                self.forget_unopened(id);
            } else if !self.has(id, &cell) {
                // It was ended in this very moment; the next look finds that.
                continue;
            }
            break opened;
        };
        match opened {
            Ok(live) => Ok(Some(LocalSession::Live(live))),
            Err(NotOpened::Nothing) => Ok(None),
            Err(NotOpened::Ended(session)) => Ok(Some(LocalSession::Ended(session))),
            Err(NotOpened::Failed(error)) => Err(error),
        }
    }

    fn has(&self, id: Uuid, cell: &Arc<OnceCell<Arc<LiveSession>>>) -> bool {
        self.cells().get(&id).is_some_and(|entry| Arc::ptr_eq(&entry.cell, cell))
    }

    fn used_now(&self, id: Uuid) -> Arc<OnceCell<Arc<LiveSession>>> {
        let mut cells = self.cells();
        let entry = cells.entry(id).or_default();
        entry.used = Instant::now();
        Arc::clone(&entry.cell)
    }

    /// The session, if it is open in memory.
    pub(super) fn find_open(&self, id: Uuid) -> Option<Arc<LiveSession>> {
        self.cells().get(&id).and_then(|entry| entry.cell.get().cloned())
    }

    /// Removes the entry of a session that could not be opened, unless another task is opening it right now: that task holds the
    /// cell.
    fn forget_unopened(&self, id: Uuid) {
        let mut cells = self.cells();
        if cells.get(&id).is_some_and(|entry| entry.cell.get().is_none() && Arc::strong_count(&entry.cell) <= 2) {
            cells.remove(&id);
        }
    }

    /// Removes a session that has ended. Tasks that hold it see that in its phase.
    pub(super) fn remove(&self, id: Uuid) {
        self.cells().remove(&id);
    }

    /// Idle sessions whose bytes may not be on the disk.
    pub(super) fn idle_unsynced(&self) -> Vec<Arc<LiveSession>> {
        let cells = self.cells();
        let idle = cells.values().filter(|entry| entry.is_idle()).filter_map(|entry| entry.cell.get());
        idle.filter(|live| live.is_unsynced()).cloned().collect()
    }

    /// Closes idle sessions, so that open files and memory do not grow with their number.
    pub(super) fn close_idle(&self) {
        self.cells().retain(|_, entry| !entry.is_idle() || entry.cell.get().is_some_and(|live| live.is_unsynced()));
    }
}

/// The task that opens a session.
enum Claim {
    /// The caller opens it, and cancels the token when that has ended.
    Own(CancellationToken),
    /// Another task opens it, until the token is cancelled.
    Others(CancellationToken),
}

impl Default for Entry {
    fn default() -> Self {
        Self { cell: Arc::default(), opening: None, used: Instant::now() }
    }
}

impl Entry {
    fn is_idle(&self) -> bool {
        let free =
            Arc::strong_count(&self.cell) == 1 && self.cell.get().is_none_or(|live| Arc::strong_count(live) == 1);
        free && self.used.elapsed() >= IDLE_TIMEOUT
    }
}

/// A session of local storage.
pub(super) enum LocalSession {
    /// It takes parts.
    Live(Arc<LiveSession>),
    /// It has ended.
    Ended(Box<Session>),
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::db::{DatabaseLocation, Db};
    use crate::storage::LocalStore;

    #[tokio::test]
    async fn when_opening_fails_the_next_one_opens_even_if_others_wait() {
        let directory = tempfile::tempdir().unwrap();
        let db = Db::open(&DatabaseLocation::Sqlite(directory.path().join("partway.db"))).unwrap();
        let store = LocalStore::open(directory.path(), false, 0).unwrap();
        let registry = Arc::new(Registry::new(Opener::new(db, Arc::new(store), "now".into())));
        let id = Uuid::new_v4();
        // Another request has looked, and holds the cell.
        let held = registry.used_now(id);
        assert!(registry.find(id).await.unwrap().is_none(), "there is no such session");
        assert!(matches!(registry.claim_opening(id), Claim::Own(_)), "no task opens it any more");
        assert!(matches!(registry.claim_opening(id), Claim::Others(_)));
        drop(held);
    }
}
