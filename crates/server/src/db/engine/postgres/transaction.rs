//! Transactions on a connection to PostgreSQL.
//!
//! Invariant: the isolation of a transaction is the one that is stated here, never the default of the role or the database.

use super::connection::PostgresConnection;
use crate::db::engine::scan_queue::SCAN_LIMIT;
use crate::db::engine::schema::Schema;
use crate::db::sql::{DbError, PostgresSession, Tx};

/// Begins a write. It locks the rows that it reads and others may change, so that it needs no higher isolation. With a higher
/// one a transaction that waited for a lock would fail.
const WRITE: &str = "BEGIN ISOLATION LEVEL READ COMMITTED";
/// Begins statements that see the database as it was at one moment.
const SNAPSHOT: &str = "BEGIN ISOLATION LEVEL REPEATABLE READ, READ ONLY";
/// Held while the schema is changed, so that nodes that start at once migrate one after the other. Any number that no other
/// program uses.
const MIGRATION_LOCK: &str = "SELECT pg_advisory_xact_lock(7310306925487312672)";

/// Brings the database to `schema`, or with `migrate` false only checks that it has it.
pub(super) fn settle_schema(
    connection: &mut PostgresConnection,
    schema: &Schema,
    migrate: bool,
) -> Result<(), DbError> {
    if !migrate {
        return write(connection, schema.check);
    }
    for version in schema.versions.clone() {
        write(connection, |tx| {
            // Another node may be migrating, and a large table takes long.
            tx.without_timeouts()?;
            tx.exists(MIGRATION_LOCK, &[])?;
            (schema.to_version)(tx, version)
        })?;
    }
    Ok(())
}

/// Runs `query` as a write.
pub(super) fn write<T>(
    connection: &mut PostgresConnection,
    query: impl FnOnce(&Tx<'_>) -> Result<T, DbError>,
) -> Result<T, DbError> {
    transaction(connection, WRITE, query)
}

/// Runs `query` between `begin` and COMMIT.
fn transaction<T>(
    connection: &mut PostgresConnection,
    begin: &str,
    query: impl FnOnce(&Tx<'_>) -> Result<T, DbError>,
) -> Result<T, DbError> {
    connection.run(begin)?;
    // A panic unwinds to the thread, which closes the connection: the server then rolls back.
    match query(&Tx::postgres(connection)) {
        Ok(value) => {
            connection.run("COMMIT")?;
            Ok(value)
        }
        Err(error) => {
            // A connection that cannot roll back is broken, which the next query finds.
            let _ = connection.run("ROLLBACK");
            Err(error)
        }
    }
}

/// Runs `query`, all of whose statements see the database as it was at one moment. Each has the time limit of a scan.
pub(super) fn in_snapshot<T>(
    connection: &mut PostgresConnection,
    query: impl FnOnce(&Tx<'_>) -> Result<T, DbError>,
) -> Result<T, DbError> {
    let begin = format!("{SNAPSHOT}; SET LOCAL statement_timeout = {}", SCAN_LIMIT.as_millis());
    transaction(connection, &begin, query).map_err(|error| match error.sql_state() {
        // 57014, query_canceled: only the time limit cancels a scan that its request waits for.
        Some("57014") => DbError::TooLong,
        _ => error,
    })
}
