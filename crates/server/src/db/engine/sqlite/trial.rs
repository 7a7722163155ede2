//! Tests whether a directory can have an SQLite database with a write-ahead log, whose index is a memory-mapped file that processes
//! share.
//!
//! Some filesystems (FUSE, 9p, network) create and lock files but refuse such mappings; SQLite then reports only "disk I/O error".
//! The trial uses a database of its own, and removes it.

use std::io;
use std::path::{Path, PathBuf};

use rusqlite::{Connection, ErrorCode};
use uuid::Uuid;

use crate::file_modes::private_file;

/// More than the size of the files of a trial.
const TRIAL_BYTES: u64 = 1 << 20;

/// The reason why a directory cannot have a database.
#[derive(Debug, thiserror::Error)]
pub enum TrialError {
    /// No file can be made in it.
    #[error("no file can be made in {directory}")]
    Io {
        /// The directory.
        directory: String,
        /// The system's error.
        source: io::Error,
    },
    /// The disk is full.
    #[error("there is no room for a database in {directory}")]
    Full {
        /// The directory.
        directory: String,
        /// SQLite's error.
        source: rusqlite::Error,
    },
    /// SQLite cannot work there.
    #[error(
        "SQLite's write-ahead log does not work in {directory}: its filesystem refuses the locks or the shared memory \
         (a mapped file) that the log needs"
    )]
    Sqlite {
        /// The directory.
        directory: String,
        /// SQLite's error.
        source: rusqlite::Error,
    },
    /// SQLite uses another journal mode there.
    #[error("SQLite uses the journal mode {found:?} in {directory} instead of a write-ahead log")]
    OtherLog {
        /// The directory.
        directory: String,
        /// The journal mode.
        found: String,
    },
    /// A second connection does not see what the first has written.
    #[error("a second connection to a database in {directory} does not see what the first one has written")]
    NotShared {
        /// The directory.
        directory: String,
    },
}

/// The files of a trial, until it is dropped.
struct TrialFiles(PathBuf);

impl Drop for TrialFiles {
    fn drop(&mut self) {
        for suffix in ["", "-wal", "-shm"] {
            let mut name = self.0.as_os_str().to_owned();
            name.push(suffix);
            let _ = std::fs::remove_file(PathBuf::from(name));
        }
    }
}

/// Writes and reads a database in `directory` with two connections, as a server and a command do. Blocks.
///
/// # Errors
/// When they cannot.
pub fn try_database(directory: &Path) -> Result<(), TrialError> {
    let shown = directory.display().to_string();
    let path = directory.join(format!("trial-{}.db", Uuid::new_v4()));
    let files = TrialFiles(path);
    private_file()
        .write(true)
        .create_new(true)
        .open(&files.0)
        .map_err(|source| TrialError::Io { directory: shown.clone(), source })?;
    let failed =
        |source: rusqlite::Error| match source.sqlite_error_code() == Some(ErrorCode::DiskFull) || is_full(directory) {
            true => TrialError::Full { directory: shown.clone(), source },
            false => TrialError::Sqlite { directory: shown.clone(), source },
        };
    let read = write_and_read(&files.0).map_err(failed)?;
    match read {
        Read { journal_mode, .. } if !journal_mode.eq_ignore_ascii_case("wal") => {
            Err(TrialError::OtherLog { directory: shown, found: journal_mode })
        }
        Read { rows: 2, .. } => Ok(()),
        Read { .. } => Err(TrialError::NotShared { directory: shown }),
    }
}

/// Whether the trial may have failed on a full disk, for which SQLite has several codes.
fn is_full(directory: &Path) -> bool {
    rustix::fs::statvfs(directory).is_ok_and(|disk| disk.f_bavail.saturating_mul(disk.f_frsize) < TRIAL_BYTES)
}

struct Read {
    journal_mode: String,
    rows: i64,
}

fn write_and_read(path: &Path) -> Result<Read, rusqlite::Error> {
    let writer = Connection::open(path)?;
    let journal_mode = writer.query_row("PRAGMA journal_mode = WAL", [], |row| row.get(0))?;
    writer.execute_batch("CREATE TABLE trial (number INTEGER); INSERT INTO trial VALUES (1)")?;
    let reader = Connection::open(path)?;
    reader.query_row("SELECT count(*) FROM trial", [], |_| Ok(()))?;
    // Only the shared index can show this row to the reader: there is no checkpoint in between.
    writer.execute_batch("INSERT INTO trial VALUES (2)")?;
    let rows = reader.query_row("SELECT count(*) FROM trial", [], |row| row.get(0))?;
    Ok(Read { journal_mode, rows })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plain_directory_does_and_nothing_of_the_trial_stays() {
        let directory = tempfile::tempdir().unwrap();
        try_database(directory.path()).unwrap();
        assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 0);
    }

    #[test]
    fn a_directory_that_takes_no_file_is_named() {
        let error = try_database(Path::new("/proc/self/task")).unwrap_err();
        assert!(matches!(error, TrialError::Io { .. }), "{error}");
        assert!(error.to_string().contains("/proc/self/task"), "{error}");
    }
}
