//! Publication: makes a blob visible as a file at its path. [`Place`] decides whether the upload's key may use the path.

use serde_json::{Map, Value};
use uuid::Uuid;

use super::blob_retention::GracePolicy;
use super::event::{Events, NamedUrl};
use super::folder::{FolderMaker, ensure_folder};
use super::public_id::unused_public_id;
use super::replacement::Place;
use crate::db::files::{self, File};
use crate::db::{DbError, Timestamp, Tx, garbage};
use crate::input::extension;
use crate::media::FileType;
use crate::model::BlobRef;

/// A file to publish. Its bytes are durable.
#[derive(Debug, Clone)]
pub(super) struct FileDraft {
    pub(super) id: Uuid,
    pub(super) workspace_id: Uuid,
    /// The key that started the upload. It decides which file may be replaced, also when another key completes the upload.
    pub(super) api_key_id: Uuid,
    pub(super) folder: String,
    pub(super) name: String,
    pub(super) blob: BlobRef,
    pub(super) size_bytes: u64,
    pub(super) file_type: FileType,
    pub(super) dimensions: Option<(u32, u32)>,
    pub(super) hash: Option<String>,
    pub(super) tags: Vec<String>,
    pub(super) metadata: Option<Map<String, Value>>,
    pub(super) custom_id: Option<String>,
    pub(super) upload_source: &'static str,
    /// The ETag of the object in a bucket.
    pub(super) entity_tag: Option<String>,
    /// The URL that receives the event, in addition to the webhooks of the workspace.
    pub(super) webhook_url: Option<String>,
}

/// Publishes the file. A file that was at its path is deleted, and its blob becomes garbage after the time of `grace`. The
/// workspace must be locked, and the place found in the same transaction.
pub(super) fn publish_file(
    tx: &Tx<'_>,
    events: &Events,
    draft: FileDraft,
    place: Place,
    grace: GracePolicy,
) -> Result<File, DbError> {
    let Place { key, replaced } = place;
    let folder = ensure_folder(tx, FolderMaker::of(&key), &draft.folder)?;
    let path = files::join(&draft.folder, &draft.name);
    // A public key must not learn of files of others.
    let made_with = key.is_public().then_some(key.id);
    let is_duplicate = match &draft.hash {
        // Equal CRCs of 64 bits do not prove that two files are equal.
        Some(hash) if hash.starts_with("blake3:") => files::has_hash(tx, draft.workspace_id, hash, made_with)?,
        _ => false,
    };
    if let Some(replaced) = &replaced {
        files::delete(tx, replaced)?;
        discard_blob(tx, replaced, garbage::Reason::Replaced, grace)?;
    }
    let now = Timestamp::now();
    let file = File {
        id: draft.id,
        file_no: unused_public_id(|number| files::is_file_no_taken(tx, number))?,
        workspace_id: draft.workspace_id,
        folder_id: folder.as_ref().map(|folder| folder.id),
        folder_no: folder.as_ref().map(|folder| folder.folder_no.clone()),
        folder_name: folder.map(|folder| folder.name),
        format: extension(&draft.file_type.mime_type, &draft.name),
        name: draft.name,
        path,
        blob_id: draft.blob.id,
        size_bytes: draft.size_bytes,
        mime_type: draft.file_type.mime_type,
        declared_type: Some(draft.file_type.declared),
        width: draft.dimensions.map(|(width, _)| width),
        height: draft.dimensions.map(|(_, height)| height),
        hash: draft.hash,
        tags: draft.tags,
        metadata: draft.metadata,
        custom_id: draft.custom_id,
        upload_source: draft.upload_source.to_owned(),
        is_duplicate,
        created_at: now,
        updated_at: now,
        origin_id: replaced.as_ref().map_or(draft.id, |replaced| replaced.origin_id),
        storage: draft.blob.storage,
        entity_tag: draft.entity_tag,
        api_key_id: Some(draft.api_key_id),
        charset: draft.file_type.charset.map(str::to_owned),
        content_encoding: draft.file_type.content_encoding.map(str::to_owned),
    };
    files::insert(tx, &file)?;
    let named = draft.webhook_url.as_deref().map(|url| NamedUrl { url, api_key_id: draft.api_key_id });
    let hides_replaced = key.is_public() && replaced.as_ref().is_some_and(|there| there.api_key_id != Some(key.id));
    events.file_published(tx, &file, replaced.as_ref(), named, hides_replaced)?;
    Ok(file)
}

/// Turns the blob of a deleted file into garbage, which the cleaner deletes.
pub(super) fn discard_blob(
    tx: &Tx<'_>,
    file: &File,
    reason: garbage::Reason,
    grace: GracePolicy,
) -> Result<(), DbError> {
    let dead = garbage::NewGarbage {
        blob: file.blob(),
        workspace_id: Some(file.workspace_id),
        reason,
        size_bytes: file.size_bytes,
        keep_seconds: grace.seconds(file.storage),
    };
    garbage::insert(tx, &dead)
}
