//! Who owns which blob: a question to three tables at once, for checks.

use uuid::Uuid;

use super::sessions::Status;
use super::{DbError, Tx, columns};

/// What owns a blob.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Owner {
    /// A file.
    File(Uuid),
    /// A session that takes parts.
    Session(Uuid),
    /// The cleaner, which will delete it.
    Garbage,
}

/// A blob that the database knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OwnedBlob {
    /// Its id.
    pub blob_id: Uuid,
    /// How many bytes it should have.
    pub size_bytes: u64,
    /// Who owns it.
    pub owner: Owner,
}

/// All blobs with an owner. 56 bytes of memory for each.
pub fn list(tx: &Tx<'_>) -> Result<Vec<OwnedBlob>, DbError> {
    tx.all(
        "SELECT blob_id, size_bytes, 'file', id FROM files \
         UNION ALL SELECT blob_id, size_bytes, 'session', id FROM sessions WHERE status = 'uploading' \
         UNION ALL SELECT blob_id, size_bytes, 'garbage', blob_id FROM garbage",
        &[],
        |row| {
            let (kind, id): (String, Uuid) = (row.get(2)?, columns::uuid("files", row, 3)?);
            let owner = match kind.as_str() {
                "file" => Owner::File(id),
                "session" => Owner::Session(id),
                _ => Owner::Garbage,
            };
            let blob_id = columns::uuid("files", row, 0)?;
            Ok(OwnedBlob { blob_id, size_bytes: columns::size("files", row, 1)?, owner })
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
