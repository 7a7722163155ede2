//! Files: making a blob visible under its path, and finding it to serve it.

use serde_json::{Map, Value};
use uuid::Uuid;

use super::folder::ensure_folder;
use super::number::free_number;
use crate::db::files::{self, File};
use crate::db::{DbError, Timestamp, Tx, garbage};
use crate::storage::{BlobRef, StorageKind};

/// A file whose bytes are durable and that is to become visible.
#[derive(Debug, Clone)]
pub(super) struct FileDraft {
    pub(super) id: Uuid,
    pub(super) workspace_id: Uuid,
    pub(super) folder: String,
    pub(super) name: String,
    pub(super) blob: BlobRef,
    pub(super) size_bytes: u64,
    pub(super) mime_type: String,
    pub(super) format: String,
    pub(super) dimensions: Option<(u32, u32)>,
    pub(super) hash: Option<String>,
    pub(super) tags: Vec<String>,
    pub(super) metadata: Option<Map<String, Value>>,
    pub(super) custom_id: Option<String>,
    pub(super) upload_source: &'static str,
    /// What the bucket's store calls it.
    pub(super) entity_tag: Option<String>,
}

/// Makes the file visible. A file that was at its path is gone from then on, and its blob garbage, kept
/// for as long as `keep_seconds` says. The workspace must be locked.
pub(super) fn publish_file(
    tx: &Tx<'_>,
    draft: FileDraft,
    keep_seconds: impl FnOnce(StorageKind) -> u64,
) -> Result<File, DbError> {
    let folder = ensure_folder(tx, draft.workspace_id, &draft.folder)?;
    let path = if draft.folder.is_empty() { draft.name.clone() } else { format!("{}/{}", draft.folder, draft.name) };
    let is_duplicate = match &draft.hash {
        // A CRC of 64 bits is no proof that two files are the same.
        Some(hash) if hash.starts_with("blake3:") => files::has_hash(tx, draft.workspace_id, hash)?,
        _ => false,
    };
    if let Some((blob, size_bytes)) = files::take_by_path(tx, draft.workspace_id, &path)? {
        let replaced = garbage::NewGarbage {
            blob,
            workspace_id: Some(draft.workspace_id),
            reason: garbage::Reason::Replaced,
            size_bytes,
            keep_seconds: keep_seconds(blob.storage),
        };
        garbage::insert(tx, &replaced)?;
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
        blob_id: draft.blob.id,
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
        storage: draft.blob.storage,
        entity_tag: draft.entity_tag,
    };
    files::insert(tx, &file)?;
    Ok(file)
}
