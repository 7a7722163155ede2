//! The writer: commits waiting writes together and flushes those that did not ask for the disk.

use std::sync::{Arc, mpsc};
use std::time::{Duration, Instant};

use rusqlite::Connection;

use super::connection::BUSY_TIMEOUT;
use super::log::Log;
use super::reserve_gate::ReserveGate;
use super::write::Write;
use crate::db::engine::durability::{Durability, Purpose};
use crate::db::sql::{DbError, Tx};
use crate::metrics::DatabaseMetrics;

/// Most writes in one transaction: bounds how long the first of them waits for the last.
const MAX_BATCH: usize = 256;
/// Writes that only had to survive the process are synced to the disk at least this often.
const FLUSH_INTERVAL: Duration = Duration::from_secs(1);

/// The thread that has the only writing connection.
pub(super) struct Writer {
    connection: Connection,
    synchronous: Durability,
    /// Time of the oldest commit that has not reached the disk.
    unflushed_since: Option<Instant>,
    log: Log,
    reserve: ReserveGate,
    metrics: Arc<DatabaseMetrics>,
}

impl Writer {
    /// `connection` must sync at each commit (`synchronous = FULL`).
    pub(super) fn new(connection: Connection, log: Log, reserve: ReserveGate, metrics: Arc<DatabaseMetrics>) -> Self {
        Self { connection, synchronous: Durability::PowerLoss, unflushed_since: None, log, reserve, metrics }
    }

    /// Commits writes until nobody can send any.
    pub(super) fn run(mut self, jobs: &mpsc::Receiver<Write>) {
        loop {
            let first = match self.unflushed_since {
                None if self.log.is_check_due => jobs.recv_timeout(FLUSH_INTERVAL),
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
                        || self.log.is_large_after_write(FLUSH_INTERVAL)
                    {
                        self.flush();
                    }
                }
                Err(mpsc::RecvTimeoutError::Timeout) => {
                    self.log.is_check_due = self.log.is_large();
                    if self.unflushed_since.is_some() || self.log.is_check_due {
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

    /// Refuses the writes that the full disk has no room for, and returns the others.
    fn refuse_on_full_disk(&mut self, batch: Vec<Write>) -> Vec<Write> {
        if batch.iter().all(|write| write.purpose == Purpose::Free) || !self.reserve.is_given_up() {
            return batch;
        }
        let (others, freeing) = batch.into_iter().partition::<Vec<_>, _>(|write| write.purpose == Purpose::Other);
        let full = DbError::Full("the last free space is reserved for writes that free some".into());
        for write in others {
            write.job.reply(Err(&full));
        }
        freeing
    }

    fn commit_together(&mut self, mut batch: Vec<Write>) {
        let durable = batch.iter().any(|write| write.durability == Durability::PowerLoss);
        let durability = if durable { Durability::PowerLoss } else { Durability::Process };
        let committed = self.transaction(durability, &mut batch);
        if committed.is_ok() {
            self.metrics.committed(batch.len());
        }
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
                    // SQLite rolled the whole transaction back, as it does on a full disk.
                    return Err(write.job.failure().unwrap_or(DbError::Panicked));
                }
                self.execute("ROLLBACK TO request")?;
            }
            self.execute("RELEASE request")?;
        }
        self.execute("COMMIT")?;
        match durability {
            // A durable commit syncs the log, which has all earlier commits.
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

    /// Syncs commits that were only written to the log. A checkpoint syncs the log first.
    fn flush(&mut self) {
        let checkpoint = self
            .connection
            .query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |row| Ok((row.get::<_, i64>(1)?, row.get::<_, i64>(2)?)));
        self.unflushed_since = match checkpoint {
            Ok((in_log, checkpointed)) if in_log == checkpointed && self.truncate_log() => None,
            // A reader was in the way. Retried after the interval.
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

    /// Truncates a large log, all of which is in the database. False when a connection still reads from it.
    fn truncate_log(&mut self) -> bool {
        if !self.log.is_large() {
            self.log.note_small();
            return true;
        }
        // No write waits for a reader: the truncation is retried after the interval.
        let busy = self.connection.busy_timeout(Duration::ZERO).and_then(|()| {
            self.connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| row.get::<_, i64>(0))
        });
        if let Err(error) = self.connection.busy_timeout(BUSY_TIMEOUT) {
            tracing::warn!(%error, "the busy timeout of the database could not be set");
        }
        let is_truncated = matches!(busy, Ok(0));
        if is_truncated {
            self.log.note_small();
        }
        is_truncated
    }

    fn execute(&self, sql: &'static str) -> Result<(), DbError> {
        self.connection.prepare_cached(sql)?.execute([])?;
        Ok(())
    }
}
