//! Whether database and storage answer, and how full the disk is.
//!
//! Invariant: no key is needed to ask for this, so it costs next to nothing however often it is asked. There is at most one
//! check of database and storage at a time, and one begins in a second; all who ask get what it found.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use futures_util::FutureExt;
use futures_util::future::{BoxFuture, Shared};
use tokio::task::{AbortHandle, JoinError};

use crate::db::{Db, DbError, workspaces};
use crate::model::StorageKind;
pub use crate::storage::DiskState;
use crate::storage::{StorageError, Stores};

/// How old the answer of a check may be, from its begin, and how long somebody waits for one that is under way.
const LIFETIME: Duration = Duration::from_secs(1);
const MAX_WAIT: Duration = Duration::from_secs(10);

/// Why the server is not ready.
#[derive(Debug, Clone, thiserror::Error)]
pub enum NotReady {
    /// The database failed.
    #[error(transparent)]
    Db(Arc<DbError>),
    /// A storage failed.
    #[error(transparent)]
    Storage(Arc<StorageError>),
    /// Database or storage hang.
    #[error("database and storage were asked and did not answer within {} s", MAX_WAIT.as_secs())]
    NoAnswer,
    /// The process had no room for the check, or it panicked.
    #[error("the check did not end")]
    CheckLost(#[source] Arc<JoinError>),
}

type Found = Result<Option<DiskState>, NotReady>;

struct Latest {
    begun_at: Instant,
    task: AbortHandle,
    check: Shared<BoxFuture<'static, Found>>,
}

/// The latest check of database and storage, for all who ask.
pub struct Readiness {
    db: Db,
    stores: Stores,
    latest: Mutex<Option<Latest>>,
    begun: AtomicU64,
}

impl Readiness {
    /// Nothing was checked yet.
    pub fn new(db: Db, stores: Stores) -> Self {
        Self { db, stores, latest: Mutex::default(), begun: AtomicU64::default() }
    }

    /// Whether database and storage answer: how full the disk is, when nothing can be uploaded to it.
    ///
    /// # Errors
    /// [`NotReady`] when one of them does not.
    pub async fn check(&self) -> Result<Option<DiskState>, NotReady> {
        tokio::time::timeout(MAX_WAIT, self.latest()).await.unwrap_or(Err(NotReady::NoAnswer))
    }

    /// The check that is under way, or began within the last second; otherwise a new one.
    fn latest(&self) -> Shared<BoxFuture<'static, Found>> {
        let mut latest = self.latest.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(latest) = &*latest
            && (!latest.task.is_finished() || latest.begun_at.elapsed() < LIFETIME)
        {
            return latest.check.clone();
        }
        self.begun.fetch_add(1, Ordering::Relaxed);
        // It goes on when those who asked have gone: otherwise each of them would begin another one.
        let running = tokio::spawn(look(self.db.clone(), self.stores.clone()));
        let task = running.abort_handle();
        let found = async { running.await.unwrap_or_else(|error| Err(NotReady::CheckLost(Arc::new(error)))) };
        let check = found.boxed().shared();
        *latest = Some(Latest { begun_at: Instant::now(), task, check: check.clone() });
        check
    }

    /// How many checks were begun.
    pub fn begun(&self) -> u64 {
        self.begun.load(Ordering::Relaxed)
    }
}

async fn look(db: Db, stores: Stores) -> Found {
    let db_failed = |error| NotReady::Db(Arc::new(error));
    db.read(workspaces::list).await.map_err(db_failed)?;
    db.check_writable().await.map_err(db_failed)?;
    for store in stores.all() {
        store.check().await.map_err(|error| NotReady::Storage(Arc::new(error)))?;
    }
    Ok(full_disk(&stores).await)
}

/// How full the disk is, when nothing can be uploaded to it. `None` also where new files go to a bucket.
async fn full_disk(stores: &Stores) -> Option<DiskState> {
    let store = stores.local.clone().filter(|_| stores.primary == StorageKind::Local)?;
    let state = tokio::task::spawn_blocking(move || store.disk()).await;
    state.ok()?.ok().filter(DiskState::is_full)
}
