//! Brings the schema of a database to the version of this program. Versions only grow. Each is one SQL file for both engines, and a
//! function that fills new columns if SQL cannot.
//!
//! Invariant: a migration is frozen, and uses no query of `tables/`, which has the columns of the newest version.

use std::cmp::Ordering;
use std::ops::RangeInclusive;

use super::migrations::m0004;
use crate::db::sql::{DbError, Tx};

struct Migration {
    sql: &'static str,
    fill: fn(&Tx<'_>) -> Result<(), DbError>,
}

const MIGRATIONS: [Migration; 8] = [
    Migration { sql: include_str!("migrations/0001_first.sql"), fill: |_| Ok(()) },
    Migration { sql: include_str!("migrations/0002_sessions_as_resources.sql"), fill: |_| Ok(()) },
    Migration { sql: include_str!("migrations/0003_several_nodes.sql"), fill: |_| Ok(()) },
    Migration { sql: include_str!("migrations/0004_whole_workspace.sql"), fill: m0004::fill },
    Migration { sql: include_str!("migrations/0005_trust.sql"), fill: |_| Ok(()) },
    Migration { sql: include_str!("migrations/0006_bounds.sql"), fill: |_| Ok(()) },
    Migration { sql: include_str!("migrations/0007_renewal.sql"), fill: |_| Ok(()) },
    Migration { sql: include_str!("migrations/0008_served_types.sql"), fill: |_| Ok(()) },
];

/// All versions, in order.
pub(super) const VERSIONS: RangeInclusive<i64> = 1..=NEWEST;
const NEWEST: i64 = MIGRATIONS.len() as i64;

/// Brings a database of the version before to `version`, or leaves one that has it as it is. The caller's transaction must exclude
/// other migrations.
pub(super) fn to_version(tx: &Tx<'_>, version: i64) -> Result<(), DbError> {
    let found = tx.schema_version()?;
    if found > NEWEST {
        return Err(DbError::TooNew { found, known: NEWEST });
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

/// An error unless the database has the newest version.
pub(super) fn check(tx: &Tx<'_>) -> Result<(), DbError> {
    let found = tx.schema_version()?;
    match found.cmp(&NEWEST) {
        Ordering::Less => Err(DbError::TooOld { found, known: NEWEST }),
        Ordering::Equal => Ok(()),
        Ordering::Greater => Err(DbError::TooNew { found, known: NEWEST }),
    }
}
