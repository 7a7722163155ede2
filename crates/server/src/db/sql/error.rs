//! What can go wrong in the database.

use postgres::error::SqlState;

/// What the engine said.
pub type Cause = Box<dyn std::error::Error + Send + Sync>;

/// A failed read or write. Whatever the transaction had done is undone, except where [`Unavailable`](Self::Unavailable)
/// comes from a commit whose answer was lost: then nobody knows.
#[derive(Debug, thiserror::Error)]
pub enum DbError {
    /// The disk has no room for the transaction; it may be tried again when there is.
    #[error("the database's disk is full")]
    Full(#[source] Cause),
    /// Somebody else kept what the query needs for longer than the timeout.
    #[error("the database was locked by somebody else for too long")]
    Locked(#[source] Cause),
    /// A list or search took longer than it may.
    #[error("the list or search took too long and was ended; try again, or ask for less with a filter")]
    TooLong,
    /// The workspace has as many lists and searches waiting as it may.
    #[error("too many lists and searches of this workspace wait already; try again later, with fewer at a time")]
    Busy,
    /// The database server cannot be reached, or is stopping or starting.
    #[error("the database cannot be reached")]
    Unavailable(#[source] Cause),
    /// The database server answers, and takes no writes: it is a standby, or was made read-only.
    #[error("the database takes no writes")]
    ReadOnly(#[source] Cause),
    /// The database server answers, and refuses this program, or has not its tables: somebody changed the role, the database or
    /// what is in it.
    #[error(
        "the database refuses the connection, or lacks a table: user, password or name of the database in database.url are \
         not or no longer right, or it was restored or dropped"
    )]
    Refused(#[source] Cause),
    /// The role may not do what the program needs.
    #[error(
        "the role of database.url lacks a right: its tables have to be its own, in a schema in which it may create"
    )]
    Forbidden(#[source] Cause),
    /// The database, or what is in front of it, is none that the program can work with. The text says what is allowed.
    #[error("{0}")]
    Unsuitable(String),
    /// A row does not hold what this version writes.
    #[error("row of {table}: {problem}")]
    Corrupt {
        /// Table of the row.
        table: &'static str,
        /// What is wrong with it.
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
    /// The database that records are to be copied into has others.
    #[error("the database has records already, and other ones; allowed: an empty database")]
    NotEmpty,
    /// The transaction that this write was part of could not be committed.
    #[error("commit failed: {0}")]
    Commit(String),
    /// The database is shut down.
    #[error("the database is shut down")]
    Stopped,
    /// The query panicked, which is a mistake in the program. Its changes are undone.
    #[error("a query panicked; the log says where")]
    Panicked,
    /// Anything else that the engine reports.
    #[error(transparent)]
    Engine(Cause),
    /// The database's directory or file could not be used.
    #[error("{path}: {source}")]
    Io {
        /// What was being used.
        path: String,
        /// Why it failed.
        source: std::io::Error,
    },
}

impl DbError {
    /// Whether room on the disk may be all that was missing. SQLite says so of its log's index in words of its own.
    pub(in crate::db) fn may_be_full_disk(&self) -> bool {
        match self {
            Self::Full(_) => true,
            Self::Engine(cause) => cause
                .downcast_ref::<rusqlite::Error>()
                .and_then(rusqlite::Error::sqlite_error)
                .is_some_and(|error| FULL_IN_OTHER_WORDS.contains(&error.extended_code)),
            _ => false,
        }
    }

    /// The same failure, for another of those who shared it.
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

/// How SQLite says that a file could not grow (sqlite.org/rescode.html): SQLITE_IOERR_WRITE, _FSYNC, _TRUNCATE, _SHMOPEN, _SHMSIZE,
/// SQLITE_CANTOPEN.
const FULL_IN_OTHER_WORDS: [i32; 6] = [778, 1034, 1546, 4618, 4874, 14];

impl DbError {
    /// PostgreSQL's code of the failure (its documentation, appendix A).
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
            // Only the limit of scans interrupts.
            Some(rusqlite::ErrorCode::OperationInterrupted) => Self::TooLong,
            // The filesystem was mounted read-only, as happens after an error of the disk.
            Some(rusqlite::ErrorCode::ReadOnly) => Self::ReadOnly(error.into()),
            _ => Self::Engine(error.into()),
        }
    }
}

/// Classes of SQLSTATE (PostgreSQL documentation, appendix A) that end by themselves: 08, connections; 57P, the server is
/// stopping or starting; 53, it has no connection or memory left; 25P, it gave up a transaction that had stopped; 26 and
/// 42P05, a connection that lost what was prepared on it; 58, its disk failed.
const TRANSIENT: [&str; 7] = ["08", "57P", "53", "25P", "26", "42P05", "58"];

/// SQLSTATEs, and classes of them, of a database that somebody changed under the program and may change back: 28, password or
/// role; 3D, the database is gone; 3F and 42P01, its schema or a table is; 55000, it takes no connections.
const CHANGED: [&str; 5] = ["28", "3D", "3F", "42P01", "55000"];

impl From<postgres::Error> for DbError {
    fn from(error: postgres::Error) -> Self {
        let Some(state) = error.code() else {
            // Without an answer of the server's it was the connection, or something that this program got wrong.
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
        if is_one_of(&CHANGED) {
            return Self::Refused(error.into());
        }
        match is_one_of(&TRANSIENT) {
            true => Self::Unavailable(error.into()),
            false => Self::Engine(error.into()),
        }
    }
}
