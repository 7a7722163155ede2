//! Owners of blobs, from three tables, for checks.

use uuid::Uuid;

use super::sessions::Status;
use crate::db::sql::{DbError, Tx, columns};
use crate::model::{BlobRef, StorageKind};

/// Owner of a blob.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Owner {
    /// A file.
    File(Uuid),
    /// A session that takes parts.
    Session(Uuid),
    /// The cleaner, which will delete it.
    Garbage,
}

/// A blob with an owner.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OwnedBlob {
    /// The blob.
    pub blob: BlobRef,
    /// Size that it should have.
    pub size_bytes: u64,
    /// Its owner.
    pub owner: Owner,
}

/// All blobs with an owner. Takes 56 bytes of memory for each.
pub fn list(tx: &Tx<'_>) -> Result<Vec<OwnedBlob>, DbError> {
    tx.all(
        "SELECT blob_id, storage, size_bytes, 'file', id FROM files \
         UNION ALL SELECT blob_id, storage, size_bytes, 'session', id FROM sessions WHERE status = 'uploading' \
         UNION ALL SELECT blob_id, storage, size_bytes, 'garbage', blob_id FROM garbage",
        &[],
        |row| {
            let (kind, id): (String, Uuid) = (row.get(3)?, columns::uuid("files", row, 4)?);
            let owner = match kind.as_str() {
                "file" => Owner::File(id),
                "session" => Owner::Session(id),
                _ => Owner::Garbage,
            };
            let blob = BlobRef { id: columns::uuid("files", row, 0)?, storage: columns::storage("files", row, 1)? };
            Ok(OwnedBlob { blob, size_bytes: columns::size("files", row, 2)?, owner })
        },
    )
}

/// Whether the blob has an owner.
pub fn has_owner(tx: &Tx<'_>, blob_id: Uuid) -> Result<bool, DbError> {
    tx.exists(
        "SELECT 1 FROM files WHERE blob_id = ?1 \
         UNION ALL SELECT 1 FROM sessions WHERE blob_id = ?1 AND status = ?2 \
         UNION ALL SELECT 1 FROM garbage WHERE blob_id = ?1 LIMIT 1",
        &[&blob_id.to_string(), &Status::Uploading.as_str()],
    )
}

/// Whether any open session, file or garbage is in this storage.
pub fn any_in(tx: &Tx<'_>, storage: StorageKind) -> Result<bool, DbError> {
    let storage = storage.as_str();
    Ok(tx.exists("SELECT 1 FROM files WHERE storage = ?1 LIMIT 1", &[&storage])?
        || tx.exists("SELECT 1 FROM sessions WHERE storage = ?1 AND status = 'uploading' LIMIT 1", &[&storage])?
        || tx.exists("SELECT 1 FROM garbage WHERE storage = ?1 LIMIT 1", &[&storage])?)
}
