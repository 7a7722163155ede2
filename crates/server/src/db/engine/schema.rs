//! The schema, as an engine is given it.

use std::ops::RangeInclusive;

use crate::db::sql::{DbError, Tx};

/// Versions of a schema, and the functions that lead from one to the next.
pub(in crate::db) struct Schema {
    /// All versions, in order.
    pub versions: RangeInclusive<i64>,
    /// Brings a database of the version before to a version, in a transaction of its own that no other process runs at the
    /// same time. Leaves a database that has the version as it is.
    pub to_version: fn(&Tx<'_>, i64) -> Result<(), DbError>,
    /// An error unless the database has exactly the newest version.
    pub check: fn(&Tx<'_>) -> Result<(), DbError>,
    /// Names of all tables of the newest version.
    pub tables: fn() -> Vec<&'static str>,
}
