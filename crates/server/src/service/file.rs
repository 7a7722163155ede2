//! Files: listing, finding, changing and deleting them.

use std::sync::Arc;

use serde_json::{Map, Value};
use tokio::sync::Notify;

use super::blob_retention::GracePolicy;
use super::error::WorkspaceError;
use super::event::Events;
use super::folder::{FolderMaker, check_new_folders, ensure_folder};
use super::key::Identity;
use super::publish::discard_blob;
use crate::db::file_list::{self, FilePage};
pub use crate::db::file_list::{FileFilter, FileKey, FileOrder};
use crate::db::files;
pub use crate::db::files::File;
use crate::db::{Db, DbError, Durability, Timestamp, Tx, folders, garbage, workspaces};
use crate::input::{FileName, FolderPath, Metadata, Tags, extension};

/// Files of deleted folders that are purged in one transaction: some milliseconds in SQLite and some hundred statements in
/// PostgreSQL, so that uploads do not wait long for it.
const PURGE_BATCH: u32 = 100;

/// The files of all workspaces.
#[derive(Debug, Clone)]
pub struct Files {
    db: Db,
    events: Events,
    /// Rings when there is garbage.
    garbage_bell: Arc<Notify>,
    /// How long the blobs of deleted files are kept.
    grace: GracePolicy,
    /// Upper bound of folders per workspace.
    max_folders: u32,
}

/// Which files are listed.
#[derive(Debug, Clone, Default)]
pub struct ListFiles {
    /// Only files directly in the folder of this number; with [`ROOT`], those at the root of the workspace.
    pub folder_no: Option<String>,
    /// Further conditions.
    pub filter: FileFilter,
}

/// The value of `folder_no` for the root of the workspace.
pub const ROOT: &str = "root";

/// A change of the tags and metadata of a file.
#[derive(Debug, Clone, Default)]
pub struct FileChange {
    /// Tags to add.
    pub add_tags: Tags,
    /// Tags to remove.
    pub remove_tags: Tags,
    /// Members to set; null removes one.
    pub metadata: Option<Map<String, Value>>,
}

impl Files {
    /// The files of one database, with at most `max_folders` folders in a workspace.
    pub fn new(db: Db, events: Events, garbage_bell: Arc<Notify>, grace: GracePolicy, max_folders: u32) -> Self {
        Self { db, events, garbage_bell, grace, max_folders }
    }

    /// One page of files, counted from 1.
    ///
    /// # Errors
    /// [`WorkspaceError::FolderNotFound`].
    pub async fn list(
        &self,
        identity: &Identity,
        wanted: ListFiles,
        order: FileOrder,
        page: u32,
        limit: u32,
    ) -> Result<FilePage, WorkspaceError> {
        let workspace_id = identity.workspace_id;
        let offset = u64::from(page.saturating_sub(1)) * u64::from(limit);
        // The count and the page come from the same snapshot.
        let listed = self.db.scan(workspace_id, move |tx| {
            let ListFiles { folder_no, mut filter } = wanted;
            filter.folder_id = match folder_no.as_deref() {
                None => None,
                Some(ROOT) => Some(folders::root(workspace_id)),
                Some(number) => match folders::find_place(tx, workspace_id, number)? {
                    Some((id, _)) => Some(id),
                    None => return Ok(Err(WorkspaceError::FolderNotFound(number.to_owned()))),
                },
            };
            file_list::list(tx, workspace_id, &filter, order, limit, offset).map(Ok)
        });
        listed.await?
    }

    /// The file of this number.
    ///
    /// # Errors
    /// [`WorkspaceError::FileNotFound`].
    pub async fn find(&self, identity: &Identity, file_no: String) -> Result<File, WorkspaceError> {
        let workspace_id = identity.workspace_id;
        let found = self.db.read(move |tx| find(tx, workspace_id, file_no));
        found.await?
    }

    /// Changes a file's tags and metadata.
    ///
    /// # Errors
    /// When the file would have too many tags or too much metadata; it is unchanged then.
    pub async fn update(
        &self,
        identity: &Identity,
        file_no: String,
        change: FileChange,
    ) -> Result<File, WorkspaceError> {
        self.change(identity, file_no, move |tx, mut file| {
            let FileChange { add_tags, remove_tags, metadata } = change;
            let before = (file.tags.clone(), file.metadata.clone());
            let remove_tags = remove_tags.into_inner();
            let mut tags = std::mem::take(&mut file.tags);
            tags.retain(|tag| !remove_tags.contains(tag));
            tags.extend(add_tags.into_inner());
            file.tags = match Tags::of(tags, "add_tags") {
                Ok(tags) => tags.into_inner(),
                Err(error) => return Ok(Err(error.into())),
            };
            if let Some(changes) = metadata {
                file.metadata = match Metadata::merge(file.metadata.take().unwrap_or_default(), changes) {
                    Ok(merged) => Some(merged.into_inner()),
                    Err(error) => return Ok(Err(error.into())),
                };
            }
            if (&file.tags, &file.metadata) != (&before.0, &before.1) {
                file.updated_at = Timestamp::now();
                files::update(tx, &file, &before.0)?;
            }
            Ok(Ok(file))
        })
        .await
    }

    /// Renames a file, which keeps its extension, or moves it to another folder, which is created if it is missing.
    ///
    /// # Errors
    /// [`WorkspaceError::FileExists`] when the name is in use; nothing has changed then.
    pub async fn rename(
        &self,
        identity: &Identity,
        file_no: String,
        name: Option<FileName>,
        folder: Option<FolderPath>,
    ) -> Result<File, WorkspaceError> {
        let (api_key_id, max_folders) = (identity.api_key_id, self.max_folders);
        self.change(identity, file_no, move |tx, file| {
            let name = match name.map(|name| name.with_extension_of(&file.name)).transpose() {
                Ok(name) => name.map_or_else(|| file.name.clone(), |name| name.as_str().to_owned()),
                Err(error) => return Ok(Err(error.into())),
            };
            let path = folder.as_ref().map_or(files::split(&file.path).0, FolderPath::as_str).to_owned();
            let new_path = files::join(&path, &name);
            if new_path == file.path {
                return Ok(Ok(file));
            }
            // Checked before folders are created, so that a refusal leaves nothing.
            let root = folders::root(file.workspace_id);
            let there = folders::find_by_path(tx, file.workspace_id, &path)?.map(|folder| folder.id);
            let there = there.or(path.is_empty().then_some(root));
            if let Some(folder_id) = there
                && files::find_in(tx, folder_id, &name)?.is_some()
            {
                return Ok(Err(WorkspaceError::FileExists(new_path)));
            }
            if let Err(refused) = check_new_folders(tx, file.workspace_id, "folder", &path, max_folders)? {
                return Ok(Err(refused.into()));
            }
            let maker = FolderMaker::unlimited(file.workspace_id);
            let folder_id = ensure_folder(tx, maker, &path)?.map_or(root, |folder| folder.id);
            let format = extension(&file.mime_type, &name);
            // The file belongs to the key that moved it from now on: the public key of its upload may not replace it any more.
            let place = files::NewPlace { folder_id, name: &name, format: &format, api_key_id };
            files::rename(tx, &file, &place, Timestamp::now())?;
            find(tx, file.workspace_id, file.file_no)
        })
        .await
    }

    /// Deletes a file. Its bytes are deleted after the last reader has finished, or after the grace period of a bucket.
    ///
    /// # Errors
    /// [`WorkspaceError::FileNotFound`].
    pub async fn delete(&self, identity: &Identity, file_no: String) -> Result<(), WorkspaceError> {
        let (events, grace) = (self.events.clone(), self.grace);
        let delete = on_file(identity.workspace_id, file_no, move |tx: &Tx<'_>, file: File| {
            files::delete(tx, &file)?;
            discard(tx, &events, &file, grace).map(Ok)
        });
        self.db.write_to_free(Durability::PowerLoss, delete).await??;
        self.events.ring();
        self.garbage_bell.notify_one();
        Ok(())
    }

    /// Runs a transaction on a file, with its workspace locked.
    async fn change<T: Send + 'static>(
        &self,
        identity: &Identity,
        file_no: String,
        change: impl FnOnce(&Tx<'_>, File) -> Result<Result<T, WorkspaceError>, DbError> + Send + 'static,
    ) -> Result<T, WorkspaceError> {
        let workspace_id = identity.workspace_id;
        let changed = self.db.write(Durability::PowerLoss, move |tx| {
            workspaces::lock(tx, workspace_id)?;
            match find(tx, workspace_id, file_no)? {
                // A change must be refused before it writes anything.
                Ok(file) => change(tx, file),
                Err(error) => Ok(Err(error)),
            }
        });
        changed.await?
    }

    /// Purges a batch of files of deleted folders, and the folders without files. False when there are none left.
    ///
    /// # Errors
    /// When the database fails; batches that were committed stay.
    pub async fn purge_deleted(&self) -> Result<bool, DbError> {
        if !self.db.read(|tx| folders::any_deleted(tx, None)).await? {
            return Ok(false);
        }
        let (events, grace) = (self.events.clone(), self.grace);
        let purged = self.db.write_to_free(Durability::PowerLoss, move |tx| {
            let files = files::list_deleted(tx, PURGE_BATCH)?;
            for file in &files {
                // Events of a workspace are numbered, so it must be locked.
                workspaces::lock(tx, file.workspace_id)?;
                // Another node, whose lease has expired, may have purged it.
                if files::delete_uncounted(tx, file)? {
                    discard(tx, &events, file, grace)?;
                }
            }
            folders::forget_deleted(tx, PURGE_BATCH)?;
            Ok(files.len())
        });
        if purged.await? > 0 {
            self.events.ring();
        }
        Ok(true)
    }
}

/// A transaction on a file that frees space, with its workspace locked.
fn on_file<T>(
    workspace_id: uuid::Uuid,
    file_no: String,
    change: impl Fn(&Tx<'_>, File) -> Result<Result<T, WorkspaceError>, DbError> + Clone,
) -> impl Fn(&Tx<'_>) -> Result<Result<T, WorkspaceError>, DbError> + Clone {
    move |tx| {
        workspaces::lock(tx, workspace_id)?;
        match find(tx, workspace_id, file_no.clone())? {
            Ok(file) => change(tx, file),
            Err(error) => Ok(Err(error)),
        }
    }
}

fn find(tx: &Tx<'_>, workspace_id: uuid::Uuid, file_no: String) -> Result<Result<File, WorkspaceError>, DbError> {
    Ok(files::find(tx, workspace_id, &file_no)?.ok_or(WorkspaceError::FileNotFound(file_no)))
}

/// Turns the blob of a deleted file into garbage, and emits the event.
fn discard(tx: &Tx<'_>, events: &Events, file: &File, grace: GracePolicy) -> Result<(), DbError> {
    discard_blob(tx, file, garbage::Reason::Deleted, grace)?;
    events.file_deleted(tx, file)
}
