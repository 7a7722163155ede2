//! Secrets that the server generated for itself. They stay the same across restarts until they are rotated.
//!
//! Invariant: at most two values of a secret are stored, and the previous one has an expiry.

use crate::db::sql::Row;
use crate::db::sql::{DbError, Timestamp, Tx};

const TABLE: &str = "secrets";

/// A secret.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret {
    /// The value that signs.
    pub value: [u8; 32],
    /// Time of the last rotation, if there was one.
    pub rotated_at: Option<Timestamp>,
    /// The previous value, unless it was deleted.
    pub previous: Option<PreviousValue>,
}

/// The value of a secret before its last rotation.
#[derive(Clone, PartialEq, Eq)]
pub struct PreviousValue {
    /// The value.
    pub value: [u8; 32],
    /// Time at which it becomes invalid.
    pub until: Timestamp,
}

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Secret(…)")
    }
}

impl std::fmt::Debug for PreviousValue {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("PreviousValue(…)")
    }
}

impl Secret {
    /// The previous value, if it is valid at `now`.
    pub fn previous_at(&self, now: Timestamp) -> Option<&PreviousValue> {
        self.previous.as_ref().filter(|previous| now < previous.until)
    }
}

fn from_row(row: &Row<'_>) -> Result<Secret, DbError> {
    let previous = match (row.get(2)?, row.get(3)?) {
        (Some(value), Some(until)) => Some(PreviousValue { value, until }),
        (None, None) => None,
        _ => {
            let problem = "a value before the last rotation without an end, or an end without a value".to_owned();
            return Err(DbError::Corrupt { table: TABLE, problem });
        }
    };
    Ok(Secret { value: row.get(0)?, rotated_at: row.get(1)?, previous })
}

/// The secret of this name.
pub fn find(tx: &Tx<'_>, name: &str) -> Result<Option<Secret>, DbError> {
    let sql = "SELECT value, rotated_at, previous_value, previous_until FROM secrets WHERE name = ?1";
    tx.optional(sql, &[&name], from_row)
}

/// The secret of this name. Inserted with the value `fresh` if there is none.
pub fn get_or_insert(tx: &Tx<'_>, name: &str, fresh: [u8; 32]) -> Result<Secret, DbError> {
    if let Some(found) = find(tx, name)? {
        return Ok(found);
    }
    tx.execute("INSERT INTO secrets (name, value) VALUES (?1, ?2) ON CONFLICT (name) DO NOTHING", &[&name, &fresh])?;
    find(tx, name)?.ok_or_else(|| DbError::Corrupt { table: TABLE, problem: format!("{name} is missing") })
}

/// Replaces the value by `fresh`. The former value stays valid for `grace_seconds`.
pub fn rotate(tx: &Tx<'_>, name: &str, fresh: [u8; 32], grace_seconds: u64) -> Result<Secret, DbError> {
    let now = tx.now()?;
    let until = (grace_seconds > 0).then(|| now.plus_seconds(grace_seconds));
    tx.execute(
        "UPDATE secrets SET previous_value = CASE WHEN CAST(?4 AS BIGINT) IS NULL THEN NULL ELSE value END, previous_until = ?4, \
         value = ?2, rotated_at = ?3 WHERE name = ?1",
        &[&name, &fresh, &now, &until],
    )?;
    find(tx, name)?.ok_or_else(|| DbError::Corrupt { table: TABLE, problem: format!("{name} is missing") })
}

/// Whether there is a previous value that is invalid.
pub fn any_outlived(tx: &Tx<'_>) -> Result<bool, DbError> {
    tx.exists("SELECT 1 FROM secrets WHERE previous_until IS NOT NULL AND previous_until <= ?1 LIMIT 1", &[&tx.now()?])
}

/// Deletes the previous values that are invalid.
pub fn forget_outlived(tx: &Tx<'_>) -> Result<(), DbError> {
    let sql = "UPDATE secrets SET previous_value = NULL, previous_until = NULL \
               WHERE previous_until IS NOT NULL AND previous_until <= ?1";
    tx.execute(sql, &[&tx.now()?]).map(drop)
}
