//! SQLite: one writer thread that commits many requests at once, a few readers for look-ups and a few for scans.
//!
//! SQLite takes one writer at a time and waits for the disk at every durable commit. The writer therefore
//! takes all writes that are waiting, runs each in a savepoint of its own, and commits them together: one
//! wait for the disk, however many requests share it. A request is answered only after that commit.
//!
//! Look-ups by key, without which no request is answered, have readers of their own. Lists and searches, which may take
//! long, have others, in turns by workspace ([`ScanQueue`]), and end when nobody waits for them or after [`SCAN_LIMIT`].
//!
//! Invariant: a write that returned `Ok` is in the database for every later read, survives the end of the
//! process, and, when it asked for [`Durability::PowerLoss`], survives a power cut. A write that returned an
//! error has changed nothing.

mod trial;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::time::{Duration, Instant};

use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags};
use tokio::sync::oneshot;
use uuid::Uuid;

pub use self::trial::{TrialError, try_database};
use super::durability::{Durability, Purpose};
use super::reserve::DatabaseReserve;
use super::scan_queue::{Abandoned, RequestGuard, SCAN_LIMIT, Scan, ScanQueue};
use super::schema::Schema;
use crate::db::sql::{DbError, Tx};
use crate::permissions::private_file;

/// Connections for look-ups, which take microseconds: a few keep one that waits for the disk from delaying the others.
const LOOKUP_READERS: usize = 3;
/// Connections for scans. One workspace has at most two of them at a time.
const SCAN_READERS: usize = 3;
/// Between two looks at the clock and at whether somebody still waits, in steps of SQLite's machine: some 0.1 ms, and too
/// seldom to be felt.
const SCAN_STEPS: i32 = 4096;
/// Added to the niceness of threads that scan: where the processor is short they get a third of what others get.
const SCAN_NICENESS: i32 = 5;
/// Most writes in one transaction: bounds how long the first of them waits for the last.
const MAX_BATCH: usize = 256;
/// How long another process (a `partway keys` command) may hold the write lock before a write fails.
const BUSY_TIMEOUT: Duration = Duration::from_secs(10);
/// Writes that only had to survive the process are pushed to the disk at least this often.
const FLUSH_INTERVAL: Duration = Duration::from_secs(1);
/// A log that is larger is cut off as soon as nobody reads from it any more; while somebody does, there is a warning.
const LARGE_LOG_BYTES: u64 = 16 << 20;
/// Size to which SQLite cuts the log when it begins it anew, in bytes.
const KEPT_LOG_BYTES: i64 = 4 << 20;
/// Between two warnings of a log that cannot be cut off.
const LOG_WARNING_INTERVAL: Duration = Duration::from_secs(60);
/// Between two attempts in vain to take the room kept for the database again.
const REFILL_PAUSE: Duration = Duration::from_secs(1);
/// Page cache of one connection, in KiB. The working set is indexes' upper levels.
const CACHE_KIB: i32 = 2048;

/// A database file. Clones share it; it stops when the last one is dropped.
#[derive(Clone)]
pub struct Sqlite {
    writer: mpsc::Sender<Write>,
    readers: mpsc::Sender<Read>,
    scans: Arc<Scans>,
}

/// Ends the readers that scan when the last who could ask is gone.
struct Scans(Arc<ScanQueue<Read>>);

impl Drop for Scans {
    fn drop(&mut self) {
        self.0.close();
    }
}

struct Write {
    purpose: Purpose,
    durability: Durability,
    job: Box<dyn Job>,
}

/// A write on its way through a shared transaction.
trait Job: Send {
    /// Runs the query and keeps its outcome. False when what it did is to be undone.
    fn run(&mut self, tx: &Tx<'_>) -> bool;

    /// Why the query failed, if it did.
    fn failure(&self) -> Option<DbError>;

    /// Tells the waiting request how it ended. Jobs that a failed transaction never ran are told as well.
    fn reply(self: Box<Self>, committed: Result<(), &DbError>);
}

struct Pending<T, F> {
    query: Option<F>,
    outcome: Option<Result<T, DbError>>,
    sender: oneshot::Sender<Result<T, DbError>>,
}

impl<T: Send, F: FnOnce(&Tx<'_>) -> Result<T, DbError> + Send> Job for Pending<T, F> {
    fn run(&mut self, tx: &Tx<'_>) -> bool {
        // A panic leaves no outcome.
        self.outcome = self.query.take().and_then(|query| catch_unwind(AssertUnwindSafe(|| query(tx))).ok());
        matches!(self.outcome, Some(Ok(_)))
    }

    fn failure(&self) -> Option<DbError> {
        self.outcome.as_ref().and_then(|outcome| outcome.as_ref().err()).map(DbError::share)
    }

    fn reply(self: Box<Self>, committed: Result<(), &DbError>) {
        let _ = self.sender.send(match (self.outcome, committed) {
            (Some(Err(error)), _) => Err(error),
            (_, Err(error)) => Err(error.share()),
            (Some(Ok(value)), Ok(())) => Ok(value),
            (None, Ok(())) => Err(DbError::Panicked),
        });
    }
}

type Read = Box<dyn FnOnce(&Connection) + Send>;

impl Sqlite {
    /// Opens the database file, making it if need be, brings its schema up to date, and starts the threads.
    ///
    /// # Errors
    /// When the file cannot be opened, is no database, or was written by a newer version. Blocks.
    pub(super) fn open(path: &Path, reserve: &Arc<DatabaseReserve>, schema: &Schema) -> Result<Self, DbError> {
        // SQLite would make it as the umask says; its log and index get the mode that the file has.
        match private_file().write(true).create_new(true).open(path) {
            Err(error) if error.kind() != std::io::ErrorKind::AlreadyExists => {
                return Err(DbError::Io { path: path.display().to_string(), source: error });
            }
            _ => {}
        }
        let writer = connect(path, OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE)?;
        writer.pragma_update(None, "journal_mode", "WAL")?;
        migrate_file(&writer, schema)?;
        Self::start(writer, path, reserve)
    }

    /// Opens the database file as it is, for commands beside a server that may be of another version.
    ///
    /// # Errors
    /// Also when its schema is not the one this program knows. Blocks.
    pub(super) fn open_existing(path: &Path, reserve: &Arc<DatabaseReserve>, schema: &Schema) -> Result<Self, DbError> {
        let writer = connect(path, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
        (schema.check)(&Tx::sqlite(&writer))?;
        Self::start(writer, path, reserve)
    }

    fn start(writer: Connection, path: &Path, reserve: &Arc<DatabaseReserve>) -> Result<Self, DbError> {
        writer.pragma_update(None, "synchronous", "FULL")?;
        writer.pragma_update(None, "journal_size_limit", KEPT_LOG_BYTES)?;
        let (read_sender, read_receiver) = mpsc::channel();
        let read_receiver = Arc::new(Mutex::new(read_receiver));
        for _ in 0..LOOKUP_READERS {
            let reader = connect_for_lookups(path)?;
            let jobs = Arc::clone(&read_receiver);
            spawn("db-reader", path, move || run_reads(&reader, &jobs))?;
        }
        // Made before the threads, so that they end if one of them cannot be started.
        let scans = Arc::new(Scans(Arc::new(ScanQueue::new(SCAN_READERS))));
        for _ in 0..SCAN_READERS {
            let mut reader = connect(path, OpenFlags::SQLITE_OPEN_READ_ONLY)?;
            let queue = Arc::clone(&scans.0);
            spawn("db-scanner", path, move || {
                give_way();
                queue.serve(|scan| run_scan(&mut reader, scan, SCAN_LIMIT));
            })?;
        }
        let (write_sender, write_receiver) = mpsc::channel();
        let (log, reserve) = (Log::of(path), Reserve { file: Arc::clone(reserve), refill_failed_at: None });
        spawn("db-writer", path, move || Writer::new(writer, log, reserve).run(&write_receiver))?;
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
        let (sender, receiver) = oneshot::channel();
        let job = Box::new(Pending { query: Some(query), outcome: None, sender });
        self.writer.send(Write { purpose, durability, job }).map_err(|_| DbError::Stopped)?;
        // A query that panicked dropped its sender.
        receiver.await.unwrap_or(Err(DbError::Panicked))
    }

    /// Runs `query` on a reading connection: it sees everything committed before.
    ///
    /// # Errors
    /// What `query` returned.
    pub(super) async fn read<T, F>(&self, query: F) -> Result<T, DbError>
    where
        T: Send + 'static,
        F: FnOnce(&Tx<'_>) -> Result<T, DbError> + Send + 'static,
    {
        let (sender, receiver) = oneshot::channel();
        let job: Read = Box::new(move |connection| {
            // Nobody waits for it any more: clients that go away must not keep the others waiting.
            if !sender.is_closed() {
                let _ = sender.send(query(&Tx::sqlite(connection)));
            }
        });
        self.readers.send(job).map_err(|_| DbError::Stopped)?;
        // A query that panicked dropped its sender.
        receiver.await.unwrap_or(Err(DbError::Panicked))
    }

    /// Runs a list or search of a workspace, all of whose statements see the database as it was at one moment, when it is
    /// the workspace's turn. When the caller stops waiting the scan is dropped, or interrupted.
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

fn in_snapshot<T>(connection: &Connection, query: impl FnOnce(&Tx<'_>) -> Result<T, DbError>) -> Result<T, DbError> {
    // Dropped, it is rolled back, also when the query panics.
    let _transaction = connection.unchecked_transaction()?;
    query(&Tx::sqlite(connection))
}

/// Each version in a transaction of its own. Two processes that start at once take turns.
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

fn connect(path: &Path, flags: OpenFlags) -> Result<Connection, DbError> {
    let connection = Connection::open_with_flags(path, flags | OpenFlags::SQLITE_OPEN_NO_MUTEX)?;
    connection.busy_timeout(BUSY_TIMEOUT)?;
    connection.pragma_update(None, "foreign_keys", "ON")?;
    connection.pragma_update(None, "cache_size", -CACHE_KIB)?;
    connection.set_prepared_statement_cache_capacity(128);
    Ok(connection)
}

/// Plans are for any value. Otherwise some statements, that of a key among them, are planned anew for each value that is bound to them,
/// which takes longer than running them. Scans are better off with plans for their values.
fn connect_for_lookups(path: &Path) -> Result<Connection, DbError> {
    let connection = connect(path, OpenFlags::SQLITE_OPEN_READ_ONLY)?;
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)?;
    Ok(connection)
}

fn spawn(name: &str, path: &Path, body: impl FnOnce() + Send + 'static) -> Result<(), DbError> {
    std::thread::Builder::new()
        .name(name.to_owned())
        .spawn(body)
        .map(drop)
        .map_err(|source| DbError::Io { path: PathBuf::from(path).display().to_string(), source })
}

fn run_reads(connection: &Connection, jobs: &Mutex<mpsc::Receiver<Read>>) {
    loop {
        let job = jobs.lock().unwrap_or_else(PoisonError::into_inner).recv();
        let Ok(job) = job else { return };
        // A panicking query drops its sender, so its request hears of it; the thread goes on.
        let _ = catch_unwind(AssertUnwindSafe(|| job(connection)));
    }
}

/// Lets the threads that answer requests have the processor first: scans keep it busy, for milliseconds at a time.
fn give_way() {
    if let Err(error) = rustix::process::nice(SCAN_NICENESS) {
        tracing::debug!(%error, "scans have the same priority as everything else");
    }
}

/// Runs a scan for as long as its request waits for it, and no longer than `limit`.
fn run_scan(connection: &mut Connection, scan: Scan<Read>, limit: Duration) {
    let Scan { abandoned, run, .. } = scan;
    if let Err(error) = watch(connection, abandoned, Instant::now() + limit) {
        tracing::error!(%error, "a list or search cannot be given a limit");
    }
    // A panicking query drops its sender, so its request hears of it; the thread goes on.
    let _ = catch_unwind(AssertUnwindSafe(|| run(connection)));
    let ended = connection.progress_handler(SCAN_STEPS, None::<fn() -> bool>);
    // SQLite could have interrupted the end of the transaction, too.
    let ended = match connection.is_autocommit() {
        true => ended,
        false => ended.and_then(|()| connection.execute_batch("ROLLBACK")),
    };
    if let Err(error) = ended {
        tracing::error!(%error, "a list or search could not be ended");
    }
}

fn watch(connection: &mut Connection, abandoned: Arc<Abandoned>, until: Instant) -> rusqlite::Result<()> {
    connection.progress_handler(SCAN_STEPS, Some(move || abandoned.is_set() || Instant::now() >= until))
}

/// The room kept for the database, as its writer sees it.
struct Reserve {
    file: Arc<DatabaseReserve>,
    refill_failed_at: Option<Instant>,
}

impl Reserve {
    /// Whether only writes that free something may go on. There may be room again since it was given up.
    fn is_given_up(&mut self) -> bool {
        if !self.file.is_given_up() {
            return false;
        }
        if self.refill_failed_at.is_some_and(|at| at.elapsed() < REFILL_PAUSE) {
            return true;
        }
        if !self.file.is_refillable().unwrap_or(false) {
            return true;
        }
        let filled = self.file.fill();
        self.refill_failed_at = filled.is_err().then(Instant::now);
        filled.is_err() && self.file.is_given_up()
    }
}

struct Writer {
    connection: Connection,
    synchronous: Durability,
    /// When the oldest commit that has not reached the disk was made.
    unflushed_since: Option<Instant>,
    log: Log,
    reserve: Reserve,
}

/// The write-ahead log's file. A reader pins what it reads: until it has gone the log only grows.
struct Log {
    path: PathBuf,
    looked_at: Instant,
    /// Whether it has to be looked at although nothing is written: it was large, or something was written since.
    is_due: bool,
    warned_at: Option<Instant>,
}

impl Log {
    fn of(database: &Path) -> Self {
        let mut path = database.as_os_str().to_owned();
        path.push("-wal");
        Self { path: path.into(), looked_at: Instant::now(), is_due: false, warned_at: None }
    }

    fn bytes(&self) -> u64 {
        std::fs::metadata(&self.path).map_or(0, |log| log.len())
    }

    fn warn(&mut self) {
        let bytes = self.bytes();
        if bytes <= LARGE_LOG_BYTES || self.warned_at.is_some_and(|at| at.elapsed() < LOG_WARNING_INTERVAL) {
            return;
        }
        self.warned_at = Some(Instant::now());
        tracing::warn!(
            bytes,
            "somebody reads the database for long (a backup, a shell): {} grows until they have finished",
            self.path.display()
        );
    }

    fn is_small_again(&mut self) {
        if self.warned_at.take().is_some() {
            tracing::info!(bytes = self.bytes(), "the log of the database is small again");
        }
    }
}

impl Writer {
    fn new(connection: Connection, log: Log, reserve: Reserve) -> Self {
        Self { connection, synchronous: Durability::PowerLoss, unflushed_since: None, log, reserve }
    }

    fn run(mut self, jobs: &mpsc::Receiver<Write>) {
        loop {
            let first = match self.unflushed_since {
                None if self.log.is_due => jobs.recv_timeout(FLUSH_INTERVAL),
                None => jobs.recv().map_err(|_| mpsc::RecvTimeoutError::Disconnected),
                Some(since) => jobs.recv_timeout(FLUSH_INTERVAL.saturating_sub(since.elapsed())),
            };
            match first {
                Ok(first) => {
                    let mut batch = vec![first];
                    batch.extend(jobs.try_iter().take(MAX_BATCH - 1));
                    let batch = self.refuse_on_full_disk(batch);
                    if !batch.is_empty() {
                        self.commit_together(batch);
                    }
                    if self.unflushed_since.is_some_and(|since| since.elapsed() >= FLUSH_INTERVAL)
                        || self.log_is_large()
                    {
                        self.flush();
                    }
                }
                Err(mpsc::RecvTimeoutError::Timeout) => {
                    self.log.is_due = self.log.bytes() > LARGE_LOG_BYTES;
                    if self.unflushed_since.is_some() || self.log.is_due {
                        self.flush();
                    }
                }
                Err(mpsc::RecvTimeoutError::Disconnected) => {
                    self.flush();
                    return;
                }
            }
        }
    }

    /// Answers those that may not go on, and returns the others.
    fn refuse_on_full_disk(&mut self, batch: Vec<Write>) -> Vec<Write> {
        if batch.iter().all(|write| write.purpose == Purpose::Free) || !self.reserve.is_given_up() {
            return batch;
        }
        let (others, freeing) = batch.into_iter().partition::<Vec<_>, _>(|write| write.purpose == Purpose::Other);
        let full = DbError::Full("its last room is kept for writes that free some".into());
        for write in others {
            write.job.reply(Err(&full));
        }
        freeing
    }

    fn commit_together(&mut self, mut batch: Vec<Write>) {
        let durable = batch.iter().any(|write| write.durability == Durability::PowerLoss);
        let durability = if durable { Durability::PowerLoss } else { Durability::Process };
        let committed = self.transaction(durability, &mut batch);
        if let Err(error) = &committed {
            tracing::error!(%error, writes = batch.len(), "a transaction failed");
            if !self.connection.is_autocommit() {
                let _ = self.execute("ROLLBACK");
            }
        }
        for write in batch {
            write.job.reply(committed.as_ref().copied());
        }
    }

    fn transaction(&mut self, durability: Durability, batch: &mut [Write]) -> Result<(), DbError> {
        self.set_synchronous(durability)?;
        self.execute("BEGIN IMMEDIATE")?;
        for write in batch {
            self.execute("SAVEPOINT request")?;
            if !write.job.run(&Tx::sqlite(&self.connection)) {
                if self.connection.is_autocommit() {
                    // SQLite has undone the whole transaction by itself, as it does on a full disk.
                    return Err(write.job.failure().unwrap_or(DbError::Panicked));
                }
                self.execute("ROLLBACK TO request")?;
            }
            self.execute("RELEASE request")?;
        }
        self.execute("COMMIT")?;
        match durability {
            // A durable commit syncs the log, and with it every earlier commit in it.
            Durability::PowerLoss => self.unflushed_since = None,
            Durability::Process => self.unflushed_since = self.unflushed_since.or_else(|| Some(Instant::now())),
        }
        Ok(())
    }

    /// In WAL mode, FULL syncs the log at each commit and NORMAL does not.
    fn set_synchronous(&mut self, durability: Durability) -> Result<(), DbError> {
        if self.synchronous != durability {
            let level = if durability == Durability::PowerLoss { "FULL" } else { "NORMAL" };
            self.connection.pragma_update(None, "synchronous", level)?;
            self.synchronous = durability;
        }
        Ok(())
    }

    /// Brings commits that were only written to the log onto the disk. A checkpoint syncs the log first.
    fn flush(&mut self) {
        let checkpoint = self
            .connection
            .query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |row| Ok((row.get::<_, i64>(1)?, row.get::<_, i64>(2)?)));
        self.unflushed_since = match checkpoint {
            Ok((in_log, checkpointed)) if in_log == checkpointed && self.cut_log() => None,
            // A reader was in the way: in a second it will have gone.
            Ok(_) => {
                self.log.warn();
                Some(Instant::now())
            }
            Err(error) => {
                tracing::warn!(%error, "checkpoint failed");
                Some(Instant::now())
            }
        };
    }

    /// Looked at about once a second: commits that wait for the disk leave nothing to flush.
    fn log_is_large(&mut self) -> bool {
        self.log.is_due = true;
        if self.log.looked_at.elapsed() < FLUSH_INTERVAL {
            return false;
        }
        self.log.looked_at = Instant::now();
        self.log.bytes() > LARGE_LOG_BYTES
    }

    /// Cuts a large log off, all of which is in the database. False when somebody still reads from it.
    fn cut_log(&mut self) -> bool {
        if self.log.bytes() <= LARGE_LOG_BYTES {
            self.log.is_small_again();
            return true;
        }
        // Nobody's write waits for a reader: it is tried again in a second.
        let busy = self.connection.busy_timeout(Duration::ZERO).and_then(|()| {
            self.connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| row.get::<_, i64>(0))
        });
        if let Err(error) = self.connection.busy_timeout(BUSY_TIMEOUT) {
            tracing::warn!(%error, "the database's timeout could not be set");
        }
        let is_cut = matches!(busy, Ok(0));
        if is_cut {
            self.log.is_small_again();
        }
        is_cut
    }

    fn execute(&self, sql: &'static str) -> Result<(), DbError> {
        self.connection.prepare_cached(sql)?.execute([])?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::db::schema::SCHEMA;

    /// Counts for longer than any test.
    const ENDLESS: &str = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(*) FROM n";

    fn database() -> (tempfile::TempDir, Sqlite) {
        let directory = tempfile::tempdir().unwrap();
        let reserve = Arc::new(DatabaseReserve::new(directory.path()));
        let sqlite = Sqlite::open(&directory.path().join("partway.db"), &reserve, &SCHEMA).unwrap();
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

    /// How often a look-up of a key was planned anew, after it was planned once.
    fn plans_of_key_lookups(reader: &Connection) -> i32 {
        let sql = "SELECT k.id, w.workspace_no FROM api_keys k JOIN workspaces w ON w.id = k.workspace_id WHERE k.key_sha256 = ?1";
        for value in [[1_u8; 32], [2; 32], [3; 32]] {
            let mut statement = reader.prepare_cached(sql).unwrap();
            assert!(!statement.exists([value]).unwrap());
        }
        reader.prepare_cached(sql).unwrap().get_status(rusqlite::StatementStatus::RePrepare)
    }

    #[test]
    fn looking_a_key_up_plans_nothing_anew() {
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
    async fn a_scan_that_panics_is_told_and_keeps_no_reader() {
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
        // Whatever waits for one of them waits for the limit.
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
        // The workspace that did it is served as well once they have gone.
        assert_eq!(sqlite.scan(theirs, one).await.unwrap(), Some(1));
    }
}
