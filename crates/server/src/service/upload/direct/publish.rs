//! Making a direct upload visible.

use uuid::Uuid;

use super::byte_limit::quota_exceeded;
use super::receive::ReceivedFile;
use super::{UploadOrigin, give_up};
use crate::db::files::File;
use crate::db::{DbError, Durability, Tx, api_keys, usage, workspaces};
use crate::failpoint;
use crate::input::{CustomId, FileHash, FileName, MediaType, Metadata, UploadFields, WebhookUrl};
use crate::media::FileType;
use crate::model::PublicLimits;
use crate::service::key::Identity;
use crate::service::publish::{FileDraft, publish_file};
use crate::service::replacement::{Place, replaced_bytes};
use crate::service::unfinished::UnfinishedBlob;
use crate::service::upload::session::{check_hash, counted_at_start, quota_headroom};
use crate::service::upload::{UploadError, Uploads};

/// The final description of a file.
pub(super) struct Described {
    pub(super) fields: UploadFields,
    pub(super) name: FileName,
    /// The media type that its sender declares.
    pub(super) declared: Option<MediaType>,
    pub(super) origin: UploadOrigin,
}

impl Uploads {
    /// The file to be published.
    ///
    /// # Errors
    /// [`UploadError::HashMismatch`] when it is not the file that its `hash` names; when its header cannot be read.
    pub(super) async fn draft_of(
        &self,
        identity: &Identity,
        received: &ReceivedFile,
        described: Described,
    ) -> Result<FileDraft, UploadError> {
        let Described { fields, name, declared, origin } = described;
        let hash = format!("blake3:{}", received.counter.hasher.finalize());
        check_hash(fields.hash.as_ref().map(FileHash::as_str), Some(&hash))?;
        let file_type = FileType::of(&received.counter.head, declared.as_ref(), name.as_str());
        let (size_bytes, blob) = (received.counter.size_bytes, received.unfinished.blob());
        let pictures = self.backends.of(blob.storage)?.pictures(blob.id, size_bytes, &file_type.mime_type).await?;
        Ok(FileDraft {
            id: Uuid::now_v7(),
            workspace_id: identity.workspace_id,
            api_key_id: identity.api_key_id,
            folder: fields.folder.as_str().to_owned(),
            name: name.as_str().to_owned(),
            blob,
            size_bytes,
            file_type: file_type.with(pictures),
            dimensions: pictures.dimensions(),
            hash: Some(hash),
            tags: fields.tags.into_inner(),
            metadata: fields.metadata.map(Metadata::into_inner),
            custom_id: fields.custom_id.map(CustomId::into_inner),
            upload_source: origin.as_str(),
            entity_tag: received.entity_tag.clone(),
            webhook_url: fields.webhook_url.map(WebhookUrl::into_inner),
        })
    }

    /// Claims the received blob and makes it a file, in one transaction that is durable when this returns.
    ///
    /// # Errors
    /// When a limit or the path refuses it. Nothing remains then.
    pub(super) async fn publish_received(
        &self,
        received: ReceivedFile,
        draft: FileDraft,
        is_public: bool,
    ) -> Result<File, UploadError> {
        let ReceivedFile { bytes, unfinished, _in_flight, .. } = received;
        // From here on the blob may be a file's, even when the answer of the commit is lost.
        if let Some(bytes) = bytes {
            bytes.keep();
        }
        let (events, grace, public) = (self.records.events.clone(), self.records.grace, self.records.public);
        let settings_limit = self.limits.storage_bytes;
        let source = if draft.upload_source == UploadOrigin::Remote.as_str() { "remote" } else { "direct" };
        failpoint::hit("whole.before_commit");
        let published = self.records.db.write(Durability::PowerLoss, move |tx| {
            workspaces::lock(tx, draft.workspace_id)?;
            let place = match find_place(tx, &draft, &public, settings_limit, is_public)? {
                Ok(place) => place,
                Err(refused) => return Ok(Err(refused)),
            };
            if !UnfinishedBlob::claim(tx, draft.blob)? {
                return Ok(Err(UploadError::HeldUp));
            }
            publish_file(tx, &events, draft, place, grace).map(Ok)
        });
        // On a full disk its bytes may be what fills it. Giving up leaves a blob alone that is a file's after all.
        let file = match published.await.map_err(UploadError::from).flatten() {
            Ok(file) => file,
            Err(error) => return Err(give_up(unfinished, error).await),
        };
        failpoint::hit("whole.after_commit");
        unfinished.claimed();
        self.records.metrics.published(source, file.size_bytes);
        self.records.events.ring();
        self.garbage_bell.notify_one();
        Ok(file)
    }
}

/// The place of the file, or why it may not be there: asked before the blob is claimed, so that a refused blob stays with the cleaner.
fn find_place(
    tx: &Tx<'_>,
    draft: &FileDraft,
    public: &PublicLimits,
    settings_limit: Option<u64>,
    is_public: bool,
) -> Result<Result<Place, UploadError>, DbError> {
    // The file may have been arriving for hours: its key may be revoked by now, and the quota used up.
    if api_keys::is_ended(tx, draft.api_key_id)? {
        return Ok(Err(UploadError::KeyRevoked));
    }
    let replaced_bytes = replaced_bytes(tx, draft.workspace_id, &draft.folder, &draft.name)?;
    let counting = counted_at_start(is_public);
    let headroom = usage::find(tx, draft.workspace_id)?
        .and_then(|usage| quota_headroom(&usage, counting, settings_limit, replaced_bytes));
    if let Some(headroom) = headroom.filter(|headroom| draft.size_bytes > headroom.left_bytes()) {
        return Ok(Err(quota_exceeded(headroom, is_public)));
    }
    Ok(Place::find(tx, public, draft.api_key_id, &draft.folder, &draft.name)?.map_err(UploadError::from))
}
