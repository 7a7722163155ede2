//! Errors of the database.

use postgres::error::SqlState;

/// The error of the engine.
pub(super) type Cause = Box<dyn std::error::Error + Send + Sync>;

/// A failed read or write. Its transaction is rolled back. [`Unavailable`](Self::Unavailable) is the exception: it may come from a
/// commit whose answer was lost, which may have succeeded.
#[derive(Debug, thiserror::Error)]
pub enum DbError {
    /// The disk has no space for the transaction. A retry succeeds once it has.
    #[error("the database's disk is full")]
    Full(#[source] Cause),
    /// Another transaction or process held a lock for longer than the timeout.
    #[error("another transaction or process locked the database for too long")]
    Locked(#[source] Cause),
    /// A list or search exceeded its time limit.
    #[error("the list or search took too long and was cancelled; retry, or narrow it with a filter")]
    TooLong,
    /// The workspace has its maximum of waiting lists and searches.
    #[error("too many lists and searches of this workspace are waiting; retry later, with fewer at a time")]
    Busy,
    /// The database server cannot be reached, or is stopping or starting.
    #[error("the database cannot be reached")]
    Unavailable(#[source] Cause),
    /// The database server answers but takes no writes: it is a standby, or was made read-only.
    #[error("the database takes no writes")]
    ReadOnly(#[source] Cause),
    /// The database server answers but refuses this program, or lacks its tables: the role, the database or its schema was
    /// changed.
    #[error(
        "the database refuses the connection, or lacks a table: user, password or database name in database.url are wrong or were \
         changed, or the database was restored or dropped"
    )]
    Refused(#[source] Cause),
    /// The role lacks a privilege.
    #[error(
        "the role of database.url lacks a right: it must own its tables, in a schema in which it may create tables"
    )]
    Forbidden(#[source] Cause),
    /// The program cannot work with this database, or with the pool in front of it. The text says what is allowed.
    #[error("{0}")]
    Unsuitable(String),
    /// A row has a value that no version writes.
    #[error("row of {table}: {problem}")]
    Corrupt {
        /// Table of the row.
        table: &'static str,
        /// The problem.
        problem: String,
    },
    /// The database belongs to a newer version of the program.
    #[error(
        "the database has schema version {found}, this program knows up to {known}: it was written by a newer version"
    )]
    TooNew {
        /// Version found.
        found: i64,
        /// Newest version known.
        known: i64,
    },
    /// The database belongs to an older version of the program.
    #[error(
        "the database has schema version {found}, this program has {known}: start the server of this version once, which brings it up to date"
    )]
    TooOld {
        /// Version found.
        found: i64,
        /// Version known.
        known: i64,
    },
    /// The database that is the target of a copy has other records.
    #[error("the database has other records already; allowed: an empty database")]
    NotEmpty,
    /// The transaction that this write shared could not be committed.
    #[error("commit failed: {0}")]
    Commit(String),
    /// The database is shut down.
    #[error("the database is shut down")]
    Stopped,
    /// The query panicked, which is a bug. Its changes are rolled back.
    #[error("a query panicked; the log says where")]
    Panicked,
    /// Any other error of the engine.
    #[error(transparent)]
    Engine(Cause),
    /// The database's directory or file could not be used.
    #[error("{path}: {source}")]
    Io {
        /// Path of the directory or file.
        path: String,
        /// The error of the system.
        source: std::io::Error,
    },
}

impl DbError {
    /// Whether a full disk may be the cause. For the index of its log SQLite has other codes than that of a full disk.
    pub(in crate::db) fn may_be_full_disk(&self) -> bool {
        match self {
            Self::Full(_) => true,
            Self::Engine(cause) => cause
                .downcast_ref::<rusqlite::Error>()
                .and_then(rusqlite::Error::sqlite_error)
                .is_some_and(|error| CANNOT_GROW_CODES.contains(&error.extended_code)),
            _ => false,
        }
    }

    /// A copy of the error, for another write of the same transaction.
    pub(in crate::db) fn share(&self) -> Self {
        let cause = || self.to_string().into();
        match self {
            Self::Full(source) => Self::Full(source.to_string().into()),
            Self::Locked(source) => Self::Locked(source.to_string().into()),
            Self::Unavailable(source) => Self::Unavailable(source.to_string().into()),
            Self::Commit(text) => Self::Commit(text.clone()),
            Self::ReadOnly(source) => Self::ReadOnly(source.to_string().into()),
            Self::Forbidden(source) => Self::Forbidden(source.to_string().into()),
            Self::Refused(source) => Self::Refused(source.to_string().into()),
            Self::Unsuitable(text) => Self::Unsuitable(text.clone()),
            Self::Stopped => Self::Stopped,
            Self::Panicked => Self::Panicked,
            Self::TooLong => Self::TooLong,
            Self::Busy => Self::Busy,
            Self::NotEmpty
            | Self::TooNew { .. }
            | Self::TooOld { .. }
            | Self::Corrupt { .. }
            | Self::Engine(_)
            | Self::Io { .. } => Self::Engine(cause()),
        }
    }
}

/// SQLite's codes for a file that could not grow (sqlite.org/rescode.html): SQLITE_IOERR_WRITE, _FSYNC, _TRUNCATE, _SHMOPEN, _SHMSIZE,
/// SQLITE_CANTOPEN.
const CANNOT_GROW_CODES: [i32; 6] = [778, 1034, 1546, 4618, 4874, 14];

impl DbError {
    /// The SQLSTATE of the error (PostgreSQL documentation, appendix A).
    pub(in crate::db) fn sql_state(&self) -> Option<&str> {
        let (Self::Full(cause)
        | Self::Locked(cause)
        | Self::Unavailable(cause)
        | Self::ReadOnly(cause)
        | Self::Forbidden(cause)
        | Self::Refused(cause)
        | Self::Engine(cause)) = self
        else {
            return None;
        };
        cause.downcast_ref::<postgres::Error>()?.code().map(SqlState::code)
    }
}

impl From<rusqlite::Error> for DbError {
    fn from(error: rusqlite::Error) -> Self {
        match error.sqlite_error_code() {
            Some(rusqlite::ErrorCode::DiskFull) => Self::Full(error.into()),
            Some(rusqlite::ErrorCode::DatabaseBusy | rusqlite::ErrorCode::DatabaseLocked) => Self::Locked(error.into()),
            // Only the time limit of scans interrupts.
            Some(rusqlite::ErrorCode::OperationInterrupted) => Self::TooLong,
            // The kernel remounts a filesystem read-only after an error of the disk.
            Some(rusqlite::ErrorCode::ReadOnly) => Self::ReadOnly(error.into()),
            _ => Self::Engine(error.into()),
        }
    }
}

/// Classes of SQLSTATE (PostgreSQL documentation, appendix A) of transient errors: 08, connections; 57P, the server is stopping or
/// starting; 53, it has no connection or memory left; 25P, it ended an idle transaction; 26 and 42P05, a connection lost its prepared
/// statements; 58, its disk failed.
const TRANSIENT_STATES: [&str; 7] = ["08", "57P", "53", "25P", "26", "42P05", "58"];

/// SQLSTATEs, and classes of them, after a change of the database that may be reverted: 28, password or role; 3D, the database does
/// not exist; 3F and 42P01, its schema or a table does not; 55000, it takes no connections.
const CHANGED_STATES: [&str; 5] = ["28", "3D", "3F", "42P01", "55000"];

impl From<postgres::Error> for DbError {
    fn from(error: postgres::Error) -> Self {
        let Some(state) = error.code() else {
            // Without a SQLSTATE it was the connection, or a bug of this program.
            let is_io = std::error::Error::source(&error).is_some_and(|source| source.is::<std::io::Error>());
            return if error.is_closed() || is_io {
                Self::Unavailable(error.into())
            } else {
                Self::Engine(error.into())
            };
        };
        if *state == SqlState::DISK_FULL {
            return Self::Full(error.into());
        }
        if *state == SqlState::READ_ONLY_SQL_TRANSACTION {
            return Self::ReadOnly(error.into());
        }
        if *state == SqlState::INSUFFICIENT_PRIVILEGE {
            return Self::Forbidden(error.into());
        }
        let locked = [
            SqlState::LOCK_NOT_AVAILABLE,
            SqlState::QUERY_CANCELED,
            SqlState::T_R_DEADLOCK_DETECTED,
            SqlState::T_R_SERIALIZATION_FAILURE,
        ];
        if locked.contains(state) {
            return Self::Locked(error.into());
        }
        let is_one_of = |classes: &[&str]| classes.iter().any(|class| state.code().starts_with(class));
        if is_one_of(&CHANGED_STATES) {
            return Self::Refused(error.into());
        }
        match is_one_of(&TRANSIENT_STATES) {
            true => Self::Unavailable(error.into()),
            false => Self::Engine(error.into()),
        }
    }
}
