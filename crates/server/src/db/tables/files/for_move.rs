//! Files as they are moved from one storage to another.

use uuid::Uuid;

use super::for_fsck::FileToCheck;
use super::row::{TABLE, join};
use crate::db::sql::{DbError, Tx, columns};
use crate::model::{BlobRef, StorageKind};

/// A file that is to be moved to another storage.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MoveCandidate {
    /// Its id.
    pub id: Uuid,
    /// Its workspace.
    pub workspace_id: Uuid,
    /// Number of its bytes.
    pub size_bytes: u64,
    /// MIME type that its bytes have.
    pub mime_type: String,
    /// The MIME type that the uploader named.
    pub declared_type: Option<String>,
    /// The encoding of a text, where its bytes show it.
    pub charset: Option<String>,
    /// Last segment of its path.
    pub name: String,
    /// The columns that a check of its bytes needs.
    pub stored: FileToCheck,
}

/// At most `limit` files of one storage with ids greater than `after`, ordered by id.
pub fn list_in(tx: &Tx<'_>, storage: StorageKind, after: Uuid, limit: u32) -> Result<Vec<MoveCandidate>, DbError> {
    tx.all(
        "SELECT f.id, f.workspace_id, f.blob_id, f.size_bytes, f.mime_type, f.name, w.workspace_no, d.path, f.hash, f.declared_type, f.charset \
         FROM files f JOIN workspaces w ON w.id = f.workspace_id JOIN folders d ON d.id = f.folder_id \
         WHERE f.storage = ?1 AND f.id > ?2 ORDER BY f.id LIMIT ?3",
        &[&storage.as_str(), &after.to_string(), &limit],
        |row| {
            Ok(MoveCandidate {
                id: columns::uuid(TABLE, row, 0)?,
                workspace_id: columns::uuid(TABLE, row, 1)?,
                size_bytes: columns::size(TABLE, row, 3)?,
                mime_type: row.get(4)?,
                declared_type: row.get(9)?,
                charset: row.get(10)?,
                name: row.get(5)?,
                stored: FileToCheck {
                    workspace_no: row.get(6)?,
                    path: join(&row.text(7)?, &row.text(5)?),
                    hash: row.get(8)?,
                    blob_id: columns::uuid(TABLE, row, 2)?,
                },
            })
        },
    )
}

/// Number of files in one storage, and the sum of their bytes.
pub fn amount_in(tx: &Tx<'_>, storage: StorageKind) -> Result<(u64, u64), DbError> {
    let amount = tx.optional(
        "SELECT count(*), CAST(coalesce(sum(size_bytes), 0) AS BIGINT) FROM files WHERE storage = ?1",
        &[&storage.as_str()],
        |row| Ok((columns::size(TABLE, row, 0)?, columns::size(TABLE, row, 1)?)),
    )?;
    Ok(amount.unwrap_or_default())
}

/// Points the file to a copy of its bytes, and sets its hash if it had none. False when it does not use `from` any more.
pub fn use_blob(
    tx: &Tx<'_>,
    id: Uuid,
    from: BlobRef,
    to: BlobRef,
    hash: &str,
    entity_tag: Option<&str>,
) -> Result<bool, DbError> {
    let changed = tx.execute(
        "UPDATE files SET blob_id = ?3, storage = ?4, entity_tag = ?6, \
         hash = CASE WHEN hash LIKE 'blake3:%' THEN hash ELSE ?5 END WHERE id = ?1 AND blob_id = ?2",
        &[&id.to_string(), &from.id.to_string(), &to.id.to_string(), &to.storage.as_str(), &hash, &entity_tag],
    )?;
    Ok(changed == 1)
}
