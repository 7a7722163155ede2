//! SQLite: one writer thread with group commit, a few readers for look-ups and a few for scans.
//!
//! SQLite allows one writer at a time and waits for the disk at every durable commit. The writer therefore takes all waiting
//! writes, runs each in a savepoint of its own, and commits them together: they share one wait for the disk. A request is
//! answered only after that commit.
//!
//! Look-ups by key, which every request needs, have readers of their own. Lists and searches, which may take long, have
//! others, round-robin by workspace ([`ScanQueue`]). A scan is interrupted when its request is gone, and after [`SCAN_LIMIT`].
//!
//! Invariant: a write that returned `Ok` is visible to every later read, survives the end of the process, and, if it asked
//! for [`Durability::PowerLoss`], survives a power cut. A write that returned an error has changed nothing.

mod connection;
mod log;
mod reader;
mod reserve_gate;
mod trial;
mod write;
mod writer;

use std::path::Path;
use std::sync::{Arc, Mutex, mpsc};

use rusqlite::{Connection, OpenFlags};
use tokio::sync::oneshot;
use uuid::Uuid;

use self::connection::{connect, connect_for_lookups};
use self::log::Log;
use self::reader::{Read, in_snapshot, lower_priority, run_reads, run_scan};
use self::reserve_gate::ReserveGate;
pub use self::trial::{TrialError, try_database};
use self::write::Write;
use self::writer::Writer;
use super::durability::{Durability, Purpose};
use super::reserve::DatabaseReserve;
use super::scan_queue::{RequestGuard, SCAN_LIMIT, Scan, ScanQueue};
use super::schema::Schema;
use crate::db::sql::{DbError, Tx};
use crate::file_modes::private_file;
use crate::metrics::DatabaseMetrics;

/// Connections for look-ups, which take microseconds: one that waits for the disk does not delay the others.
const LOOKUP_READERS: usize = 3;
/// Connections for scans. One workspace has at most two of them at a time.
const SCAN_READERS: usize = 3;
/// Size to which SQLite truncates the log when it starts it again, in bytes.
const KEPT_LOG_BYTES: i64 = 4 << 20;

/// A database file. Clones share it; it stops when the last one is dropped.
#[derive(Clone)]
pub(super) struct Sqlite {
    writer: mpsc::Sender<Write>,
    readers: mpsc::Sender<Read>,
    scans: Arc<Scans>,
}

/// Ends the readers that scan when the last handle is dropped.
struct Scans(Arc<ScanQueue<Read>>);

impl Drop for Scans {
    fn drop(&mut self) {
        self.0.close();
    }
}

impl Sqlite {
    /// Opens the database file, creates it if necessary, brings it to `schema`, and starts the threads.
    ///
    /// # Errors
    /// When the file cannot be opened, is no database, or was written by a newer version. Blocks.
    pub(super) fn open(
        path: &Path,
        reserve: &Arc<DatabaseReserve>,
        metrics: &Arc<DatabaseMetrics>,
        schema: &Schema,
    ) -> Result<Self, DbError> {
        // SQLite would create it by the umask. Its log and index get the mode of the file.
        match private_file().write(true).create_new(true).open(path) {
            Err(error) if error.kind() != std::io::ErrorKind::AlreadyExists => {
                return Err(DbError::Io { path: path.display().to_string(), source: error });
            }
            _ => {}
        }
        let writer = connect(path, OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE)?;
        writer.pragma_update(None, "journal_mode", "WAL")?;
        migrate_file(&writer, schema)?;
        Self::start(writer, path, reserve, metrics)
    }

    /// Opens the database file as it is, for commands that run next to a server of perhaps another version.
    ///
    /// # Errors
    /// Also when its schema is not `schema`. Blocks.
    pub(super) fn open_existing(
        path: &Path,
        reserve: &Arc<DatabaseReserve>,
        metrics: &Arc<DatabaseMetrics>,
        schema: &Schema,
    ) -> Result<Self, DbError> {
        let writer = connect(path, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
        (schema.check)(&Tx::sqlite(&writer))?;
        Self::start(writer, path, reserve, metrics)
    }

    fn start(
        writer: Connection,
        path: &Path,
        reserve: &Arc<DatabaseReserve>,
        metrics: &Arc<DatabaseMetrics>,
    ) -> Result<Self, DbError> {
        writer.pragma_update(None, "synchronous", "FULL")?;
        writer.pragma_update(None, "journal_size_limit", KEPT_LOG_BYTES)?;
        let (read_sender, read_receiver) = mpsc::channel();
        let read_receiver = Arc::new(Mutex::new(read_receiver));
        for _ in 0..LOOKUP_READERS {
            let reader = connect_for_lookups(path)?;
            let jobs = Arc::clone(&read_receiver);
            spawn("db-reader", path, move || run_reads(&reader, &jobs))?;
        }
        // Created before the threads, so that they end if one of them cannot be started.
        let scans = Arc::new(Scans(Arc::new(ScanQueue::new(SCAN_READERS))));
        for _ in 0..SCAN_READERS {
            let mut reader = connect(path, OpenFlags::SQLITE_OPEN_READ_ONLY)?;
            let queue = Arc::clone(&scans.0);
            spawn("db-scanner", path, move || {
                lower_priority();
                queue.serve(|scan| run_scan(&mut reader, scan, SCAN_LIMIT));
            })?;
        }
        let (write_sender, write_receiver) = mpsc::channel();
        let (log, reserve, metrics) = (Log::of(path), ReserveGate::new(Arc::clone(reserve)), Arc::clone(metrics));
        spawn("db-writer", path, move || Writer::new(writer, log, reserve, metrics).run(&write_receiver))?;
        Ok(Self { writer: write_sender, readers: read_sender, scans })
    }

    /// Runs `query` as one transaction; an `Err` from it undoes all it did.
    ///
    /// # Errors
    /// The error that `query` returned, or why the commit failed.
    pub(super) async fn write<T, F>(&self, purpose: Purpose, durability: Durability, query: F) -> Result<T, DbError>
    where
        T: Send + 'static,
        F: FnOnce(&Tx<'_>) -> Result<T, DbError> + Send + 'static,
    {
        let (write, receiver) = Write::new(purpose, durability, query);
        self.writer.send(write).map_err(|_| DbError::Stopped)?;
        // A query that panicked dropped its sender.
        receiver.await.unwrap_or(Err(DbError::Panicked))
    }

    /// Runs `query` on a reading connection: it sees everything committed before.
    ///
    /// # Errors
    /// The error that `query` returned.
    pub(super) async fn read<T, F>(&self, query: F) -> Result<T, DbError>
    where
        T: Send + 'static,
        F: FnOnce(&Tx<'_>) -> Result<T, DbError> + Send + 'static,
    {
        let (sender, receiver) = oneshot::channel();
        let job: Read = Box::new(move |connection| {
            // Skipped if its request is gone: clients that disconnect must not delay the others.
            if !sender.is_closed() {
                let _ = sender.send(query(&Tx::sqlite(connection)));
            }
        });
        self.readers.send(job).map_err(|_| DbError::Stopped)?;
        // A query that panicked dropped its sender.
        receiver.await.unwrap_or(Err(DbError::Panicked))
    }

    /// Runs a list or search of a workspace when it is the workspace's turn. All its statements see the database as it was at
    /// one moment. Dropping the future drops the scan, or interrupts it.
    ///
    /// # Errors
    /// The error that `query` returned, [`DbError::TooLong`] or [`DbError::Busy`].
    pub(super) async fn scan<T, F>(&self, workspace_id: Uuid, query: F) -> Result<T, DbError>
    where
        T: Send + 'static,
        F: FnOnce(&Tx<'_>) -> Result<T, DbError> + Send + 'static,
    {
        let request = RequestGuard::default();
        let (sender, receiver) = oneshot::channel();
        let run: Read = Box::new(move |connection| {
            let _ = sender.send(in_snapshot(connection, query));
        });
        self.scans.0.push(Scan { workspace_id, abandoned: Arc::clone(&request.0), run })?;
        // A query that panicked dropped its sender.
        receiver.await.unwrap_or(Err(DbError::Panicked))
    }
}

/// Migrates each version in a transaction of its own. The write lock orders two processes that start at once.
fn migrate_file(connection: &Connection, schema: &Schema) -> Result<(), DbError> {
    for version in schema.versions.clone() {
        connection.execute_batch("BEGIN IMMEDIATE")?;
        match (schema.to_version)(&Tx::sqlite(connection), version) {
            Ok(()) => connection.execute_batch("COMMIT")?,
            Err(error) => {
                connection.execute_batch("ROLLBACK")?;
                return Err(error);
            }
        }
    }
    Ok(())
}

fn spawn(name: &str, path: &Path, body: impl FnOnce() + Send + 'static) -> Result<(), DbError> {
    std::thread::Builder::new()
        .name(name.to_owned())
        .spawn(body)
        .map(drop)
        .map_err(|source| DbError::Io { path: path.display().to_string(), source })
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::*;
    use crate::db::schema::SCHEMA;

    /// Counts for longer than any test.
    const ENDLESS: &str = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(*) FROM n";

    fn database() -> (tempfile::TempDir, Sqlite) {
        let directory = tempfile::tempdir().unwrap();
        let reserve = Arc::new(DatabaseReserve::new(directory.path()));
        let sqlite = Sqlite::open(&directory.path().join("partway.db"), &reserve, &Arc::default(), &SCHEMA).unwrap();
        (directory, sqlite)
    }

    fn endless(tx: &Tx<'_>) -> Result<Option<i64>, DbError> {
        tx.optional(ENDLESS, &[], |row| row.get(0))
    }

    fn one(tx: &Tx<'_>) -> Result<Option<i64>, DbError> {
        tx.optional("SELECT 1", &[], |row| row.get(0))
    }

    /// Scans of a workspace that run until they are dropped, on all the readers that it can have.
    async fn occupy(sqlite: &Sqlite, workspace_id: Uuid) -> Vec<tokio::task::JoinHandle<()>> {
        let mut scans = Vec::new();
        for _ in 1..SCAN_READERS {
            let (begun, has_begun) = oneshot::channel();
            let sqlite = sqlite.clone();
            scans.push(tokio::spawn(async move {
                let scan = sqlite.scan(workspace_id, move |tx| {
                    begun.send(()).unwrap();
                    endless(tx)
                });
                scan.await.unwrap();
            }));
            has_begun.await.unwrap();
        }
        scans
    }

    /// How often a look-up of a key was planned again after the first time.
    fn plans_of_key_lookups(reader: &Connection) -> i32 {
        let sql = "SELECT k.id, w.workspace_no FROM api_keys k JOIN workspaces w ON w.id = k.workspace_id WHERE k.key_sha256 = ?1";
        for value in [[1_u8; 32], [2; 32], [3; 32]] {
            let mut statement = reader.prepare_cached(sql).unwrap();
            assert!(!statement.exists([value]).unwrap());
        }
        reader.prepare_cached(sql).unwrap().get_status(rusqlite::StatementStatus::RePrepare)
    }

    #[test]
    fn looking_a_key_up_plans_nothing_again() {
        let (directory, _sqlite) = database();
        let path = directory.path().join("partway.db");
        assert_eq!(plans_of_key_lookups(&connect_for_lookups(&path).unwrap()), 0);
        let others = connect(&path, OpenFlags::SQLITE_OPEN_READ_ONLY).unwrap();
        assert!(plans_of_key_lookups(&others) > 0, "it is not needed any more");
    }

    #[test]
    fn a_scan_that_takes_too_long_is_ended_and_its_reader_goes_on() {
        let (directory, _sqlite) = database();
        let mut reader = connect(&directory.path().join("partway.db"), OpenFlags::SQLITE_OPEN_READ_ONLY).unwrap();
        let mut run = |query: fn(&Tx<'_>) -> Result<Option<i64>, DbError>, limit| {
            let (sender, receiver) = mpsc::channel();
            let work: Read = Box::new(move |connection| sender.send(in_snapshot(connection, query)).unwrap());
            let scan = Scan { workspace_id: Uuid::nil(), abandoned: Arc::default(), run: work };
            run_scan(&mut reader, scan, limit);
            receiver.recv().unwrap()
        };
        let limit = Duration::from_millis(50);
        let began = Instant::now();
        assert!(matches!(run(endless, limit), Err(DbError::TooLong)));
        assert!(began.elapsed() >= limit);
        assert_eq!(run(one, limit).unwrap(), Some(1));
    }

    #[tokio::test]
    async fn a_scan_whose_request_goes_away_is_interrupted() {
        let (_directory, sqlite) = database();
        let (begun, has_begun) = oneshot::channel();
        let (ended, has_ended) = oneshot::channel();
        let asking = sqlite.clone();
        let request = tokio::spawn(async move {
            let scan = asking.scan(Uuid::nil(), move |tx| {
                begun.send(()).unwrap();
                let outcome = endless(tx);
                ended.send(matches!(outcome, Err(DbError::TooLong))).unwrap();
                outcome
            });
            scan.await
        });
        has_begun.await.unwrap();
        let began = Instant::now();
        request.abort();
        assert!(has_ended.await.unwrap());
        assert!(began.elapsed() < SCAN_LIMIT / 2, "{:?}", began.elapsed());
    }

    #[tokio::test]
    async fn a_scan_that_panics_is_answered_and_keeps_no_reader() {
        let (_directory, sqlite) = database();
        for _ in 0..2 * SCAN_READERS {
            let panicked = sqlite.scan(Uuid::nil(), |_| -> Result<(), DbError> { panic!("as a test wants") });
            assert!(matches!(panicked.await, Err(DbError::Panicked)));
        }
        assert_eq!(sqlite.scan(Uuid::nil(), one).await.unwrap(), Some(1));
    }

    #[tokio::test]
    async fn endless_scans_of_one_workspace_keep_nobody_else_waiting() {
        let (_directory, sqlite) = database();
        let (theirs, ours) = (Uuid::from_u128(1), Uuid::from_u128(2));
        let running = occupy(&sqlite, theirs).await;
        let waiting: Vec<_> = (0..500)
            .map(|_| {
                let sqlite = sqlite.clone();
                tokio::spawn(async move { sqlite.scan(theirs, endless).await })
            })
            .collect();
        let began = Instant::now();
        for _ in 0..20 {
            assert_eq!(sqlite.scan(ours, one).await.unwrap(), Some(1));
            assert_eq!(sqlite.read(one).await.unwrap(), Some(1));
        }
        // A request that waited for one of the scans would wait for the limit.
        assert!(began.elapsed() < SCAN_LIMIT / 2, "{:?}", began.elapsed());
        let (mut refused, mut kept) = (0, 0);
        for scan in &waiting {
            scan.abort();
        }
        for scan in waiting {
            match scan.await {
                Ok(Err(DbError::Busy)) => refused += 1,
                Err(error) if error.is_cancelled() => kept += 1,
                other => panic!("{other:?}"),
            }
        }
        assert_eq!((refused, kept), (500 - 64, 64));
        running.iter().for_each(tokio::task::JoinHandle::abort);
        // The workspace itself is served again once its scans have ended.
        assert_eq!(sqlite.scan(theirs, one).await.unwrap(), Some(1));
    }
}
