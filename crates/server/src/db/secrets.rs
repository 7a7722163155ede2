//! Secrets that the server made for itself and that must stay the same across restarts.

use super::{DbError, Tx};

/// The secret of this name, making it from `fresh` when there is none.
pub fn get_or_insert(tx: &Tx<'_>, name: &str, fresh: [u8; 32]) -> Result<[u8; 32], DbError> {
    tx.execute("INSERT INTO secrets (name, value) VALUES (?1, ?2) ON CONFLICT (name) DO NOTHING", &[&name, &fresh])?;
    let stored = tx.optional("SELECT value FROM secrets WHERE name = ?1", &[&name], |row| row.get::<[u8; 32]>(0))?;
    stored.ok_or_else(|| DbError::Corrupt { table: "secrets", problem: format!("{name} is missing") })
}
