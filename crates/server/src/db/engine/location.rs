//! Location of a database.

use std::path::PathBuf;

use super::postgres::without_password;

/// Name of SQLite's file in a data directory.
pub(crate) const DATABASE_FILE: &str = "partway.db";

/// A file or a server.
#[derive(Clone)]
pub enum DatabaseLocation {
    /// Path of a file.
    Sqlite(PathBuf),
    /// A server.
    Postgres {
        /// `postgres://…`, with the password.
        url: String,
        /// Most connections of this process.
        max_connections: u32,
    },
}

impl std::fmt::Debug for DatabaseLocation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "DatabaseLocation({self})")
    }
}

impl std::fmt::Display for DatabaseLocation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Sqlite(path) => write!(f, "{}", path.display()),
            Self::Postgres { url, .. } => f.write_str(&without_password(url)),
        }
    }
}
