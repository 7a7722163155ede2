//! The size of SQLite's write-ahead log.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// A larger log is truncated as soon as no connection reads from it. While one does, there is a warning.
const LARGE_LOG_BYTES: u64 = 16 << 20;
/// Between two warnings of a log that cannot be truncated.
const WARNING_INTERVAL: Duration = Duration::from_secs(60);

/// The write-ahead log's file. A reader pins the pages that it reads: until it ends the log only grows.
pub(super) struct Log {
    path: PathBuf,
    checked_at: Instant,
    /// Whether its size must be checked although nothing is written: it was large, or something was written since.
    pub is_check_due: bool,
    warned_at: Option<Instant>,
}

impl Log {
    /// The log of this database file.
    pub(super) fn of(database: &Path) -> Self {
        let mut path = database.as_os_str().to_owned();
        path.push("-wal");
        Self { path: path.into(), checked_at: Instant::now(), is_check_due: false, warned_at: None }
    }

    fn bytes(&self) -> u64 {
        std::fs::metadata(&self.path).map_or(0, |log| log.len())
    }

    /// Warns of a log that a reader keeps from being truncated.
    pub(super) fn warn(&mut self) {
        let bytes = self.bytes();
        if bytes <= LARGE_LOG_BYTES || self.warned_at.is_some_and(|at| at.elapsed() < WARNING_INTERVAL) {
            return;
        }
        self.warned_at = Some(Instant::now());
        tracing::warn!(
            bytes,
            "a long read of the database (a backup, a shell) keeps {} growing until it ends",
            self.path.display()
        );
    }

    /// Notes that the log is small again after a warning.
    pub(super) fn note_small(&mut self) {
        if self.warned_at.take().is_some() {
            tracing::info!(bytes = self.bytes(), "the write-ahead log of the database is small again");
        }
    }

    /// Whether the log is so large that it must be truncated.
    pub(super) fn is_large(&self) -> bool {
        self.bytes() > LARGE_LOG_BYTES
    }

    /// The same after a write, at most once per `interval`: commits that wait for the disk leave nothing to flush.
    pub(super) fn is_large_after_write(&mut self, interval: Duration) -> bool {
        self.is_check_due = true;
        if self.checked_at.elapsed() < interval {
            return false;
        }
        self.checked_at = Instant::now();
        self.is_large()
    }
}
