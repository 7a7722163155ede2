//! Values of this installation, by name.

use crate::db::sql::{DbError, Tx};

/// The value of this name.
pub fn get(tx: &Tx<'_>, name: &str) -> Result<Option<String>, DbError> {
    tx.optional("SELECT value FROM installation WHERE name = ?1", &[&name], |row| row.get(0))
}

/// Sets the value of this name.
pub fn set(tx: &Tx<'_>, name: &str, value: &str) -> Result<(), DbError> {
    tx.execute(
        "INSERT INTO installation (name, value) VALUES (?1, ?2) ON CONFLICT (name) DO UPDATE SET value = excluded.value",
        &[&name, &value],
    )?;
    Ok(())
}
