//! What can go wrong in the database.

/// A failed read or write. Whatever the transaction had done is undone.
#[derive(Debug, thiserror::Error)]
pub enum DbError {
    /// The disk has no room for the transaction; it may be tried again when there is.
    #[error("the database's disk is full")]
    Full(#[source] rusqlite::Error),
    /// Another process kept the database locked for longer than the busy timeout.
    #[error("the database was locked by another process for too long")]
    Locked(#[source] rusqlite::Error),
    /// A row does not hold what this version writes.
    #[error("row of {table}: {problem}")]
    Corrupt {
        /// Table of the row.
        table: &'static str,
        /// What is wrong with it.
        problem: String,
    },
    /// The file belongs to a newer version of the program.
    #[error(
        "the database has schema version {found}, this program knows up to {known}: it was written by a newer version"
    )]
    TooNew {
        /// Version found.
        found: i64,
        /// Newest version known.
        known: i64,
    },
    /// The file belongs to an older version of the program.
    #[error(
        "the database has schema version {found}, this program has {known}: start the server of this version once, which brings it up to date"
    )]
    TooOld {
        /// Version found.
        found: i64,
        /// Version known.
        known: i64,
    },
    /// The transaction that this write was part of could not be committed.
    #[error("commit failed: {0}")]
    Commit(String),
    /// The database is shut down, or the query panicked.
    #[error("the database thread is gone")]
    Stopped,
    /// Anything else that SQLite reports.
    #[error(transparent)]
    Sqlite(rusqlite::Error),
    /// The database's directory or file could not be used.
    #[error("{path}: {source}")]
    Io {
        /// What was being used.
        path: String,
        /// Why it failed.
        source: std::io::Error,
    },
}

impl From<rusqlite::Error> for DbError {
    fn from(error: rusqlite::Error) -> Self {
        match error.sqlite_error_code() {
            Some(rusqlite::ErrorCode::DiskFull) => Self::Full(error),
            Some(rusqlite::ErrorCode::DatabaseBusy | rusqlite::ErrorCode::DatabaseLocked) => Self::Locked(error),
            _ => Self::Sqlite(error),
        }
    }
}
