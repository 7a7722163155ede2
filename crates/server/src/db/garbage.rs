//! Blobs that nothing refers to any more. A blob gets here in the transaction that took away its owner,
//! and leaves only after its bytes are gone: whatever happens in between, they are accounted for.

use uuid::Uuid;

use super::usage::Amount;
use super::{DbError, Timestamp, Tx, columns};

const TABLE: &str = "garbage";

/// Why a blob has no owner any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reason {
    /// A newer file took its path.
    Replaced,
    /// Its session expired.
    Expired,
    /// Its session was aborted.
    Aborted,
    /// Found by a check; nothing is known of it but that nobody owns it.
    Orphan,
}

impl Reason {
    fn as_str(self) -> &'static str {
        match self {
            Self::Replaced => "replaced",
            Self::Expired => "expired",
            Self::Aborted => "aborted",
            Self::Orphan => "orphan",
        }
    }
}

/// Hands a blob to the cleaner. `workspace_id`: whose it was, if that is known.
pub fn insert(
    tx: &Tx<'_>,
    workspace_id: Option<Uuid>,
    blob_id: Uuid,
    reason: Reason,
    size_bytes: u64,
) -> Result<(), DbError> {
    tx.execute(
        "INSERT INTO garbage (blob_id, workspace_id, reason, size_bytes, created_at) VALUES (?1, ?2, ?3, ?4, ?5)",
        &[
            &blob_id.to_string(),
            &workspace_id.map(|id| id.to_string()),
            &reason.as_str(),
            &columns::size_to_sql(size_bytes),
            &Timestamp::now(),
        ],
    )?;
    Ok(())
}

/// What waits to be deleted, by the workspace whose it was.
pub fn amounts(tx: &Tx<'_>) -> Result<Vec<(Option<Uuid>, Amount)>, DbError> {
    tx.all("SELECT workspace_id, count(*), sum(size_bytes) FROM garbage GROUP BY workspace_id", &[], |row| {
        let workspace_id = row.get::<_, Option<String>>(0)?.map(|_| columns::uuid(TABLE, row, 0)).transpose()?;
        Ok((workspace_id, Amount::from_row(row, 1)?))
    })
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
