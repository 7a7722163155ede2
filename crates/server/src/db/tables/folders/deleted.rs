//! Deleted folders. A deleted folder keeps its row until the cleaner has removed its files, under a path that no other folder can
//! have: `//`, its id, `/`, and its former path.

use uuid::Uuid;

use super::row::Folder;
use crate::db::sql::{DbError, Timestamp, Tx};
use crate::db::tables::usage;

/// Ids of the first deleted folders to purge; their number follows as a parameter. Bounded, so that a step costs the same however
/// many are waiting.
macro_rules! first_deleted {
    () => {
        "SELECT id FROM folders WHERE deleted_at IS NOT NULL ORDER BY workspace_id, id LIMIT "
    };
}
pub(in crate::db::tables) use first_deleted;

/// Deletes a folder and everything below it: it is invisible from now on, and the cleaner removes the files. The workspace must
/// be locked.
pub fn delete(tx: &Tx<'_>, folder: &Folder, now: Timestamp) -> Result<(), DbError> {
    let deleted = tx.execute(
        "UPDATE folders SET path = '//' || id || '/' || path, parent_id = NULL, deleted_at = ?5 \
         WHERE workspace_id = ?1 AND (id = ?2 OR (path > ?3 AND path < ?4))",
        &[
            &folder.workspace_id.to_string(),
            &folder.id.to_string(),
            &format!("{}/", folder.path),
            &format!("{}0", folder.path),
            &now,
        ],
    )?;
    usage::change_folders(tx, folder.workspace_id, -i64::try_from(deleted).unwrap_or(i64::MAX))?;
    usage::take_files(tx, folder.workspace_id, folder.total_files, folder.total_bytes)
}

/// Whether the workspace, or any workspace, has deleted folders that are not purged yet.
pub fn any_deleted(tx: &Tx<'_>, workspace_id: Option<Uuid>) -> Result<bool, DbError> {
    match workspace_id {
        Some(id) => {
            let sql = "SELECT 1 FROM folders WHERE workspace_id = ?1 AND deleted_at IS NOT NULL LIMIT 1";
            tx.exists(sql, &[&id.to_string()])
        }
        None => tx.exists("SELECT 1 FROM folders WHERE deleted_at IS NOT NULL LIMIT 1", &[]),
    }
}

/// Removes those of the first `limit` deleted folders that have no files any more.
pub fn forget_deleted(tx: &Tx<'_>, limit: u32) -> Result<(), DbError> {
    tx.execute(
        concat!(
            "DELETE FROM folders WHERE id IN (",
            first_deleted!(),
            "?1) AND NOT EXISTS (SELECT 1 FROM files f WHERE f.folder_id = folders.id)"
        ),
        &[&limit],
    )?;
    Ok(())
}
