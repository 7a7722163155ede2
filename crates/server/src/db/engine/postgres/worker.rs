//! Threads with a connection each, which run the tasks of the queue.
//!
//! Invariant: a connection whose server said that it takes no writes, or is shutting down, is not used again, nor are those that
//! were made before it.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use postgres::Config;
use tokio_postgres_rustls::MakeRustlsConnect;

use super::connecting::{CONNECT_TIMEOUT, no_connection_left, within};
use super::connection::{PostgresConnection, REFUSED_RETRY_INTERVAL};
use super::health::{ConnectFailure, Health};
use super::job_queue::{MAX_WAIT, PostgresScan, Queue, Task};
use super::scan_watch::{ScanLimit, ScanWatch};
use crate::db::engine::scan_queue::SCAN_LIMIT;
use crate::db::sql::DbError;

/// A connection that was accepted and stays silent for this long has no server: a pool in between has none left.
const MAX_SILENCE: Duration = Duration::from_secs(10);
/// After a connection failed, no thread retries for this long.
const RECONNECT_INTERVAL: Duration = Duration::from_millis(250);
/// A connection that was idle for this long is checked before it is used.
const IDLE_CHECK_AFTER: Duration = Duration::from_millis(500);

/// Makes connections.
pub(super) struct Connector {
    pub config: Config,
    pub encryption: MakeRustlsConnect,
    pub max_connections: u32,
}

impl Connector {
    /// A connection with its settings. Neither the server nor a pool before it blocks this thread for long.
    fn connect(&self, breaks: u64) -> Result<PostgresConnection, DbError> {
        let (config, encryption) = (self.config.clone(), self.encryption.clone());
        let hosts = u32::try_from(self.config.get_hosts().len().max(1)).unwrap_or(u32::MAX);
        let limit = CONNECT_TIMEOUT.saturating_mul(hosts).max(MAX_SILENCE);
        within(limit, move || PostgresConnection::open(&config, encryption, breaks))
            .unwrap_or_else(|| Err(DbError::Unavailable(no_connection_left(limit, self.max_connections).into())))
    }
}

/// A thread with at most one connection.
pub(super) struct Worker {
    pub connector: Connector,
    pub queue: Arc<Queue>,
    pub watch: Arc<ScanWatch>,
    pub health: Arc<Health>,
    pub connection: Option<PostgresConnection>,
}

impl Worker {
    /// Runs tasks until there will be no more.
    pub(super) fn run(mut self) {
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
        let is_intact = match task {
            // A query that panics drops its sender, which answers its request.
            Task::Job(job) => catch_unwind(AssertUnwindSafe(|| (job.run)(Ok(connection)))).is_ok(),
            Task::Scan(scan) => {
                let workspace_id = scan.workspace_id;
                let is_intact = run_scan(connection, &self.watch, scan);
                self.queue.scan_ended(workspace_id);
                is_intact
            }
        };
        connection.used_at = Instant::now();
        if let Some(refusal) = connection.refusal.take() {
            self.health.log_refusal(refusal);
        }
        if connection.is_lost || connection.client.is_closed() {
            let breaks = connection.breaks;
            let _ = self.health.breaks.compare_exchange(breaks, breaks + 1, Ordering::Relaxed, Ordering::Relaxed);
            self.disconnect();
        } else if !is_intact {
            // Closing the connection ends the open transaction. The other connections are not affected.
            self.disconnect();
        }
    }

    fn is_usable(&mut self) -> bool {
        let breaks = self.health.breaks.load(Ordering::Relaxed);
        self.connection.as_mut().is_some_and(|connection| {
            connection.breaks == breaks
                && (connection.used_at.elapsed() < IDLE_CHECK_AFTER
                    || connection.client.is_valid(CONNECT_TIMEOUT).is_ok())
        })
    }

    fn disconnect(&mut self) {
        if self.connection.take().is_some() {
            self.queue.disconnected();
        }
    }

    /// Makes a connection. If that fails, answers the requests that wait for one; the error is the time until the next attempt.
    fn connect(&mut self) -> Result<(), Duration> {
        if let Some(failed) = self.health.failure().as_ref() {
            let wait = failed.retry_at.saturating_duration_since(Instant::now());
            if !wait.is_zero() {
                self.queue.answer_unavailable(&failed.error, failed.is_unreachable);
                return Err(wait);
            }
        }
        // While connections fail one thread alone retries.
        if let Some(failed) = self.health.failure().as_mut() {
            failed.retry_at = Instant::now() + MAX_SILENCE;
        }
        let breaks = self.health.breaks.load(Ordering::Relaxed);
        match self.connector.connect(breaks) {
            Ok(connection) => {
                *self.health.failure() = None;
                self.health.log_connected();
                self.connection = Some(connection);
                self.queue.connected();
                Ok(())
            }
            Err(error) => {
                // After a change of the password the connections that exist go on; so they do when the server has none left
                // (SQLSTATE class 53).
                let is_refused = matches!(error, DbError::Refused(_) | DbError::Forbidden(_));
                let is_unreachable = !is_refused
                    && !matches!(error.sql_state(), Some(state) if state.starts_with("53"))
                    && !is_silence(&error);
                if !is_unreachable {
                    self.queue.had_none_left();
                }
                self.health.log_failure(&error);
                let (answer, pause) =
                    (error.share(), if is_refused { REFUSED_RETRY_INTERVAL } else { RECONNECT_INTERVAL });
                let retry_at = Instant::now() + pause;
                *self.health.failure() = Some(ConnectFailure { retry_at, error, is_unreachable });
                self.queue.answer_unavailable(&answer, is_unreachable);
                Err(pause)
            }
        }
    }
}

/// Whether the server did not answer at all, which says little about it.
fn is_silence(error: &DbError) -> bool {
    matches!(error, DbError::Unavailable(cause) if !cause.is::<postgres::Error>())
}

/// Runs a scan while its request waits for it, and no longer than [`SCAN_LIMIT`]. False when the connection must not be used
/// again.
fn run_scan(connection: &mut PostgresConnection, watch: &ScanWatch, scan: PostgresScan) -> bool {
    let limit = ScanLimit { until: Instant::now() + SCAN_LIMIT, abandoned: scan.abandoned };
    let number = watch.begin(limit.clone(), connection.client.cancel_token());
    connection.limit = Some(limit);
    // A query that panics drops its sender, which answers its request.
    let answer = catch_unwind(AssertUnwindSafe(|| (scan.run)(Ok(connection))));
    connection.limit = None;
    let was_cancelled = !watch.end(number);
    let Ok(answer) = answer else { return false };
    // Sent after the watch has ended: a request that ends because it has its answer is not one that was abandoned.
    answer();
    !was_cancelled
}
