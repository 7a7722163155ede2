//! A number of things, and their bytes.

use crate::db::sql::{DbError, Row};

/// A number of things, and their bytes. Negative only if counters are wrong: a check must see that.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Amount {
    /// Number of things.
    pub count: i64,
    /// Their bytes.
    pub bytes: i64,
}

impl Amount {
    /// From two columns.
    pub(in crate::db::tables) fn from_row(row: &Row<'_>, column: usize) -> Result<Self, DbError> {
        Ok(Self { count: row.get(column)?, bytes: row.get(column + 1)? })
    }
}
