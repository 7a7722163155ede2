//! PostgreSQL: a pool of threads, each with a connection of its own.
//!
//! Queries are plain blocking functions for both engines. A transaction is therefore a function call on one of these threads,
//! and no part of it waits for the async runtime. A broken connection is replaced before the next query. While the server is
//! unreachable, requests are answered so at once.
//!
//! Lists and searches run round-robin by workspace on at most half of the connections (`job_queue.rs`). They are cancelled on the
//! server when their request is gone and after [`SCAN_LIMIT`](super::scan_queue::SCAN_LIMIT) (`scan_watch.rs`). A look-up whose
//! request is gone is not run.

mod connecting;
mod connection;
mod encryption;
mod health;
mod job_queue;
mod scan_watch;
mod server_state;
mod server_url;
mod transaction;
mod worker;

use std::sync::{Arc, mpsc};
use std::time::{Duration, Instant};

use tokio::sync::oneshot;
use uuid::Uuid;

use self::connecting::read_url;
pub(super) use self::connecting::without_password;
use self::connection::PostgresConnection;
use self::encryption::encryption;
use self::health::Health;
use self::job_queue::{Answer, Job, Queue};
use self::scan_watch::{LookGuard, ScanWatch};
pub use self::server_state::ServerState;
use self::server_state::writable_query;
pub(crate) use self::server_url::problem_of as problem_of_url;
use self::transaction::{in_snapshot, settle_schema};
use self::worker::{Connector, Worker};
use super::scan_queue::{RequestGuard, Scan};
use super::schema::Schema;
use crate::db::sql::{DbError, Tx};

/// Longer than the wait for a connection and the longest statement together.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(80);
/// Connections of a command.
const COMMAND_CONNECTIONS: u32 = 2;

/// A server of PostgreSQL. Clones share its connections; they close when the last one is dropped.
#[derive(Clone)]
pub(super) struct Postgres {
    handle: Arc<Handle>,
    /// A query that says whether the server takes writes.
    writable_query: &'static str,
}

/// Ends the threads when the last handle is dropped.
struct Handle {
    queue: Arc<Queue>,
    watch: Arc<ScanWatch>,
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.queue.close();
        self.watch.close();
    }
}

impl Postgres {
    /// Connects, and brings the database to `schema`. Blocks.
    pub(super) fn open(url: &str, max_connections: u32, schema: &'static Schema) -> Result<Self, DbError> {
        Self::connect(url, max_connections, schema, true)
    }

    /// Connects to a database that has this schema, for a command. Blocks.
    pub(super) fn open_existing(url: &str, schema: &'static Schema) -> Result<Self, DbError> {
        Self::connect(url, COMMAND_CONNECTIONS, schema, false)
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
        // Created before the threads, so that they end if one of them cannot be started.
        let handle = Arc::new(Handle { queue: Arc::clone(&queue), watch: Arc::clone(&watch) });
        let postgres = Self { handle, writable_query: writable_query(&tables) };
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
        self.handle.queue.push(Job { asked_at: Instant::now(), run: Box::new(run) });
    }

    pub(super) async fn write<T, F>(&self, query: F) -> Result<T, DbError>
    where
        T: Send + 'static,
        F: FnOnce(&Tx<'_>) -> Result<T, DbError> + Send + 'static,
    {
        self.run(move |connection| transaction::write(connection, query)).await
    }

    /// Runs a list or search of a workspace when it is the workspace's turn. All its statements see the database as it was at
    /// one moment. Dropping the future drops the scan, or cancels it on the server.
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
        let (_looks, request) = (LookGuard(Arc::clone(&self.handle.watch)), RequestGuard::default());
        let run = Box::new(move |connection: Result<&mut PostgresConnection, DbError>| -> Answer {
            let outcome = connection.and_then(|connection| in_snapshot(connection, query));
            Box::new(move || drop(sender.send(outcome)))
        });
        self.handle.queue.push_scan(Scan { workspace_id, abandoned: Arc::clone(&request.0), run })?;
        in_time(receiver).await
    }

    pub(super) async fn read<T, F>(&self, query: F) -> Result<T, DbError>
    where
        T: Send + 'static,
        F: FnOnce(&Tx<'_>) -> Result<T, DbError> + Send + 'static,
    {
        let (sender, receiver) = oneshot::channel();
        self.send(move |connection| {
            // Skipped if its request is gone: clients that disconnect must not delay the others.
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

    /// A write without a time limit.
    pub(super) async fn write_untimed<T, F>(&self, query: F) -> Result<T, DbError>
    where
        T: Send + 'static,
        F: FnOnce(&Tx<'_>) -> Result<T, DbError> + Send + 'static,
    {
        self.ask(move |connection| transaction::write(connection, query)).await.unwrap_or(Err(DbError::Panicked))
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

/// The answer to a query, or an error when the server does not finish it in time.
async fn in_time<T>(receiver: oneshot::Receiver<Result<T, DbError>>) -> Result<T, DbError> {
    match tokio::time::timeout(ANSWER_TIMEOUT, receiver).await {
        // A query that panicked dropped its sender.
        Ok(answer) => answer.unwrap_or(Err(DbError::Panicked)),
        Err(_) => Err(DbError::Unavailable("no answer came in time".into())),
    }
}
