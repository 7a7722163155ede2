//! Brings a database's schema to the version this program knows. Versions only grow; each is one file, for both engines,
//! and where SQL cannot say it, a function that fills what the file made. Both are frozen: a migration uses no query of the
//! tables' files, which say what the newest version has.

use std::cmp::Ordering;
use std::ops::RangeInclusive;

use super::migrations::m0004;
use crate::db::sql::{DbError, Tx};

struct Migration {
    sql: &'static str,
    fill: fn(&Tx<'_>) -> Result<(), DbError>,
}

const MIGRATIONS: [Migration; 6] = [
    Migration { sql: include_str!("migrations/0001_first.sql"), fill: |_| Ok(()) },
    Migration { sql: include_str!("migrations/0002_sessions_as_resources.sql"), fill: |_| Ok(()) },
    Migration { sql: include_str!("migrations/0003_several_nodes.sql"), fill: |_| Ok(()) },
    Migration { sql: include_str!("migrations/0004_whole_workspace.sql"), fill: m0004::fill },
    Migration { sql: include_str!("migrations/0005_trust.sql"), fill: |_| Ok(()) },
    Migration { sql: include_str!("migrations/0006_bounds.sql"), fill: |_| Ok(()) },
];

/// All versions, in order.
pub(super) const VERSIONS: RangeInclusive<i64> = 1..=KNOWN;
const KNOWN: i64 = MIGRATIONS.len() as i64;

/// Brings a database of the version before to `version`, or leaves one that has it as it is. Call inside a transaction
/// that nobody else runs at the same time.
pub(super) fn to_version(tx: &Tx<'_>, version: i64) -> Result<(), DbError> {
    let found = tx.schema_version()?;
    if found > KNOWN {
        return Err(DbError::TooNew { found, known: KNOWN });
    }
    if found < version {
        for (_, migration) in (1..).zip(MIGRATIONS).filter(|(number, _)| *number == version) {
            tx.run_schema(migration.sql)?;
            (migration.fill)(tx)?;
        }
        tx.set_schema_version(version)?;
    }
    Ok(())
}

/// Whether the database has exactly the schema that this program knows.
pub(super) fn check(tx: &Tx<'_>) -> Result<(), DbError> {
    let found = tx.schema_version()?;
    match found.cmp(&KNOWN) {
        Ordering::Less => Err(DbError::TooOld { found, known: KNOWN }),
        Ordering::Equal => Ok(()),
        Ordering::Greater => Err(DbError::TooNew { found, known: KNOWN }),
    }
}
