//! Folders.

use uuid::Uuid;

use super::number::free_number;
use crate::db::folders::{self, FolderRef, NewFolder};
use crate::db::{DbError, Timestamp, Tx};

/// The folder of `path`, made with all folders above it where they are missing. `None` for the root.
pub(super) fn ensure_folder(tx: &Tx<'_>, workspace_id: Uuid, path: &str) -> Result<Option<FolderRef>, DbError> {
    if path.is_empty() {
        return Ok(None);
    }
    if let Some(folder) = folders::find_by_path(tx, workspace_id, path)? {
        return Ok(Some(folder));
    }
    // As deep as a path may have levels: 32.
    let (parent_path, name) = path.rsplit_once('/').unwrap_or(("", path));
    let parent = ensure_folder(tx, workspace_id, parent_path)?;
    let folder_no = free_number(|number| folders::is_folder_no_taken(tx, number))?;
    let folder = FolderRef { id: Uuid::now_v7(), folder_no };
    let new = NewFolder { workspace_id, parent_id: parent.map(|parent| parent.id), name, path };
    folders::insert(tx, &folder, &new, Timestamp::now())?;
    Ok(Some(folder))
}
