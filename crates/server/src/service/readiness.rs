//! Readiness: whether database and storages answer, and whether the disk is full.
//!
//! Invariant: requests for it need no key, so they must be cheap. At most one check of database and storages runs at a time, and at
//! most one starts per second. All callers get its result.

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

/// Age, from its start, up to which a result is reused.
const RESULT_LIFETIME: Duration = Duration::from_secs(1);
/// Upper bound of the wait for a running check.
const CHECK_TIMEOUT: Duration = Duration::from_secs(10);

/// Why the server is not ready.
#[derive(Debug, Clone, thiserror::Error)]
pub enum NotReady {
    /// The database failed.
    #[error(transparent)]
    Db(Arc<DbError>),
    /// A storage failed.
    #[error(transparent)]
    Storage(Arc<StorageError>),
    /// The database or a storage hangs.
    #[error("database and storage did not answer within {} s", CHECK_TIMEOUT.as_secs())]
    NoAnswer,
    /// The check was cancelled, or panicked.
    #[error("the check did not end")]
    CheckLost(#[source] Arc<JoinError>),
}

type Found = Result<Option<DiskState>, NotReady>;

struct Latest {
    begun_at: Instant,
    task: AbortHandle,
    check: Shared<BoxFuture<'static, Found>>,
}

/// The latest check of database and storages, shared by all callers.
pub struct Readiness {
    db: Db,
    stores: Stores,
    latest: Mutex<Option<Latest>>,
    begun: AtomicU64,
}

crate::opaque_debug::opaque_debug!(Readiness);

impl Readiness {
    /// Without a result yet.
    pub fn new(db: Db, stores: Stores) -> Self {
        Self { db, stores, latest: Mutex::default(), begun: AtomicU64::default() }
    }

    /// Checks database and storages. Answers the state of the disk if it is too full for uploads.
    ///
    /// # Errors
    /// [`NotReady`] when one of them does not.
    pub async fn check(&self) -> Result<Option<DiskState>, NotReady> {
        tokio::time::timeout(CHECK_TIMEOUT, self.latest()).await.unwrap_or(Err(NotReady::NoAnswer))
    }

    /// The running check, or the one that started within the last second; otherwise a new one.
    fn latest(&self) -> Shared<BoxFuture<'static, Found>> {
        let mut latest = self.latest.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(latest) = &*latest
            && (!latest.task.is_finished() || latest.begun_at.elapsed() < RESULT_LIFETIME)
        {
            return latest.check.clone();
        }
        self.begun.fetch_add(1, Ordering::Relaxed);
        // The check continues when its callers have gone: otherwise each of them would start another one.
        let running = tokio::spawn(look(self.db.clone(), self.stores.clone()));
        let task = running.abort_handle();
        let found = async { running.await.unwrap_or_else(|error| Err(NotReady::CheckLost(Arc::new(error)))) };
        let check = found.boxed().shared();
        *latest = Some(Latest { begun_at: Instant::now(), task, check: check.clone() });
        check
    }

    /// The number of checks that were started.
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

/// The state of the disk if it is too full for uploads. `None` also where new files go to a bucket.
async fn full_disk(stores: &Stores) -> Option<DiskState> {
    let store = stores.local.clone().filter(|_| stores.primary == StorageKind::Local)?;
    let state = tokio::task::spawn_blocking(move || store.disk()).await;
    state.ok()?.ok().filter(DiskState::is_full)
}
