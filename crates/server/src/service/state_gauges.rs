//! Gauges of the contents: from the database and from the disk.
//!
//! Invariant: a scrape waits for them at most `MAX_WAIT`, and shows the last numbers if that was too short. At most one look runs at a
//! time, and a successful one is good for `RESULT_LIFETIME`, however often `/metrics` is called.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use futures_util::FutureExt;
use futures_util::future::{BoxFuture, Shared};
use tokio::task::AbortHandle;
use uuid::Uuid;

use crate::db::{Db, Timestamp, totals};
use crate::error_chain::error_chain;
use crate::metrics::{State, StateMetrics};
use crate::storage::Stores;

/// Age, from its start, up to which a look is reused.
const RESULT_LIFETIME: Duration = Duration::from_secs(15);
/// The same for a look that failed.
const FAILURE_LIFETIME: Duration = Duration::from_secs(1);
/// Upper bound of the wait of a scrape.
const MAX_WAIT: Duration = Duration::from_secs(1);

struct Latest {
    begun_at: Instant,
    task: AbortHandle,
    look: Shared<BoxFuture<'static, ()>>,
}

/// The latest look at database and disk, shared by all scrapes.
pub struct StateGauges {
    observer: Observer,
    latest: Mutex<Option<Latest>>,
}

crate::opaque_debug::opaque_debug!(StateGauges);

#[derive(Clone)]
struct Observer {
    db: Db,
    stores: Stores,
    metrics: Arc<StateMetrics>,
    /// Whether the database has answered the latest look.
    is_answered: Arc<AtomicBool>,
}

impl StateGauges {
    /// Without numbers yet.
    pub fn new(db: Db, stores: Stores, metrics: Arc<StateMetrics>) -> Self {
        let observer = Observer { db, stores, metrics, is_answered: Arc::default() };
        Self { observer, latest: Mutex::default() }
    }

    /// Brings the gauges up to date, as far as database and disk answer soon.
    pub async fn refresh(&self) {
        let is_late = tokio::time::timeout(MAX_WAIT, self.latest()).await.is_err();
        if is_late && !self.observer.is_answered.load(Ordering::Relaxed) {
            self.observer.metrics.database_up.set(0);
        }
    }

    /// The running look, or one that is young enough; otherwise a new one.
    fn latest(&self) -> Shared<BoxFuture<'static, ()>> {
        let mut latest = self.latest.lock().unwrap_or_else(PoisonError::into_inner);
        let is_up = self.observer.metrics.database_up.get() == 1;
        let lifetime = if is_up { RESULT_LIFETIME } else { FAILURE_LIFETIME };
        if let Some(latest) = &*latest
            && (!latest.task.is_finished() || latest.begun_at.elapsed() < lifetime)
        {
            return latest.look.clone();
        }
        self.observer.is_answered.store(false, Ordering::Relaxed);
        // The look continues when its scrape has gone: otherwise each scrape would start another one.
        let observer = self.observer.clone();
        let running = tokio::spawn(async move { observer.look().await });
        let task = running.abort_handle();
        let look = async { drop(running.await) }.boxed().shared();
        *latest = Some(Latest { begun_at: Instant::now(), task, look: look.clone() });
        look
    }
}

impl Observer {
    async fn look(&self) {
        futures_util::future::join(self.look_at_database(), self.look_at_disk()).await;
    }

    async fn look_at_database(&self) {
        // The numbers may wait for lists of clients, which says nothing about the database.
        let answer = self.db.read(totals::ping).await;
        self.is_answered.store(true, Ordering::Relaxed);
        self.metrics.database_up.set(i64::from(answer.is_ok()));
        let found = match answer {
            Ok(()) => self.db.scan(Uuid::nil(), totals::find).await,
            Err(error) => Err(error),
        };
        match found {
            Ok(totals) => self.metrics.show(&state_of(&totals)),
            Err(error) => tracing::debug!(error = %error_chain(&error), "metrics show old numbers"),
        }
    }

    async fn look_at_disk(&self) {
        let Some(store) = self.stores.local.clone() else { return };
        if let Ok(Ok(disk)) = tokio::task::spawn_blocking(move || store.disk()).await {
            self.metrics.show_disk([
                ("free", disk.free_bytes),
                ("size", disk.size_bytes),
                ("kept", disk.kept_bytes),
                ("promised", disk.promised_bytes),
            ]);
        }
    }
}

fn state_of(totals: &totals::Totals) -> State {
    State {
        looked_at: Timestamp::now().unix_seconds(),
        workspaces: totals.workspaces,
        open_sessions: totals.sessions.count,
        files: totals.files.count,
        file_bytes: totals.files.bytes,
        session_bytes: totals.sessions.bytes,
        garbage: totals.garbage.count,
        garbage_bytes: totals.garbage.bytes,
        waiting_events: totals.waiting_events,
        dead_events: totals.dead_events,
        oldest_event: totals.oldest_event,
    }
}
