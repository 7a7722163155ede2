//! Folders: creating, listing, renaming and deleting them.

use std::sync::Arc;

use partway_api::ErrorCode;
use partway_api::limits::{MAX_FOLDER_BYTES, MAX_FOLDER_LEVELS};
use uuid::Uuid;

use super::error::WorkspaceError;
use super::key::Identity;
use super::public_id::unused_public_id;
use crate::db::api_keys::ApiKey;
pub use crate::db::folders::FolderOrder;
use crate::db::folders::{self, Folder, FolderFilter, FolderPage, FolderRef, NewFolder};
use crate::db::{Db, DbError, Durability, Timestamp, Tx, files, sessions, workspaces};
use crate::input::{FolderName, InvalidInput, quote_for_message};

/// The creator of folders.
#[derive(Debug, Clone, Copy)]
pub(super) struct FolderMaker {
    /// The workspace.
    workspace_id: Uuid,
    /// The public key that creates them, whose folders are counted.
    public_key_id: Option<Uuid>,
}

impl FolderMaker {
    /// A creator without a limit of its own.
    pub(super) fn unlimited(workspace_id: Uuid) -> Self {
        Self { workspace_id, public_key_id: None }
    }

    /// The holder of a key.
    pub(super) fn of(key: &ApiKey) -> Self {
        Self { workspace_id: key.workspace_id, public_key_id: key.is_public().then_some(key.id) }
    }
}

/// The folder of `path`, created with its parents where they are missing. `None` for the root.
pub(super) fn ensure_folder(tx: &Tx<'_>, maker: FolderMaker, path: &str) -> Result<Option<FolderRef>, DbError> {
    if path.is_empty() {
        return Ok(None);
    }
    if let Some(folder) = folders::find_by_path(tx, maker.workspace_id, path)? {
        return Ok(Some(folder));
    }
    // Recurses at most as deep as a path may have levels: 32.
    let (parent_path, name) = files::split(path);
    let parent = ensure_folder(tx, maker, parent_path)?;
    let parent_id = parent.map_or_else(|| folders::root(maker.workspace_id), |parent| parent.id);
    insert_folder(tx, maker, parent_id, name, path).map(Some)
}

/// The number of folders of `path` that do not exist.
pub(super) fn count_missing(tx: &Tx<'_>, workspace_id: Uuid, path: &str) -> Result<u64, DbError> {
    let (mut missing, mut rest) = (0, path);
    while !rest.is_empty() && folders::find_by_path(tx, workspace_id, rest)?.is_none() {
        missing += 1;
        rest = files::split(rest).0;
    }
    Ok(missing)
}

/// Checks that the missing folders of `path` keep the workspace within `max_folders`. `field` names the field of the request.
/// The workspace must be locked if they are created afterwards.
pub(super) fn check_new_folders(
    tx: &Tx<'_>,
    workspace_id: Uuid,
    field: &str,
    path: &str,
    max_folders: u32,
) -> Result<Result<(), InvalidInput>, DbError> {
    let missing = count_missing(tx, workspace_id, path)?;
    let there = folders::count_of_workspace(tx, workspace_id)?;
    if missing == 0 || there.saturating_add(missing) <= u64::from(max_folders) {
        return Ok(Ok(()));
    }
    let left = u64::from(max_folders).saturating_sub(there);
    let was = format!("{}, of which {missing} folders do not exist", quote_for_message(path));
    let allowed = format!(
        "existing folders, and {left} new ones: a workspace may have {max_folders} folders \
         (limits.workspace_folders)"
    );
    Ok(Err(InvalidInput::new(ErrorCode::StorageLimitExceeded, field, was, allowed)))
}

fn insert_folder(
    tx: &Tx<'_>,
    maker: FolderMaker,
    parent_id: Uuid,
    name: &str,
    path: &str,
) -> Result<FolderRef, DbError> {
    let folder_no = unused_public_id(|number| folders::is_folder_no_taken(tx, number))?;
    let folder = FolderRef { id: Uuid::now_v7(), folder_no, name: name.to_owned() };
    let FolderMaker { workspace_id, public_key_id } = maker;
    folders::insert(tx, &folder, &NewFolder { workspace_id, parent_id, path, public_key_id }, Timestamp::now())?;
    Ok(folder)
}

/// Which folders are listed.
#[derive(Debug, Clone, Default)]
pub struct ListFolders {
    /// Only folders directly in the folder of this number. Without it, `search` and `path`: those at the root.
    pub parent_folder_no: Option<String>,
    /// Only folders whose name contains this.
    pub search: Option<String>,
    /// Only the folder at this path, in Unicode's form C.
    pub path: Option<String>,
}

/// The folders of all workspaces.
#[derive(Debug, Clone)]
pub struct Folders {
    db: Db,
    /// Rings when there is garbage.
    garbage_bell: Arc<tokio::sync::Notify>,
    /// Upper bound per workspace.
    max_folders: u32,
}

/// A folder and the contents of its subtree.
#[derive(Debug, Clone)]
pub struct Subtree {
    /// The folder, with the totals of its subtree.
    pub folder: Folder,
    /// Number of folders below it.
    pub folders: u64,
}

impl Folders {
    /// The folders of one database, at most `max_folders` in a workspace.
    pub fn new(db: Db, garbage_bell: Arc<tokio::sync::Notify>, max_folders: u32) -> Self {
        Self { db, garbage_bell, max_folders }
    }

    /// One page of folders, counted from 1.
    ///
    /// # Errors
    /// [`WorkspaceError::FolderNotFound`].
    pub async fn list(
        &self,
        identity: &Identity,
        wanted: ListFolders,
        order: FolderOrder,
        page: u32,
        limit: u32,
    ) -> Result<FolderPage, WorkspaceError> {
        let workspace_id = identity.workspace_id;
        let offset = u64::from(page.saturating_sub(1)) * u64::from(limit);
        // The count and the page come from the same snapshot.
        let listed = self.db.scan(workspace_id, move |tx| {
            let ListFolders { parent_folder_no, search, path } = wanted;
            let parent_id = match parent_folder_no {
                None if search.is_some() || path.is_some() => None,
                None => Some(folders::root(workspace_id)),
                Some(number) => match folders::find_place(tx, workspace_id, &number)? {
                    Some((id, _)) => Some(id),
                    None => return Ok(Err(WorkspaceError::FolderNotFound(number))),
                },
            };
            folders::list(tx, workspace_id, &FolderFilter { parent_id, search, path }, order, limit, offset).map(Ok)
        });
        listed.await?
    }

    /// Creates a folder.
    ///
    /// # Errors
    /// [`WorkspaceError::FolderExists`], [`WorkspaceError::FolderNotFound`] for the parent, and [`WorkspaceError::Invalid`] when
    /// the workspace has no room for another folder.
    pub async fn create(
        &self,
        identity: &Identity,
        name: FolderName,
        parent_folder_no: Option<String>,
    ) -> Result<Folder, WorkspaceError> {
        let (workspace_id, max_folders) = (identity.workspace_id, self.max_folders);
        let made = self.db.write(Durability::PowerLoss, move |tx| {
            workspaces::lock(tx, workspace_id)?;
            let (parent_id, parent_path) = match parent_folder_no {
                None => (folders::root(workspace_id), String::new()),
                Some(number) => match folders::find_place(tx, workspace_id, &number)? {
                    Some(place) => place,
                    None => return Ok(Err(WorkspaceError::FolderNotFound(number))),
                },
            };
            let path = files::join(&parent_path, name.as_str());
            if let Err(error) = check_path(path.len() as u64, path.split('/').count()) {
                return Ok(Err(error));
            }
            if folders::find_by_path(tx, workspace_id, &path)?.is_some() {
                return Ok(Err(WorkspaceError::FolderExists(path)));
            }
            if let Err(refused) = check_new_folders(tx, workspace_id, "name", &path, max_folders)? {
                return Ok(Err(refused.into()));
            }
            let maker = FolderMaker::unlimited(workspace_id);
            let made = insert_folder(tx, maker, parent_id, name.as_str(), &path)?;
            found_again(tx, workspace_id, &made.folder_no).map(Ok)
        });
        made.await?
    }

    /// Renames a folder. The paths of everything below it change, too, and open uploads follow.
    ///
    /// # Errors
    /// [`WorkspaceError::FolderExists`], [`WorkspaceError::FolderNotFound`].
    pub async fn rename(
        &self,
        identity: &Identity,
        folder_no: String,
        name: FolderName,
    ) -> Result<Folder, WorkspaceError> {
        let workspace_id = identity.workspace_id;
        let renamed = self.db.write(Durability::PowerLoss, move |tx| {
            // Sessions are locked before their workspace, as everywhere.
            if let Some((_, path)) = folders::find_place(tx, workspace_id, &folder_no)? {
                sessions::lock_below(tx, workspace_id, &path)?;
            }
            workspaces::lock(tx, workspace_id)?;
            let Some(folder) = folders::find(tx, workspace_id, &folder_no)? else {
                return Ok(Err(WorkspaceError::FolderNotFound(folder_no)));
            };
            let path = files::join(files::split(&folder.path).0, name.as_str());
            if path == folder.path {
                return Ok(Ok(folder));
            }
            if folders::find_by_path(tx, workspace_id, &path)?.is_some() {
                return Ok(Err(WorkspaceError::FolderExists(path)));
            }
            let (_, longest) = folders::measure(tx, &folder)?;
            let longest = longest - folder.path.len() as u64 + path.len() as u64;
            if let Err(error) = check_path(longest, 1) {
                return Ok(Err(error));
            }
            folders::rename(tx, &folder, name.as_str(), &path, Timestamp::now())?;
            sessions::follow_folder(tx, workspace_id, &folder.path, &path)?;
            found_again(tx, workspace_id, &folder_no).map(Ok)
        });
        renamed.await?
    }

    /// The folder with the contents that its deletion would delete.
    ///
    /// # Errors
    /// [`WorkspaceError::FolderNotFound`].
    pub async fn subtree(&self, identity: &Identity, folder_no: String) -> Result<Subtree, WorkspaceError> {
        let workspace_id = identity.workspace_id;
        let found = self.db.scan(workspace_id, move |tx| {
            let Some(folder) = folders::find(tx, workspace_id, &folder_no)? else {
                return Ok(Err(WorkspaceError::FolderNotFound(folder_no)));
            };
            let (folders, _) = folders::measure(tx, &folder)?;
            Ok(Ok(Subtree { folder, folders }))
        });
        found.await?
    }

    /// Deletes a folder with everything below it. It is invisible at once; the cleaner purges its files in batches, with an event
    /// for each.
    ///
    /// # Errors
    /// [`WorkspaceError::FolderNotFound`].
    pub async fn delete(&self, identity: &Identity, folder_no: String) -> Result<(), WorkspaceError> {
        let workspace_id = identity.workspace_id;
        let deleted = self.db.write_to_free(Durability::PowerLoss, move |tx| {
            workspaces::lock(tx, workspace_id)?;
            let Some(folder) = folders::find(tx, workspace_id, &folder_no)? else {
                return Ok(Err(WorkspaceError::FolderNotFound(folder_no.clone())));
            };
            folders::delete(tx, &folder, Timestamp::now()).map(Ok)
        });
        deleted.await??;
        self.garbage_bell.notify_one();
        Ok(())
    }
}

fn found_again(tx: &Tx<'_>, workspace_id: Uuid, folder_no: &str) -> Result<Folder, DbError> {
    folders::find(tx, workspace_id, folder_no)?
        .ok_or_else(|| DbError::Corrupt { table: "folders", problem: format!("{folder_no} is gone") })
}

fn check_path(longest_bytes: u64, levels: usize) -> Result<(), WorkspaceError> {
    if longest_bytes > MAX_FOLDER_BYTES as u64 || levels > MAX_FOLDER_LEVELS {
        return Err(WorkspaceError::PathTooLong { bytes: longest_bytes, levels });
    }
    Ok(())
}
