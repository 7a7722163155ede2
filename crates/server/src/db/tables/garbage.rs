//! Blobs without an owner, and blobs that are being written.
//!
//! Invariant: a row is inserted in the transaction that removes the owner of the blob, or before its first byte is written, and is
//! deleted only when the blob has an owner or its bytes are deleted. Every blob in the storage therefore has a row: here, of a session or of a file.

use uuid::Uuid;

use super::usage::Amount;
use crate::db::sql::{DbError, Timestamp, Tx, columns};
use crate::model::{BlobRef, StorageKind};

const TABLE: &str = "garbage";

/// Reason why a blob has no owner.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reason {
    /// A newer file replaced its file.
    Replaced,
    /// Its file was deleted.
    Deleted,
    /// Its session expired.
    Expired,
    /// Its session was aborted.
    Aborted,
    /// A check found it in the storage without an owner.
    Orphan,
    /// Its file was moved to another storage.
    Moved,
    /// It is being written, and its writer will claim it. After its deadline the cleaner changes the reason to `given up`.
    Unfinished,
}

impl Reason {
    fn as_str(self) -> &'static str {
        match self {
            Self::Replaced => "replaced",
            Self::Deleted => "deleted",
            Self::Expired => "expired",
            Self::Aborted => "aborted",
            Self::Orphan => "orphan",
            Self::Moved => "moved",
            Self::Unfinished => "unfinished",
        }
    }
}

/// A blob for the cleaner.
#[derive(Debug, Clone)]
pub struct NewGarbage {
    /// The blob.
    pub blob: BlobRef,
    /// Workspace of its last owner, if that is known.
    pub workspace_id: Option<Uuid>,
    /// Reason why it has no owner.
    pub reason: Reason,
    /// Its size.
    pub size_bytes: u64,
    /// Time until it may be deleted: a request may still be reading or writing it.
    pub keep_seconds: u64,
}

/// Hands a blob to the cleaner.
pub fn insert(tx: &Tx<'_>, garbage: &NewGarbage) -> Result<(), DbError> {
    tx.execute(
        "INSERT INTO garbage (blob_id, storage, workspace_id, reason, size_bytes, created_at, not_before) \
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
        &[
            &garbage.blob.id.to_string(),
            &garbage.blob.storage.as_str(),
            &garbage.workspace_id.map(|id| id.to_string()),
            &garbage.reason.as_str(),
            &columns::size_to_sql(garbage.size_bytes),
            &Timestamp::now(),
            &tx.now()?.plus_seconds(garbage.keep_seconds),
        ],
    )?;
    Ok(())
}

/// Moves the deadline of a blob that is still being written to `seconds` from now. False when the cleaner has it.
pub fn keep(tx: &Tx<'_>, blob_id: Uuid, seconds: u64) -> Result<bool, DbError> {
    let changed = tx.execute(
        "UPDATE garbage SET not_before = ?2 WHERE blob_id = ?1 AND reason = 'unfinished'",
        &[&blob_id.to_string(), &tx.now()?.plus_seconds(seconds)],
    )?;
    Ok(changed == 1)
}

/// Claims a blob that was written for its owner, which the same transaction inserts. False when the cleaner has it.
pub fn claim_finished(tx: &Tx<'_>, blob_id: Uuid) -> Result<bool, DbError> {
    let sql = "DELETE FROM garbage WHERE blob_id = ?1 AND reason = 'unfinished'";
    Ok(tx.execute(sql, &[&blob_id.to_string()])? == 1)
}

/// Gives unfinished blobs whose deadline has passed to the cleaner. They cannot be claimed any more.
pub fn give_up_unfinished(tx: &Tx<'_>) -> Result<(), DbError> {
    let sql = "UPDATE garbage SET reason = 'given up' WHERE reason = 'unfinished' AND not_before <= ?1";
    tx.execute(sql, &[&tx.now()?])?;
    Ok(())
}

/// Whether there are unfinished blobs whose deadline has passed.
pub fn any_unclaimed(tx: &Tx<'_>) -> Result<bool, DbError> {
    tx.exists("SELECT 1 FROM garbage WHERE reason = 'unfinished' AND not_before <= ?1 LIMIT 1", &[&tx.now()?])
}

/// Amounts of garbage by workspace.
pub fn amounts(tx: &Tx<'_>) -> Result<Vec<(Option<Uuid>, Amount)>, DbError> {
    tx.all(
        "SELECT workspace_id, count(*), CAST(sum(size_bytes) AS BIGINT) FROM garbage GROUP BY workspace_id",
        &[],
        |row| {
            let workspace_id = row.get::<Option<String>>(0)?.map(|_| columns::uuid(TABLE, row, 0)).transpose()?;
            Ok((workspace_id, Amount::from_row(row, 1)?))
        },
    )
}

/// At most `limit` blobs of one storage that may be deleted now, with ids greater than `after`, ordered by id.
pub fn list(tx: &Tx<'_>, storage: StorageKind, after: Uuid, limit: u32) -> Result<Vec<Uuid>, DbError> {
    tx.all(
        "SELECT blob_id FROM garbage WHERE storage = ?1 AND not_before <= ?2 AND blob_id > ?3 AND reason <> 'unfinished' \
         ORDER BY blob_id LIMIT ?4",
        &[&storage.as_str(), &tx.now()?, &after.to_string(), &limit],
        |row| columns::uuid(TABLE, row, 0),
    )
}

/// Deletes the row of a blob whose bytes are deleted.
pub fn delete(tx: &Tx<'_>, blob_id: Uuid) -> Result<(), DbError> {
    tx.execute("DELETE FROM garbage WHERE blob_id = ?1", &[&blob_id.to_string()])?;
    Ok(())
}
