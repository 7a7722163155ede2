//! PostgreSQL: a pool of threads, each with a connection of its own.
//!
//! Queries are plain blocking functions for both engines, so a transaction is a function call on one of these threads
//! and nothing of it waits for a runtime. A connection that broke is made anew before the next query. While the server
//! is away, whoever asks is told so at once.
//!
//! Invariants: a transaction's isolation is the one that is said here, never the role's or the database's. A connection
//! that was told that its server takes no writes, or is going, is not used again, nor are those that were made before.
//!
//! Lists and searches take turns by workspace on at most half of the connections (`job_queue.rs`). They end on the server
//! when nobody waits for them and after [`SCAN_LIMIT`] (`scan_watch.rs`). A look-up whose request has gone is not run.

mod connecting;
mod connection;
mod encryption;
mod job_queue;
mod scan_watch;
mod server_state;
mod server_url;

use std::collections::HashMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, mpsc};
use std::time::{Duration, Instant};

use postgres::Config;
use tokio::sync::oneshot;
use tokio_postgres_rustls::MakeRustlsConnect;
use uuid::Uuid;

pub(super) use self::connecting::without_password;
use self::connecting::{CONNECT_TIMEOUT, no_connection_left, read_url, within};
use self::connection::{PostgresConnection, RENEWED};
use self::encryption::encryption;
use self::job_queue::{Answer, Job, MAX_WAIT, PostgresScan, Queue, Task};
use self::scan_watch::{LookGuard, ScanLimit, ScanWatch};
pub use self::server_state::ServerState;
use self::server_state::writable_query;
pub(crate) use self::server_url::problem_of as problem_of_url;
use super::scan_queue::{RequestGuard, SCAN_LIMIT, Scan};
use super::schema::Schema;
use crate::db::sql::{DbError, PostgresSession, Tx};

/// A connection that was taken and says nothing for so long has no server behind it: a pool in between has none left.
const SILENT: Duration = Duration::from_secs(10);
/// After a connection failed, nobody tries again for this long.
const PAUSE: Duration = Duration::from_millis(250);
/// Longer than waiting for a connection and the longest statement together.
const MAX_ANSWER: Duration = Duration::from_secs(80);
/// A connection that rested this long is asked whether it is still there before it is used.
const RESTED: Duration = Duration::from_millis(500);
/// Between two lines in the log on a right that is missing.
const REMINDED: Duration = Duration::from_secs(600);
/// Most such lines in that time: a few for each table.
const MAX_REFUSALS: usize = 64;
/// A write. The rows that it reads and others may change it locks, so that it needs no more than this; with more, whoever
/// waited for a lock would be refused.
const WRITE: &str = "BEGIN ISOLATION LEVEL READ COMMITTED";
/// Statements that see the database as it was at one moment.
const SNAPSHOT: &str = "BEGIN ISOLATION LEVEL REPEATABLE READ, READ ONLY";
/// Held while the schema is changed, so that nodes that start at once take turns. Any number that nobody else uses.
const MIGRATION_LOCK: &str = "SELECT pg_advisory_xact_lock(7310306925487312672)";

/// A server of PostgreSQL. Clones share its connections; they close when the last one is dropped.
#[derive(Clone)]
pub struct Postgres {
    asking: Arc<Asking>,
    /// A query that says whether the server takes writes.
    writable_query: &'static str,
}

/// Ends the threads when the last who could ask is gone.
struct Asking {
    queue: Arc<Queue>,
    watch: Arc<ScanWatch>,
}

impl Drop for Asking {
    fn drop(&mut self) {
        self.queue.close();
        self.watch.close();
    }
}

/// Knowledge of the server that the threads share.
#[derive(Default)]
struct Health {
    /// How often a connection was found broken. Connections made before the last time are not trusted.
    breaks: AtomicU64,
    failed: Mutex<Option<Failed>>,
    told: Mutex<Told>,
}

/// States of the server that are in the log: each once, however many ask.
#[derive(Default)]
struct Told {
    /// Why no connection can be made.
    failure: Option<String>,
    /// Why statements are refused, and when each reason was told.
    refusals: HashMap<String, Instant>,
}

impl Health {
    fn told(&self) -> MutexGuard<'_, Told> {
        self.told.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn tell_failure(&self, error: &DbError) {
        let error = crate::error_chain(error);
        let mut told = self.told();
        if told.failure.as_ref() != Some(&error) {
            tracing::warn!(error, "cannot connect to the database; trying again while somebody asks");
            told.failure = Some(error);
        }
    }

    fn tell_connected(&self) {
        if self.told().failure.take().is_some() {
            tracing::info!("connected to the database again");
        }
    }

    fn tell_refusal(&self, error: String) {
        let mut told = self.told();
        told.refusals.retain(|_, told_at| told_at.elapsed() < REMINDED);
        if !told.refusals.contains_key(&error) && told.refusals.len() < MAX_REFUSALS {
            tracing::warn!(error, "the database refuses statements; requests that need them are answered 503");
            told.refusals.insert(error, Instant::now());
        }
    }
}

/// Why the last connection could not be made.
struct Failed {
    /// Nobody tries again before.
    until: Instant,
    error: DbError,
    /// Whether no connection to the server is of use, as far as anybody can tell.
    is_away: bool,
}

impl Postgres {
    /// Connects, and brings the database to `schema`. Blocks.
    pub(super) fn open(url: &str, max_connections: u32, schema: &'static Schema) -> Result<Self, DbError> {
        Self::connect(url, max_connections, schema, true)
    }

    /// Connects to a database that has this schema, for a command. Blocks.
    pub(super) fn open_existing(url: &str, schema: &'static Schema) -> Result<Self, DbError> {
        Self::connect(url, 2, schema, false)
    }

    fn connect(url: &str, max_connections: u32, schema: &'static Schema, migrate: bool) -> Result<Self, DbError> {
        let tables = (schema.tables)();
        let server = read_url(url)?;
        let encryption = encryption(&server)?;
        if let Some(problem) = ServerState::look(&server, &encryption, max_connections, &tables)?.refusal(migrate) {
            return Err(problem);
        }
        let queue = Arc::new(Queue::new(max_connections.max(1) as usize));
        let watch = Arc::new(ScanWatch::default());
        // Made before the threads, so that they end if one of them cannot be started.
        let asking = Arc::new(Asking { queue: Arc::clone(&queue), watch: Arc::clone(&watch) });
        let postgres = Self { asking, writable_query: writable_query(&tables) };
        let health = Arc::new(Health::default());
        let no_thread = |source| DbError::Io { path: server.to_string(), source };
        for _ in 0..max_connections.max(1) {
            let connector =
                Connector { config: server.config.clone(), encryption: encryption.clone(), max_connections };
            let (queue, watch, health) = (Arc::clone(&queue), Arc::clone(&watch), Arc::clone(&health));
            let worker = Worker { connector, queue, watch, health, connection: None };
            let thread = std::thread::Builder::new().name("db-postgres".to_owned());
            thread.spawn(move || worker.run()).map_err(no_thread)?;
        }
        let thread = std::thread::Builder::new().name("db-scan-watch".to_owned());
        thread.spawn(move || watch.serve(&encryption)).map_err(no_thread)?;
        let (answer, settled) = mpsc::channel();
        postgres.send(move |connection| {
            let _ = answer.send(connection.and_then(|connection| settle_schema(connection, schema, migrate)));
        });
        settled.recv().unwrap_or(Err(DbError::Panicked))?;
        Ok(postgres)
    }

    fn send(&self, run: impl FnOnce(Result<&mut PostgresConnection, DbError>) + Send + 'static) {
        self.asking.queue.push(Job { asked_at: Instant::now(), run: Box::new(run) });
    }

    pub(super) async fn write<T, F>(&self, query: F) -> Result<T, DbError>
    where
        T: Send + 'static,
        F: FnOnce(&Tx<'_>) -> Result<T, DbError> + Send + 'static,
    {
        self.run(move |connection| transaction(connection, WRITE, query)).await
    }

    /// Runs a list or search of a workspace, all of whose statements see the database as it was at one moment, when it is
    /// the workspace's turn. When the caller stops waiting the scan is dropped, or cancelled on the server.
    ///
    /// # Errors
    /// The error that `query` returned, [`DbError::TooLong`] or [`DbError::Busy`].
    pub(super) async fn scan<T, F>(&self, workspace_id: Uuid, query: F) -> Result<T, DbError>
    where
        T: Send + 'static,
        F: FnOnce(&Tx<'_>) -> Result<T, DbError> + Send + 'static,
    {
        let (sender, receiver) = oneshot::channel();
        // Dropped in this order.
        let (_looks, request) = (LookGuard(Arc::clone(&self.asking.watch)), RequestGuard::default());
        let run = Box::new(move |connection: Result<&mut PostgresConnection, DbError>| -> Answer {
            let outcome = connection.and_then(|connection| in_snapshot(connection, query));
            Box::new(move || drop(sender.send(outcome)))
        });
        self.asking.queue.push_scan(Scan { workspace_id, abandoned: Arc::clone(&request.0), run })?;
        in_time(receiver).await
    }

    pub(super) async fn read<T, F>(&self, query: F) -> Result<T, DbError>
    where
        T: Send + 'static,
        F: FnOnce(&Tx<'_>) -> Result<T, DbError> + Send + 'static,
    {
        let (sender, receiver) = oneshot::channel();
        self.send(move |connection| {
            // Nobody waits for it any more: clients that go away must not keep the others waiting.
            if !sender.is_closed() {
                let _ = sender.send(connection.and_then(|connection| query(&Tx::postgres(connection))));
            }
        });
        in_time(receiver).await
    }

    /// Fails when the server takes no writes.
    pub(super) async fn check_writable(&self) -> Result<(), DbError> {
        let query = self.writable_query;
        self.run(move |connection| connection.check_writable(query)).await
    }

    async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut PostgresConnection) -> Result<T, DbError> + Send + 'static,
    ) -> Result<T, DbError> {
        in_time(self.ask(work)).await
    }

    /// The same for work that takes as long as it takes.
    pub(super) async fn write_untimed<T, F>(&self, query: F) -> Result<T, DbError>
    where
        T: Send + 'static,
        F: FnOnce(&Tx<'_>) -> Result<T, DbError> + Send + 'static,
    {
        self.ask(move |connection| transaction(connection, WRITE, query)).await.unwrap_or(Err(DbError::Panicked))
    }

    fn ask<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut PostgresConnection) -> Result<T, DbError> + Send + 'static,
    ) -> oneshot::Receiver<Result<T, DbError>> {
        let (sender, receiver) = oneshot::channel();
        self.send(move |connection| {
            let _ = sender.send(connection.and_then(work));
        });
        receiver
    }
}

/// The answer to a query, unless the server took it and says nothing more.
async fn in_time<T>(receiver: oneshot::Receiver<Result<T, DbError>>) -> Result<T, DbError> {
    match tokio::time::timeout(MAX_ANSWER, receiver).await {
        // A query that panicked dropped its sender.
        Ok(answer) => answer.unwrap_or(Err(DbError::Panicked)),
        Err(_) => Err(DbError::Unavailable("no answer came in time".into())),
    }
}

fn settle_schema(connection: &mut PostgresConnection, schema: &Schema, migrate: bool) -> Result<(), DbError> {
    if !migrate {
        return transaction(connection, WRITE, schema.check);
    }
    for version in schema.versions.clone() {
        transaction(connection, WRITE, |tx| {
            // Another node may be at it, and a large table takes its time.
            tx.without_timeouts()?;
            tx.exists(MIGRATION_LOCK, &[])?;
            (schema.to_version)(tx, version)
        })?;
    }
    Ok(())
}

/// Runs `query` between `begin` and COMMIT.
fn transaction<T>(
    connection: &mut PostgresConnection,
    begin: &str,
    query: impl FnOnce(&Tx<'_>) -> Result<T, DbError>,
) -> Result<T, DbError> {
    connection.run(begin)?;
    // A panic goes on to the thread, which closes the connection: the server then rolls back.
    match query(&Tx::postgres(connection)) {
        Ok(value) => {
            connection.run("COMMIT")?;
            Ok(value)
        }
        Err(error) => {
            // One that cannot roll back is broken, which the next query finds.
            let _ = connection.run("ROLLBACK");
            Err(error)
        }
    }
}

/// Runs `query` on one moment of the database, each statement for as long as a scan may take.
fn in_snapshot<T>(
    connection: &mut PostgresConnection,
    query: impl FnOnce(&Tx<'_>) -> Result<T, DbError>,
) -> Result<T, DbError> {
    let begin = format!("{SNAPSHOT}; SET LOCAL statement_timeout = {}", SCAN_LIMIT.as_millis());
    transaction(connection, &begin, query).map_err(|error| match error.sql_state() {
        // Only its limit cancels it.
        Some("57014") => DbError::TooLong,
        _ => error,
    })
}

/// Makes connections.
struct Connector {
    config: Config,
    encryption: MakeRustlsConnect,
    max_connections: u32,
}

impl Connector {
    /// A connection that is set up. Neither the server nor what is in between holds this thread up for long.
    fn connect(&self, breaks: u64) -> Result<PostgresConnection, DbError> {
        let (config, encryption) = (self.config.clone(), self.encryption.clone());
        let hosts = u32::try_from(self.config.get_hosts().len().max(1)).unwrap_or(u32::MAX);
        let limit = CONNECT_TIMEOUT.saturating_mul(hosts).max(SILENT);
        within(limit, move || PostgresConnection::open(&config, encryption, breaks))
            .unwrap_or_else(|| Err(DbError::Unavailable(no_connection_left(limit, self.max_connections).into())))
    }
}

struct Worker {
    connector: Connector,
    queue: Arc<Queue>,
    watch: Arc<ScanWatch>,
    health: Arc<Health>,
    connection: Option<PostgresConnection>,
}

impl Worker {
    fn run(mut self) {
        loop {
            if self.connection.is_some() {
                let Some(task) = self.queue.next() else { return };
                self.serve(task);
            } else if !self.queue.wait_until_wanted() {
                return;
            } else if let Err(wait) = self.connect() {
                std::thread::sleep(wait);
            }
        }
    }

    fn serve(&mut self, task: Task) {
        let task = match task {
            Task::Job(job) if job.asked_at.elapsed() > MAX_WAIT => {
                return (job.run)(Err(DbError::Unavailable("no connection became free in time".into())));
            }
            task => task,
        };
        if !self.is_usable() {
            self.queue.put_back(task);
            return self.disconnect();
        }
        let Some(connection) = &mut self.connection else { return self.queue.put_back(task) };
        let goes_on = match task {
            // A panicking query drops its sender, so its request hears of it.
            Task::Job(job) => catch_unwind(AssertUnwindSafe(|| (job.run)(Ok(connection)))).is_ok(),
            Task::Scan(scan) => {
                let workspace_id = scan.workspace_id;
                let goes_on = run_scan(connection, &self.watch, scan);
                self.queue.scan_ended(workspace_id);
                goes_on
            }
        };
        connection.used_at = Instant::now();
        if let Some(refusal) = connection.refusal.take() {
            self.health.tell_refusal(refusal);
        }
        if connection.is_lost || connection.client.is_closed() {
            let breaks = connection.breaks;
            let _ = self.health.breaks.compare_exchange(breaks, breaks + 1, Ordering::Relaxed, Ordering::Relaxed);
            self.disconnect();
        } else if !goes_on {
            // Whatever it left open ends with the connection; the others are not to blame.
            self.disconnect();
        }
    }

    fn is_usable(&mut self) -> bool {
        let breaks = self.health.breaks.load(Ordering::Relaxed);
        self.connection.as_mut().is_some_and(|connection| {
            connection.breaks == breaks
                && (connection.used_at.elapsed() < RESTED || connection.client.is_valid(CONNECT_TIMEOUT).is_ok())
        })
    }

    fn disconnect(&mut self) {
        if self.connection.take().is_some() {
            self.queue.disconnected();
        }
    }

    /// Has a connection, or tells those who wait for one that there is none. The error is how long to leave it at that.
    fn connect(&mut self) -> Result<(), Duration> {
        if let Some(failed) = self.lock_failed().as_ref() {
            let wait = failed.until.saturating_duration_since(Instant::now());
            if !wait.is_zero() {
                self.queue.tell(&failed.error, failed.is_away);
                return Err(wait);
            }
        }
        // While connections fail one thread alone tries again.
        if let Some(failed) = self.lock_failed().as_mut() {
            failed.until = Instant::now() + SILENT;
        }
        let breaks = self.health.breaks.load(Ordering::Relaxed);
        match self.connector.connect(breaks) {
            Ok(connection) => {
                *self.lock_failed() = None;
                self.health.tell_connected();
                self.connection = Some(connection);
                self.queue.connected();
                Ok(())
            }
            Err(error) => {
                // A server that has no connection left has those that it gave.
                // A password that was changed, too, leaves the connections that are there.
                let is_refused = matches!(error, DbError::Refused(_) | DbError::Forbidden(_));
                let is_away = !is_refused
                    && !matches!(error.sql_state(), Some(state) if state.starts_with("53"))
                    && !is_silence(&error);
                if !is_away {
                    self.queue.had_none_left();
                }
                self.health.tell_failure(&error);
                let (told, pause) = (error.share(), if is_refused { RENEWED } else { PAUSE });
                *self.lock_failed() = Some(Failed { until: Instant::now() + pause, error, is_away });
                self.queue.tell(&told, is_away);
                Err(pause)
            }
        }
    }

    fn lock_failed(&self) -> MutexGuard<'_, Option<Failed>> {
        self.health.failed.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether nothing came at all, which says little of the server.
fn is_silence(error: &DbError) -> bool {
    matches!(error, DbError::Unavailable(cause) if !cause.is::<postgres::Error>())
}

/// Runs a scan for as long as its request waits for it, and no longer than [`SCAN_LIMIT`]. False when the connection is of no
/// more use.
fn run_scan(connection: &mut PostgresConnection, watch: &ScanWatch, scan: PostgresScan) -> bool {
    let limit = ScanLimit { until: Instant::now() + SCAN_LIMIT, abandoned: scan.abandoned };
    let number = watch.begin(limit.clone(), connection.client.cancel_token());
    connection.limit = Some(limit);
    // A panicking query drops its sender, so its request hears of it.
    let answer = catch_unwind(AssertUnwindSafe(|| (scan.run)(Ok(connection))));
    connection.limit = None;
    let was_cancelled = !watch.end(number);
    let Ok(answer) = answer else { return false };
    // Its request goes when it has the answer, which is not to be taken for one that has gone before.
    answer();
    !was_cancelled
}
