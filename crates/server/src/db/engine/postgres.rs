//! PostgreSQL: a pool of threads, each with a connection of its own.
//!
//! Queries are plain blocking functions for both engines, so a transaction is a function call on one of these threads
//! and nothing of it waits for a runtime. A connection that broke is made anew before the next query. While the server
//! is away, whoever asks is told so at once.

use std::collections::HashMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::time::{Duration, Instant};

use postgres::types::{FromSql, IsNull, ToSql, Type};
use postgres::{Client, Config, Statement};
use tokio::sync::oneshot;
use tokio_postgres_rustls::MakeRustlsConnect;

use super::super::value::{Parameter, Value};
use super::super::{DbError, Tx, dialect, migrate};
use super::encryption::encryption;

/// A server that takes longer to connect to is away.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// After this long without an acknowledgement a connection is dead.
const DEAD_AFTER: Duration = Duration::from_secs(15);
/// After a connection failed, nobody tries again for this long.
const PAUSE: Duration = Duration::from_millis(250);
/// A query that waits longer for a connection is told that the database is away: the server cannot keep up.
const MAX_WAIT: Duration = Duration::from_secs(10);
/// Longer than waiting for a connection and the longest statement together.
const MAX_ANSWER: Duration = Duration::from_secs(80);
/// A connection that rested this long is asked whether it is still there before it is used.
const RESTED: Duration = Duration::from_millis(500);
/// What each connection is set to. Locks are held for milliseconds; a node that went silent in the middle of a
/// transaction must not hold them for ever.
const SETTINGS: &str = "SET lock_timeout = '10s'; SET statement_timeout = '60s'; \
                        SET idle_in_transaction_session_timeout = '60s'; SET client_min_messages = 'warning'";
/// Held while the schema is changed, so that nodes that start at once take turns. Any number that nobody else uses.
const MIGRATION_LOCK: &str = "SELECT pg_advisory_xact_lock(7310306925487312672)";

/// A server of PostgreSQL. Clones share its connections; they close when the last one is dropped.
#[derive(Clone)]
pub struct Postgres {
    jobs: mpsc::Sender<Job>,
}

struct Job {
    asked_at: Instant,
    run: Box<Work>,
}

/// What a thread does with its connection, or with the news that there is none.
type Work = dyn FnOnce(Result<&mut PostgresConnection, DbError>) + Send;

/// What the threads know of the server together.
#[derive(Default)]
struct Health {
    /// How often a connection was found broken. Connections made before the last time are not trusted.
    breaks: AtomicU64,
    /// Why the last connection could not be made, and when.
    failed: Mutex<Option<(Instant, DbError)>>,
}

impl Postgres {
    /// Connects, and brings the schema up to date or only looks at it. Blocks.
    pub(super) fn open(url: &str, max_connections: u32, migrate: bool) -> Result<Self, DbError> {
        let config = parse(url)?;
        let (sender, receiver) = mpsc::channel();
        let receiver = Arc::new(Mutex::new(receiver));
        let health = Arc::new(Health::default());
        let encryption = encryption(config.get_ssl_mode());
        for _ in 0..max_connections.max(1) {
            let (config, jobs, health) = (config.clone(), Arc::clone(&receiver), Arc::clone(&health));
            let worker = Worker { config, encryption: encryption.clone(), health, connection: None };
            std::thread::Builder::new()
                .name("db-postgres".to_owned())
                .spawn(move || worker.run(&jobs))
                .map_err(|source| DbError::Io { path: without_password(url), source })?;
        }
        let postgres = Self { jobs: sender };
        let (answer, settled) = mpsc::channel();
        postgres.send(move |connection| {
            let _ = answer.send(connection.and_then(|connection| settle_schema(connection, migrate)));
        })?;
        settled.recv().unwrap_or(Err(DbError::Stopped))?;
        Ok(postgres)
    }

    fn send(&self, run: impl FnOnce(Result<&mut PostgresConnection, DbError>) + Send + 'static) -> Result<(), DbError> {
        self.jobs.send(Job { asked_at: Instant::now(), run: Box::new(run) }).map_err(|_| DbError::Stopped)
    }

    pub(super) async fn write<T, F>(&self, query: F) -> Result<T, DbError>
    where
        T: Send + 'static,
        F: FnOnce(&Tx<'_>) -> Result<T, DbError> + Send + 'static,
    {
        self.run(move |connection| connection.transaction("BEGIN", query)).await
    }

    pub(super) async fn read_snapshot<T, F>(&self, query: F) -> Result<T, DbError>
    where
        T: Send + 'static,
        F: FnOnce(&Tx<'_>) -> Result<T, DbError> + Send + 'static,
    {
        let begin = "BEGIN ISOLATION LEVEL REPEATABLE READ, READ ONLY";
        self.run(move |connection| connection.transaction(begin, query)).await
    }

    pub(super) async fn read<T, F>(&self, query: F) -> Result<T, DbError>
    where
        T: Send + 'static,
        F: FnOnce(&Tx<'_>) -> Result<T, DbError> + Send + 'static,
    {
        self.run(move |connection| query(&Tx::postgres(connection))).await
    }

    async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut PostgresConnection) -> Result<T, DbError> + Send + 'static,
    ) -> Result<T, DbError> {
        // A server that took the query and says nothing more.
        match tokio::time::timeout(MAX_ANSWER, self.ask(work)).await {
            Ok(answer) => answer,
            Err(_) => Err(DbError::Unavailable("no answer came in time".into())),
        }
    }

    /// The same for work that takes as long as it takes.
    pub(super) async fn write_at_length<T, F>(&self, query: F) -> Result<T, DbError>
    where
        T: Send + 'static,
        F: FnOnce(&Tx<'_>) -> Result<T, DbError> + Send + 'static,
    {
        self.ask(move |connection| connection.transaction("BEGIN", query)).await
    }

    async fn ask<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut PostgresConnection) -> Result<T, DbError> + Send + 'static,
    ) -> Result<T, DbError> {
        let (sender, receiver) = oneshot::channel();
        self.send(move |connection| {
            let _ = sender.send(connection.and_then(work));
        })?;
        receiver.await.unwrap_or(Err(DbError::Stopped))
    }
}

fn settle_schema(connection: &mut PostgresConnection, migrate: bool) -> Result<(), DbError> {
    if !migrate {
        return connection.transaction("BEGIN", migrate::check);
    }
    for version in migrate::VERSIONS {
        connection.transaction("BEGIN", |tx| {
            // Another node may be at it, and a large table takes its time.
            tx.without_timeouts()?;
            tx.exists(MIGRATION_LOCK, &[])?;
            migrate::to_version(tx, version)
        })?;
    }
    Ok(())
}

/// The URL's settings; what it does not say about connecting is set here.
fn parse(url: &str) -> Result<Config, DbError> {
    let mut config: Config = url.parse().map_err(|error: postgres::Error| DbError::Engine(error.into()))?;
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
    Ok(config)
}

/// The URL as it may be shown.
pub(super) fn without_password(url: &str) -> String {
    match url::Url::parse(url) {
        Ok(mut parsed) => {
            let _ = parsed.set_password(None);
            parsed.set_query(None);
            parsed.to_string()
        }
        Err(_) => "the PostgreSQL database".to_owned(),
    }
}

struct Worker {
    config: Config,
    encryption: MakeRustlsConnect,
    health: Arc<Health>,
    connection: Option<PostgresConnection>,
}

impl Worker {
    fn run(mut self, jobs: &Mutex<mpsc::Receiver<Job>>) {
        loop {
            let job = jobs.lock().unwrap_or_else(PoisonError::into_inner).recv();
            let Ok(Job { asked_at, run }) = job else { return };
            if asked_at.elapsed() > MAX_WAIT {
                run(Err(DbError::Unavailable("no connection became free in time".into())));
                continue;
            }
            match self.ready() {
                Ok(()) => {}
                Err(error) => {
                    run(Err(error));
                    continue;
                }
            }
            let Some(connection) = &mut self.connection else { continue };
            // A panicking query drops its sender, so its request gets `Stopped`.
            let panicked = catch_unwind(AssertUnwindSafe(|| run(Ok(connection)))).is_err();
            connection.used_at = Instant::now();
            if panicked || connection.client.is_closed() {
                self.health.breaks.fetch_add(1, Ordering::Relaxed);
                self.connection = None;
            }
        }
    }

    /// Has a connection that works.
    fn ready(&mut self) -> Result<(), DbError> {
        let breaks = self.health.breaks.load(Ordering::Relaxed);
        self.connection = self.connection.take().filter(|connection| connection.breaks == breaks);
        if let Some(connection) = &mut self.connection {
            if connection.used_at.elapsed() < RESTED || connection.client.is_valid(CONNECT_TIMEOUT).is_ok() {
                return Ok(());
            }
            self.connection = None;
        }
        let mut failed = self.health.failed.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, error)) = failed.as_ref().filter(|(at, _)| at.elapsed() < PAUSE) {
            return Err(error.share());
        }
        drop(failed);
        match PostgresConnection::open(&self.config, self.encryption.clone(), breaks) {
            Ok(connection) => {
                self.connection = Some(connection);
                Ok(())
            }
            Err(error) => {
                failed = self.health.failed.lock().unwrap_or_else(PoisonError::into_inner);
                *failed = Some((Instant::now(), error.share()));
                Err(error)
            }
        }
    }
}

/// A connection, and the statements that were prepared on it.
pub struct PostgresConnection {
    client: Client,
    statements: HashMap<&'static str, Statement>,
    breaks: u64,
    used_at: Instant,
}

impl PostgresConnection {
    fn open(config: &Config, encryption: MakeRustlsConnect, breaks: u64) -> Result<Self, DbError> {
        let mut client = config.connect(encryption)?;
        client.batch_execute(SETTINGS)?;
        Ok(Self { client, statements: HashMap::new(), breaks, used_at: Instant::now() })
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

    /// Runs statements without parameters.
    pub(in crate::db) fn run(&mut self, sql: &str) -> Result<(), DbError> {
        Ok(self.client.batch_execute(sql)?)
    }

    fn prepare(&mut self, sql: &'static str) -> Result<Statement, DbError> {
        if let Some(statement) = self.statements.get(sql) {
            return Ok(statement.clone());
        }
        let statement = self.client.prepare(&dialect::query(sql))?;
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
        let changed = self.client.execute(&statement, &values);
        Ok(usize::try_from(changed?).unwrap_or(usize::MAX))
    }

    pub(in crate::db) fn query(
        &mut self,
        sql: &'static str,
        parameters: &[&dyn Parameter],
    ) -> Result<Vec<postgres::Row>, DbError> {
        let statement = self.prepare(sql)?;
        let values: Vec<Value<'_>> = parameters.iter().map(|parameter| parameter.to_value()).collect();
        let values: Vec<&(dyn ToSql + Sync)> = values.iter().map(|value| value as &(dyn ToSql + Sync)).collect();
        Ok(self.client.query(&statement, &values)?)
    }
}

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
