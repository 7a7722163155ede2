//! Connections to the database file.

use std::path::Path;
use std::time::Duration;

use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags};

use crate::db::sql::DbError;

/// Longest time for which another process (a `partway keys` command) may hold the write lock before a write fails.
pub(super) const BUSY_TIMEOUT: Duration = Duration::from_secs(10);
/// Page cache of one connection, in KiB. The working set is the upper levels of the indexes.
const CACHE_KIB: i32 = 2048;
/// Prepared statements that one connection keeps.
const MAX_PREPARED_STATEMENTS: usize = 128;

/// Opens a connection with the settings that all connections have.
pub(super) fn connect(path: &Path, flags: OpenFlags) -> Result<Connection, DbError> {
    let connection = Connection::open_with_flags(path, flags | OpenFlags::SQLITE_OPEN_NO_MUTEX)?;
    connection.busy_timeout(BUSY_TIMEOUT)?;
    connection.pragma_update(None, "foreign_keys", "ON")?;
    connection.pragma_update(None, "cache_size", -CACHE_KIB)?;
    connection.set_prepared_statement_cache_capacity(MAX_PREPARED_STATEMENTS);
    Ok(connection)
}

/// Opens a connection whose query plans do not depend on bound values (QPSG). Otherwise SQLite plans some statements, the look-up
/// of a key among them, again for each value, which takes longer than running them. Scans are faster with plans for their values.
pub(super) fn connect_for_lookups(path: &Path) -> Result<Connection, DbError> {
    let connection = connect(path, OpenFlags::SQLITE_OPEN_READ_ONLY)?;
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)?;
    Ok(connection)
}
