//! Brings a database's schema to the version this program knows. Versions only grow; each is one file.

use std::cmp::Ordering;

use rusqlite::{Connection, TransactionBehavior};

use super::DbError;

const MIGRATIONS: &[&str] = &[
    include_str!("migrations/sqlite/0001_first.sql"),
    include_str!("migrations/sqlite/0002_sessions_as_resources.sql"),
];

/// Runs what is missing, each version in a transaction of its own. Two processes that start at once take turns.
pub(super) fn run(connection: &mut Connection) -> Result<(), DbError> {
    let known = i64::try_from(MIGRATIONS.len()).unwrap_or(i64::MAX);
    for (version, sql) in (1..).zip(MIGRATIONS) {
        let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let found: i64 = transaction.query_row("PRAGMA user_version", [], |row| row.get(0))?;
        if found > known {
            return Err(DbError::TooNew { found, known });
        }
        if found < version {
            transaction.execute_batch(sql)?;
            transaction.pragma_update(None, "user_version", version)?;
        }
        transaction.commit()?;
    }
    Ok(())
}

/// Whether the database has exactly the schema that this program knows.
pub(super) fn check(connection: &Connection) -> Result<(), DbError> {
    let known = i64::try_from(MIGRATIONS.len()).unwrap_or(i64::MAX);
    let found: i64 = connection.query_row("PRAGMA user_version", [], |row| row.get(0))?;
    match found.cmp(&known) {
        Ordering::Less => Err(DbError::TooOld { found, known }),
        Ordering::Equal => Ok(()),
        Ordering::Greater => Err(DbError::TooNew { found, known }),
    }
}
