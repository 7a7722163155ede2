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

use std::collections::HashMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, mpsc};
use std::time::{Duration, Instant};

use postgres::types::{FromSql, IsNull, ToSql, Type};
use postgres::{Client, Config, Statement};
use tokio::sync::oneshot;
use tokio_postgres_rustls::MakeRustlsConnect;
use uuid::Uuid;

use super::super::server_url::ServerUrl;
use super::super::value::{Parameter, Value};
use super::super::{DbError, Tx, dialect, migrate};
use super::encryption::encryption;
use super::job_queue::{Answer, Job, MAX_WAIT, PostgresScan, Queue, Task};
use super::scan_queue::{RequestGuard, SCAN_LIMIT, Scan};
use super::scan_watch::{LookGuard, ScanLimit, ScanWatch};
use super::server_state::{ServerState, WRITABLE};

/// A server that takes longer to connect to is away.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// A connection that was taken and says nothing for so long has no server behind it: a pool in between has none left.
const SILENT: Duration = Duration::from_secs(10);
/// After this long without an acknowledgement a connection is dead.
const DEAD_AFTER: Duration = Duration::from_secs(15);
/// After a connection failed, nobody tries again for this long.
const PAUSE: Duration = Duration::from_millis(250);
/// Longer than waiting for a connection and the longest statement together.
const MAX_ANSWER: Duration = Duration::from_secs(80);
/// A connection that rested this long is asked whether it is still there before it is used.
const RESTED: Duration = Duration::from_millis(500);
/// While the server takes no writes, connections are made anew this often, to find the one that does. As often is tried whether
/// a role or password that was refused is right again.
const RENEWED: Duration = Duration::from_secs(1);
/// Between two lines in the log on a right that is missing.
const REMINDED: Duration = Duration::from_secs(600);
/// Most such lines in that time: a few for each table.
const MAX_REFUSALS: usize = 64;
/// What each connection is set to. Locks are held for milliseconds; a node that went silent in the middle of a
/// transaction must not hold them for ever. The isolation is that of reads outside of transactions.
const SETTINGS: &str = "SET lock_timeout = '10s'; SET statement_timeout = '60s'; \
                        SET idle_in_transaction_session_timeout = '60s'; SET client_min_messages = 'warning'; \
                        SET default_transaction_isolation = 'read committed'";
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
    /// Connects, and brings the schema up to date or only looks at it. Blocks.
    pub(super) fn open(url: &str, max_connections: u32, migrate: bool) -> Result<Self, DbError> {
        let server = read_url(url)?;
        let encryption = encryption(&server)?;
        if let Some(problem) = ServerState::look(&server, &encryption, max_connections)?.refusal(migrate) {
            return Err(problem);
        }
        let queue = Arc::new(Queue::new(max_connections.max(1) as usize));
        let watch = Arc::new(ScanWatch::default());
        // Made before the threads, so that they end if one of them cannot be started.
        let postgres = Self { asking: Arc::new(Asking { queue: Arc::clone(&queue), watch: Arc::clone(&watch) }) };
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
            let _ = answer.send(connection.and_then(|connection| settle_schema(connection, migrate)));
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
        self.run(move |connection| connection.transaction(WRITE, query)).await
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
            let outcome = connection.and_then(|connection| connection.scan(query));
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
        self.run(PostgresConnection::check_writable).await
    }

    async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut PostgresConnection) -> Result<T, DbError> + Send + 'static,
    ) -> Result<T, DbError> {
        in_time(self.ask(work)).await
    }

    /// The same for work that takes as long as it takes.
    pub(super) async fn write_at_length<T, F>(&self, query: F) -> Result<T, DbError>
    where
        T: Send + 'static,
        F: FnOnce(&Tx<'_>) -> Result<T, DbError> + Send + 'static,
    {
        self.ask(move |connection| connection.transaction(WRITE, query)).await.unwrap_or(Err(DbError::Panicked))
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

fn settle_schema(connection: &mut PostgresConnection, migrate: bool) -> Result<(), DbError> {
    if !migrate {
        return connection.transaction(WRITE, migrate::check);
    }
    for version in migrate::VERSIONS {
        connection.transaction(WRITE, |tx| {
            // Another node may be at it, and a large table takes its time.
            tx.without_timeouts()?;
            tx.exists(MIGRATION_LOCK, &[])?;
            migrate::to_version(tx, version)
        })?;
    }
    Ok(())
}

/// The URL's settings; what it does not say about connecting is set here.
pub(super) fn read_url(url: &str) -> Result<ServerUrl, DbError> {
    let mut server = ServerUrl::parse(url).map_err(|problem| DbError::Unsuitable(format!("database.url {problem}")))?;
    let config = &mut server.config;
    if config.get_connect_timeout().is_none() {
        config.connect_timeout(CONNECT_TIMEOUT);
    }
    if config.get_tcp_user_timeout().is_none() {
        config.tcp_user_timeout(DEAD_AFTER);
    }
    if config.get_application_name().is_none() {
        config.application_name("partway");
    }
    config.keepalives_idle(DEAD_AFTER);
    config.keepalives_interval(DEAD_AFTER / 3);
    config.keepalives_retries(3);
    Ok(server)
}

/// The URL as it may be shown.
pub(super) fn without_password(url: &str) -> String {
    ServerUrl::parse(url).map_or_else(|_| "the PostgreSQL database".to_owned(), |server| server.to_string())
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

pub(super) fn no_connection_left(waited: Duration, max_connections: u32) -> String {
    format!(
        "a connection was taken and not served for {} s: a pool between Partway and the server has none left; allowed: one \
         that has database.max_connections ({max_connections}) for each node and 2 for each command",
        waited.as_secs()
    )
}

/// The result of `work`, if it comes in time; otherwise it goes on by itself.
pub(super) fn within<T: Send + 'static>(limit: Duration, work: impl FnOnce() -> T + Send + 'static) -> Option<T> {
    let (sender, receiver) = mpsc::channel();
    let spawned = std::thread::Builder::new().name("db-connect".to_owned()).spawn(move || sender.send(work()));
    spawned.ok()?;
    receiver.recv_timeout(limit).ok()
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

/// A connection, and the statements that were prepared on it.
pub struct PostgresConnection {
    client: Client,
    statements: HashMap<&'static str, Statement>,
    breaks: u64,
    opened_at: Instant,
    used_at: Instant,
    /// Whether its server said that it is going, or takes no writes.
    is_lost: bool,
    /// While a scan is run: no statement begins after it.
    limit: Option<ScanLimit>,
    /// A right or a table that a statement lacked, for the log.
    refusal: Option<String>,
}

impl PostgresConnection {
    fn open(config: &Config, encryption: MakeRustlsConnect, breaks: u64) -> Result<Self, DbError> {
        let mut client = config.connect(encryption)?;
        client.batch_execute(SETTINGS)?;
        let now = Instant::now();
        let (opened_at, used_at) = (now, now);
        Ok(Self {
            client,
            statements: HashMap::new(),
            breaks,
            opened_at,
            used_at,
            is_lost: false,
            limit: None,
            refusal: None,
        })
    }

    /// Runs `query` between `begin` and COMMIT.
    fn transaction<T>(&mut self, begin: &str, query: impl FnOnce(&Tx<'_>) -> Result<T, DbError>) -> Result<T, DbError> {
        self.run(begin)?;
        // A panic goes on to the thread, which closes the connection: the server then rolls back.
        match query(&Tx::postgres(self)) {
            Ok(value) => {
                self.run("COMMIT")?;
                Ok(value)
            }
            Err(error) => {
                // One that cannot roll back is broken, which the next query finds.
                let _ = self.run("ROLLBACK");
                Err(error)
            }
        }
    }

    /// Runs `query` on one moment of the database, each statement for as long as a scan may take.
    fn scan<T>(&mut self, query: impl FnOnce(&Tx<'_>) -> Result<T, DbError>) -> Result<T, DbError> {
        let begin = format!("{SNAPSHOT}; SET LOCAL statement_timeout = {}", SCAN_LIMIT.as_millis());
        self.transaction(&begin, query).map_err(|error| match error.sql_state() {
            // Only its limit cancels it.
            Some("57014") => DbError::TooLong,
            _ => error,
        })
    }

    /// The state of a connection after an error.
    fn noted(&mut self, error: postgres::Error) -> DbError {
        let error = DbError::from(error);
        self.note(&error);
        error
    }

    fn note(&mut self, error: &DbError) {
        let is_going = error.sql_state().is_some_and(|state| LOST.iter().any(|class| state.starts_with(class)));
        // One that was made just now would be no different if it were made anew.
        let is_read_only = matches!(error, DbError::ReadOnly(_)) && self.opened_at.elapsed() >= RENEWED;
        self.is_lost |= is_going || is_read_only;
        if matches!(error, DbError::Forbidden(_) | DbError::Refused(_)) {
            self.refusal = Some(crate::error_chain(error));
        }
    }

    fn check_writable(&mut self) -> Result<(), DbError> {
        let rows = self.query(&WRITABLE, &[])?;
        let is = |column: usize| rows.first().and_then(|row| row.try_get(column).ok()).unwrap_or(false);
        let unusable: Option<String> = rows.first().and_then(|row| row.try_get(2).ok()).flatten();
        let error = match (is(0), is(1), unusable) {
            (true, _, _) => DbError::ReadOnly("it is a standby".into()),
            (false, true, _) => DbError::ReadOnly("default_transaction_read_only is on".into()),
            (false, false, Some(tables)) => {
                DbError::Forbidden(format!("these are missing, or may not be read and written: {tables}").into())
            }
            (false, false, None) => return Ok(()),
        };
        self.note(&error);
        Err(error)
    }

    /// Runs statements without parameters.
    pub(in crate::db) fn run(&mut self, sql: &str) -> Result<(), DbError> {
        self.client.batch_execute(sql).map_err(|error| self.noted(error))
    }

    fn prepare(&mut self, sql: &'static str) -> Result<Statement, DbError> {
        // A cancel request that comes between two statements ends neither.
        if self.limit.as_ref().is_some_and(ScanLimit::is_over) {
            return Err(DbError::TooLong);
        }
        if let Some(statement) = self.statements.get(sql) {
            return Ok(statement.clone());
        }
        let statement = self.client.prepare(&dialect::query(sql)).map_err(|error| self.noted(error))?;
        self.statements.insert(sql, statement.clone());
        Ok(statement)
    }

    pub(in crate::db) fn execute(
        &mut self,
        sql: &'static str,
        parameters: &[&dyn Parameter],
    ) -> Result<usize, DbError> {
        let statement = self.prepare(sql)?;
        let values: Vec<Value<'_>> = parameters.iter().map(|parameter| parameter.to_value()).collect();
        let values: Vec<&(dyn ToSql + Sync)> = values.iter().map(|value| value as &(dyn ToSql + Sync)).collect();
        let changed = self.client.execute(&statement, &values).map_err(|error| self.noted(error))?;
        Ok(usize::try_from(changed).unwrap_or(usize::MAX))
    }

    pub(in crate::db) fn query(
        &mut self,
        sql: &'static str,
        parameters: &[&dyn Parameter],
    ) -> Result<Vec<postgres::Row>, DbError> {
        let statement = self.prepare(sql)?;
        let values: Vec<Value<'_>> = parameters.iter().map(|parameter| parameter.to_value()).collect();
        let values: Vec<&(dyn ToSql + Sync)> = values.iter().map(|value| value as &(dyn ToSql + Sync)).collect();
        self.client.query(&statement, &values).map_err(|error| self.noted(error))
    }
}

/// Classes of SQLSTATE after which the connection is of no more use: 08, it broke; 57P, the server is going; 26 and 42P05,
/// somebody in between forgot or mixed up what was prepared.
const LOST: [&str; 4] = ["08", "57P", "26", "42P05"];

impl ToSql for Value<'_> {
    fn to_sql(&self, ty: &Type, out: &mut bytes::BytesMut) -> Result<IsNull, Box<dyn std::error::Error + Sync + Send>> {
        match self {
            Value::Null => Ok(IsNull::Yes),
            Value::Integer(number) if *ty == Type::INT8 => number.to_sql(ty, out),
            Value::Boolean(is) if *ty == Type::BOOL => is.to_sql(ty, out),
            // As it comes from SQLite, which has no booleans.
            Value::Integer(number @ 0..=1) if *ty == Type::BOOL => (*number == 1).to_sql(ty, out),
            Value::Text(text) if <&str as ToSql>::accepts(ty) => text.as_ref().to_sql(ty, out),
            Value::Blob(bytes) if *ty == Type::BYTEA => bytes.as_ref().to_sql(ty, out),
            // Without the value: it may be a secret.
            _ => Err(format!("a value of another type than {ty}").into()),
        }
    }

    fn accepts(_: &Type) -> bool {
        true
    }

    postgres::types::to_sql_checked!();
}

impl<'a> FromSql<'a> for Value<'a> {
    fn from_sql(ty: &Type, raw: &'a [u8]) -> Result<Self, Box<dyn std::error::Error + Sync + Send>> {
        Ok(match *ty {
            Type::INT8 => Value::Integer(i64::from_sql(ty, raw)?),
            Type::INT4 => Value::Integer(i64::from(i32::from_sql(ty, raw)?)),
            Type::BOOL => Value::Boolean(bool::from_sql(ty, raw)?),
            Type::BYTEA => Value::Blob(raw.into()),
            _ => Value::Text(<&str>::from_sql(ty, raw)?.into()),
        })
    }

    fn from_sql_null(_: &Type) -> Result<Self, Box<dyn std::error::Error + Sync + Send>> {
        Ok(Value::Null)
    }

    fn accepts(_: &Type) -> bool {
        true
    }
}
