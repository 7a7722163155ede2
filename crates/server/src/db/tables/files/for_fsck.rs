//! Files as `fsck` and `storage migrate` check them.

use uuid::Uuid;

use super::row::{TABLE, join};
use crate::db::sql::{DbError, Tx, columns};

/// The columns of a file that a check of its bytes needs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileToCheck {
    /// Number of its workspace.
    pub workspace_no: String,
    /// Folder and name.
    pub path: String,
    /// `blake3:` and the hash in hexadecimal.
    pub hash: Option<String>,
    /// Where its bytes are.
    pub blob_id: Uuid,
}

/// The file with this id.
pub fn find_to_check(tx: &Tx<'_>, id: Uuid) -> Result<Option<FileToCheck>, DbError> {
    tx.optional(
        "SELECT w.workspace_no, d.path, f.name, f.hash, f.blob_id FROM files f JOIN workspaces w ON w.id = f.workspace_id \
         JOIN folders d ON d.id = f.folder_id WHERE f.id = ?1",
        &[&id.to_string()],
        |row| {
            Ok(FileToCheck {
                workspace_no: row.get(0)?,
                path: join(&row.text(1)?, &row.text(2)?),
                hash: row.get(3)?,
                blob_id: columns::uuid(TABLE, row, 4)?,
            })
        },
    )
}
