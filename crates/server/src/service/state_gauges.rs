//! Gauges of the contents: from the database and from the disk.
//!
//! Invariant: a scrape waits for them at most `MAX_WAIT`, and shows the last numbers if that was too short. At most one look runs at a
//! time, and a successful one is good for `RESULT_LIFETIME`, however often `/metrics` is called. A disk that hangs holds one thread and
//! nothing else.

use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use futures_util::FutureExt;
use futures_util::future::{BoxFuture, Shared};
use tokio::sync::Semaphore;
use tokio::task::AbortHandle;
use uuid::Uuid;

use crate::db::{Db, Timestamp, totals};
use crate::error_chain::error_chain;
use crate::metrics::{State, StateMetrics};
use crate::storage::{DiskState, Stores};

/// Age, from its start, up to which a look is reused.
const RESULT_LIFETIME: Duration = Duration::from_secs(15);
/// The same for a look that failed.
const FAILURE_LIFETIME: Duration = Duration::from_secs(1);
/// Upper bound of the wait of a scrape, and of that for the disk.
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
    /// That of local storage.
    disk: Option<Disk>,
    metrics: Arc<StateMetrics>,
    /// Whether the database has answered the latest look.
    is_answered: Arc<AtomicBool>,
}

impl StateGauges {
    /// Without numbers yet.
    pub fn new(db: Db, stores: &Stores, metrics: Arc<StateMetrics>) -> Self {
        let disk = stores.local.clone().map(|store| Disk::new(move || store.disk()));
        let observer = Observer { db, disk, metrics, is_answered: Arc::default() };
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
        let Some(disk) = &self.disk else { return };
        match disk.state().await {
            Some(state) => self.metrics.show_disk([
                ("free", state.free_bytes),
                ("size", state.size_bytes),
                ("kept", state.kept_bytes),
                ("promised", state.promised_bytes),
            ]),
            None => self.metrics.hide_disk(),
        }
    }
}

type Statvfs = dyn Fn() -> io::Result<DiskState> + Send + Sync;

/// A disk, which may hang.
#[derive(Clone)]
struct Disk {
    look: Arc<Statvfs>,
    /// Held by the thread that looks: the next look does not wait for a disk that hangs, and takes no further thread.
    idle: Arc<Semaphore>,
}

impl Disk {
    fn new(look: impl Fn() -> io::Result<DiskState> + Send + Sync + 'static) -> Self {
        Self { look: Arc::new(look), idle: Arc::new(Semaphore::new(1)) }
    }

    /// `None` if the disk fails, or does not answer soon.
    async fn state(&self) -> Option<DiskState> {
        let permit = Arc::clone(&self.idle).try_acquire_owned().ok()?;
        let look = Arc::clone(&self.look);
        let looking = tokio::task::spawn_blocking(move || {
            let _permit = permit;
            look()
        });
        tokio::time::timeout(MAX_WAIT, looking).await.ok()?.ok()?.ok()
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

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicU64;
    use std::sync::mpsc;

    use super::*;
    use crate::app::App;

    #[tokio::test]
    async fn a_disk_that_hangs_loses_its_gauges_and_delays_no_other() {
        let directory = tempfile::tempdir().unwrap();
        let config = crate::Config::with_data_dir(directory.path());
        let (app, _) = App::open(config, "127.0.0.1:1".parse().unwrap()).await.unwrap();
        let (answer, answers) = mpsc::channel::<()>();
        let (answers, looks) = (Mutex::new(answers), Arc::<AtomicU64>::default());
        let counted = Arc::clone(&looks);
        let disk = Disk::new(move || {
            counted.fetch_add(1, Ordering::Relaxed);
            let _closed = answers.lock().unwrap().recv();
            Ok(DiskState { free_bytes: 7, size_bytes: 9, promised_bytes: 0, kept_bytes: 0 })
        });
        let metrics = Arc::<StateMetrics>::default();
        let observer = Observer {
            db: app.db.clone(),
            disk: Some(disk),
            metrics: Arc::clone(&metrics),
            is_answered: Arc::default(),
        };

        answer.send(()).unwrap();
        observer.look().await;
        assert_eq!(metrics.disk_bytes("free"), Some(7));

        let began = Instant::now();
        for _ in 0..3 {
            metrics.workspaces.set(0);
            metrics.looked_at.set(0);
            observer.look().await;
            assert_eq!((metrics.workspaces.get(), metrics.database_up.get()), (1, 1));
            assert!(metrics.looked_at.get() > 0);
            assert_eq!(metrics.disk_bytes("free"), None, "an old number is shown");
        }
        assert!(began.elapsed() < Duration::from_secs(30), "looks took {:?}", began.elapsed());
        assert_eq!(looks.load(Ordering::Relaxed), 2, "each look takes another thread");

        drop(answer);
        let began = Instant::now();
        while metrics.disk_bytes("free") != Some(7) {
            assert!(began.elapsed() < Duration::from_secs(60), "the disk does not come back");
            observer.look().await;
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
}
