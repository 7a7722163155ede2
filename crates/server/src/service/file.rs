//! Files: making a blob visible under its path, and finding it to serve it.

use serde_json::{Map, Value};
use uuid::Uuid;

use super::folder::ensure_folder;
use super::number::free_number;
use crate::db::files::{self, File};
use crate::db::{DbError, Timestamp, Tx, garbage};

/// A file whose bytes are durable and that is to become visible.
#[derive(Debug, Clone)]
pub(super) struct FileDraft {
    pub(super) id: Uuid,
    pub(super) workspace_id: Uuid,
    pub(super) folder: String,
    pub(super) name: String,
    pub(super) blob_id: Uuid,
    pub(super) size_bytes: u64,
    pub(super) mime_type: String,
    pub(super) format: String,
    pub(super) dimensions: Option<(u32, u32)>,
    pub(super) hash: Option<String>,
    pub(super) tags: Vec<String>,
    pub(super) metadata: Option<Map<String, Value>>,
    pub(super) custom_id: Option<String>,
    pub(super) upload_source: &'static str,
}

/// Makes the file visible. A file that was at its path is gone from then on, and its blob garbage.
pub(super) fn publish_file(tx: &Tx<'_>, draft: FileDraft) -> Result<File, DbError> {
    let folder = ensure_folder(tx, draft.workspace_id, &draft.folder)?;
    let path = if draft.folder.is_empty() { draft.name.clone() } else { format!("{}/{}", draft.folder, draft.name) };
    let is_duplicate = match &draft.hash {
        Some(hash) => files::has_hash(tx, draft.workspace_id, hash)?,
        None => false,
    };
    if let Some((blob_id, size_bytes)) = files::take_by_path(tx, draft.workspace_id, &path)? {
        garbage::insert(tx, Some(draft.workspace_id), blob_id, garbage::Reason::Replaced, size_bytes)?;
    }
    let (folder_id, folder_no) = folder.map(|folder| (folder.id, folder.folder_no)).unzip();
    let file = File {
        id: draft.id,
        file_no: free_number(|number| files::is_file_no_taken(tx, number))?,
        workspace_id: draft.workspace_id,
        folder_id,
        folder_no,
        name: draft.name,
        path,
        blob_id: draft.blob_id,
        size_bytes: draft.size_bytes,
        mime_type: draft.mime_type,
        format: draft.format,
        width: draft.dimensions.map(|(width, _)| width),
        height: draft.dimensions.map(|(_, height)| height),
        hash: draft.hash,
        tags: draft.tags,
        metadata: draft.metadata,
        custom_id: draft.custom_id,
        upload_source: draft.upload_source.to_owned(),
        is_duplicate,
        created_at: Timestamp::now(),
    };
    files::insert(tx, &file)?;
    Ok(file)
}
