//! Folders. Invariant: the parent of every folder exists, and `path` is the parent's path and the name. Each workspace has a root
//! folder with an empty path, which is never shown.
//!
//! Only folders have paths, so that renaming or deleting a folder changes its row and those of the folders below it, and no file.

mod deleted;
mod list;
mod row;
mod tree;

use uuid::Uuid;

pub(super) use self::deleted::first_deleted;
pub use self::deleted::{any_deleted, delete, forget_deleted};
pub use self::list::{FolderPage, list};
pub(super) use self::row::former_path;
pub use self::row::{Folder, root};
use self::row::{SELECT, TABLE, from_row};
pub use self::tree::{measure, rename};
use super::usage;
use crate::db::sql::builder::Sql;
use crate::db::sql::{DbError, Timestamp, Tx, columns, folded};
pub use crate::model::{FolderFilter, FolderOrder};

/// Adds the root folder of a new workspace.
pub(super) fn insert_root(tx: &Tx<'_>, workspace_id: Uuid, workspace_no: &str, now: Timestamp) -> Result<(), DbError> {
    // No folder number contains a slash.
    tx.execute(
        "INSERT INTO folders (id, folder_no, workspace_id, parent_id, name, path, created_at, updated_at) \
         VALUES (?1, ?2, ?3, NULL, '', '', ?4, ?4)",
        &[&root(workspace_id).to_string(), &format!("/{workspace_no}"), &workspace_id.to_string(), &now],
    )?;
    Ok(())
}

/// The columns of a folder that its files need.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FolderRef {
    /// Its id.
    pub id: Uuid,
    /// Its public number.
    pub folder_no: String,
    /// Last segment of its path.
    pub name: String,
}

/// The folder of this path, which must not be empty.
pub fn find_by_path(tx: &Tx<'_>, workspace_id: Uuid, path: &str) -> Result<Option<FolderRef>, DbError> {
    tx.optional(
        "SELECT id, folder_no, name FROM folders WHERE workspace_id = ?1 AND path = ?2 AND deleted_at IS NULL",
        &[&workspace_id.to_string(), &path],
        |row| Ok(FolderRef { id: columns::uuid(TABLE, row, 0)?, folder_no: row.get(1)?, name: row.get(2)? }),
    )
}

/// Id and path of the workspace's folder of this number, without sums.
pub fn find_place(tx: &Tx<'_>, workspace_id: Uuid, folder_no: &str) -> Result<Option<(Uuid, String)>, DbError> {
    // No folder number contains NUL, and PostgreSQL refuses it in a text.
    if folder_no.contains('\0') {
        return Ok(None);
    }
    // The root is excluded although its number, which contains a slash, cannot be requested.
    tx.optional(
        "SELECT id, path FROM folders WHERE folder_no = ?1 AND workspace_id = ?2 AND parent_id IS NOT NULL AND deleted_at IS NULL",
        &[&folder_no, &workspace_id.to_string()],
        |row| Ok((columns::uuid(TABLE, row, 0)?, row.get(1)?)),
    )
}

/// The workspace's folder of this number, with the sums of the folders below it.
pub fn find(tx: &Tx<'_>, workspace_id: Uuid, folder_no: &str) -> Result<Option<Folder>, DbError> {
    // No folder number contains NUL, and PostgreSQL refuses it in a text.
    if folder_no.contains('\0') {
        return Ok(None);
    }
    let mut sql = Sql::default();
    sql.push(SELECT, &[]).push(
        " WHERE d.folder_no = ? AND d.workspace_id = ? AND d.deleted_at IS NULL",
        &[&folder_no, &workspace_id.to_string()],
    );
    let (text, values) = sql.finish();
    tx.optional(text, &values, from_row)
}

/// Whether the number is taken.
pub fn is_folder_no_taken(tx: &Tx<'_>, folder_no: &str) -> Result<bool, DbError> {
    tx.exists("SELECT 1 FROM folders WHERE folder_no = ?1", &[&folder_no])
}

/// A folder to be added.
#[derive(Debug)]
pub struct NewFolder<'a> {
    /// The workspace it is in.
    pub workspace_id: Uuid,
    /// Its parent, which may be the root.
    pub parent_id: Uuid,
    /// All segments, joined by slashes.
    pub path: &'a str,
    /// The public key whose upload made it.
    pub public_key_id: Option<Uuid>,
}

/// Adds a folder.
pub fn insert(tx: &Tx<'_>, folder: &FolderRef, new: &NewFolder<'_>, now: Timestamp) -> Result<(), DbError> {
    tx.execute(
        "INSERT INTO folders (id, folder_no, workspace_id, parent_id, name, name_folded, path, created_at, updated_at, \
         public_key_id) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?8, ?9)",
        &[
            &folder.id.to_string(),
            &folder.folder_no,
            &new.workspace_id.to_string(),
            &new.parent_id.to_string(),
            &folder.name,
            &folded(&folder.name),
            &new.path,
            &now,
            &new.public_key_id.map(|id| id.to_string()),
        ],
    )?;
    usage::change_folders(tx, new.workspace_id, 1)
}

/// Counter of the folders of a workspace, without its root and deleted folders.
pub fn count_of_workspace(tx: &Tx<'_>, workspace_id: Uuid) -> Result<u64, DbError> {
    let sql = "SELECT folders_count FROM workspaces WHERE id = ?1";
    let counted = tx.optional(sql, &[&workspace_id.to_string()], |row| row.get::<i64>(0))?;
    Ok(u64::try_from(counted.unwrap_or_default()).unwrap_or_default())
}

/// Number of folders that exist and were made by uploads with a public key; counts up to `most`.
pub fn count_made_with(tx: &Tx<'_>, public_key_id: Uuid, most: u32) -> Result<u64, DbError> {
    let counted = tx.optional(
        "SELECT count(*) FROM (SELECT 1 AS one FROM folders WHERE public_key_id = ?1 LIMIT ?2) made",
        &[&public_key_id.to_string(), &most],
        |row| columns::size(TABLE, row, 0),
    )?;
    Ok(counted.unwrap_or_default())
}

/// Counts a file that came (1) or went (-1).
pub(super) fn count(tx: &Tx<'_>, id: Uuid, sign: i64, size_bytes: u64) -> Result<(), DbError> {
    tx.execute(
        "UPDATE folders SET files_count = files_count + ?2, files_bytes = files_bytes + ?3 WHERE id = ?1",
        &[&id.to_string(), &sign, &(sign * columns::size_to_sql(size_bytes))],
    )?;
    Ok(())
}

/// Counter of the files directly in a folder.
pub(super) fn files_in(tx: &Tx<'_>, id: Uuid) -> Result<u64, DbError> {
    let counted = tx.optional("SELECT files_count FROM folders WHERE id = ?1", &[&id.to_string()], |row| {
        columns::size(TABLE, row, 0)
    })?;
    Ok(counted.unwrap_or_default())
}
