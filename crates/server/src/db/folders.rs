//! Folders. Invariant: the parent of every folder is there, and `path` is the parent's path and the name.

use uuid::Uuid;

use super::value::Row;
use super::{DbError, Timestamp, Tx, columns};

const TABLE: &str = "folders";

/// What a file needs to know of its folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FolderRef {
    /// Its id.
    pub id: Uuid,
    /// Its public number.
    pub folder_no: String,
}

/// A folder to be added.
#[derive(Debug)]
pub struct NewFolder<'a> {
    /// The workspace it is in.
    pub workspace_id: Uuid,
    /// The folder it is in, if it is not at the root.
    pub parent_id: Option<Uuid>,
    /// Last segment of its path.
    pub name: &'a str,
    /// All segments, joined by slashes.
    pub path: &'a str,
}

fn from_row(row: &Row<'_>) -> Result<FolderRef, DbError> {
    Ok(FolderRef { id: columns::uuid(TABLE, row, 0)?, folder_no: row.get(1)? })
}

/// The folder of this path.
pub fn find_by_path(tx: &Tx<'_>, workspace_id: Uuid, path: &str) -> Result<Option<FolderRef>, DbError> {
    tx.optional(
        "SELECT id, folder_no FROM folders WHERE workspace_id = ?1 AND path = ?2",
        &[&workspace_id.to_string(), &path],
        from_row,
    )
}

/// Whether the number is taken.
pub fn is_folder_no_taken(tx: &Tx<'_>, folder_no: &str) -> Result<bool, DbError> {
    tx.exists("SELECT 1 FROM folders WHERE folder_no = ?1", &[&folder_no])
}

/// Adds a folder.
pub fn insert(tx: &Tx<'_>, folder: &FolderRef, new: &NewFolder<'_>, now: Timestamp) -> Result<(), DbError> {
    tx.execute(
        "INSERT INTO folders (id, folder_no, workspace_id, parent_id, name, path, created_at, updated_at) \
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?7)",
        &[
            &folder.id.to_string(),
            &folder.folder_no,
            &new.workspace_id.to_string(),
            &new.parent_id.map(|id| id.to_string()),
            &new.name,
            &new.path,
            &now,
        ],
    )?;
    Ok(())
}
