//! Blobs that nothing refers to any more. A blob gets here in the transaction that took away its owner,
//! and leaves only after its bytes are gone: whatever happens in between, they are accounted for.

use uuid::Uuid;

use super::{DbError, Timestamp, Tx, columns};

const TABLE: &str = "garbage";

/// Why a blob has no owner any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reason {
    /// A newer file took its path.
    Replaced,
    /// Its session expired.
    Expired,
}

impl Reason {
    fn as_str(self) -> &'static str {
        match self {
            Self::Replaced => "replaced",
            Self::Expired => "expired",
        }
    }
}

/// Hands a blob to the cleaner.
pub fn insert(tx: &Tx<'_>, blob_id: Uuid, reason: Reason, size_bytes: u64) -> Result<(), DbError> {
    tx.execute(
        "INSERT INTO garbage (blob_id, reason, size_bytes, created_at) VALUES (?1, ?2, ?3, ?4)",
        &[&blob_id.to_string(), &reason.as_str(), &columns::size_to_sql(size_bytes), &Timestamp::now()],
    )?;
    Ok(())
}

/// At most `limit` blobs to delete, in the order of their ids, from behind `after` on.
pub fn list(tx: &Tx<'_>, after: Uuid, limit: u32) -> Result<Vec<Uuid>, DbError> {
    tx.all(
        "SELECT blob_id FROM garbage WHERE blob_id > ?1 ORDER BY blob_id LIMIT ?2",
        &[&after.to_string(), &limit],
        |row| columns::uuid(TABLE, row, 0),
    )
}

/// The blob's bytes are gone.
pub fn delete(tx: &Tx<'_>, blob_id: Uuid) -> Result<(), DbError> {
    tx.execute("DELETE FROM garbage WHERE blob_id = ?1", &[&blob_id.to_string()])?;
    Ok(())
}
