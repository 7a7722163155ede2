//! Files that come whole: in one request, or from a URL.
//!
//! Their bytes go into a blob that belongs to nobody (`unfinished.rs`) while they come, and are hashed and counted on the
//! way. One transaction then makes the file visible. Cut off anywhere before, nothing is left.

use std::sync::Arc;

use bytes::Bytes;
use futures_util::{Stream, StreamExt};
use uuid::Uuid;

use super::backend::IncomingFile;
use super::in_flight::InFlightFile;
use super::session::{QuotaHeadroom, UPLOAD_SOURCE, check_hash, counted_at_start, quota_headroom};
use super::tasks::to_its_end;
use super::{UploadError, Uploads};
use crate::db::files::{self, File};
use crate::db::{Durability, api_keys, usage, workspaces};
use crate::failpoint;
use crate::input::{FileHash, FileName, FolderPath, MediaType, SizeLimit, UploadFields};
use crate::media::{FileType, HEAD_BYTES};
use crate::model::BlobRef;
use crate::service::key::Identity;
use crate::service::public_keys::check_webhook_url;
use crate::service::publish::{FileDraft, Place, publish_file, replaced_bytes};
use crate::service::unfinished::UnfinishedBlob;
use crate::storage::{BlobHeaders, UnclaimedBytes};

/// Where a limit of one request is told.
pub const MOST_IN_ONE_REQUEST: &str = "here; larger ones go by multipart upload";
/// How much comes from a stranger between two looks at the free room of the disk.
const LOOK_BYTES: u64 = 16 << 20;

/// What is known of a file before its bytes come.
#[derive(Debug, Clone)]
pub struct DirectUploadHints {
    /// Most bytes it may have.
    pub max_file: SizeLimit,
    /// At least as many come, if that is known.
    pub at_least_bytes: Option<u64>,
    /// About how many come, if that is known: for a look whether the disk has room.
    pub about_bytes: Option<u64>,
    /// What a store that serves the file itself is to say of it, unless it is told otherwise for each download.
    pub headers: BlobHeaders,
}

/// A file whose bytes are durable and which nobody sees yet. Dropped, it is gone.
pub struct ReceivedFile {
    /// Local bytes, which are given back at once if nobody wants the file. Before its record goes: on a full disk they make the
    /// room for it.
    bytes: Option<UnclaimedBytes>,
    unfinished: UnfinishedBlob,
    tally: ByteCounter,
    /// What the bucket's store calls it.
    entity_tag: Option<String>,
    _under_way: InFlightFile,
}

impl ReceivedFile {
    /// Nobody wants it: it goes at once. Dropped, it goes later.
    ///
    /// # Errors
    /// When the database fails; then it goes later, too.
    pub async fn give_up(self) -> Result<(), UploadError> {
        drop(self.bytes);
        Ok(self.unfinished.give_up().await?)
    }
}

/// How files say where they came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UploadOrigin {
    /// A request to the API.
    Api,
    /// A URL.
    Remote,
}

impl UploadOrigin {
    fn as_str(self) -> &'static str {
        match self {
            Self::Api => UPLOAD_SOURCE,
            Self::Remote => "remote",
        }
    }
}

/// What has come so far.
#[derive(Debug, Default)]
struct ByteCounter {
    size_bytes: u64,
    hasher: blake3::Hasher,
    head: Vec<u8>,
}

impl ByteCounter {
    fn add(&mut self, bytes: &[u8]) {
        self.size_bytes += bytes.len() as u64;
        self.hasher.update(bytes);
        let wanted = HEAD_BYTES.saturating_sub(self.head.len()).min(bytes.len());
        self.head.extend_from_slice(&bytes[..wanted]);
    }
}

impl Uploads {
    /// Brings the bytes of a file into the storage. When this returns they survive a power cut.
    ///
    /// # Errors
    /// What `body` said; or there are too many bytes, or no room for them. Nothing is left then.
    pub async fn receive_whole(
        &self,
        identity: &Identity,
        expected: DirectUploadHints,
        body: impl Stream<Item = Result<Bytes, UploadError>> + Send,
    ) -> Result<ReceivedFile, UploadError> {
        let workspace_id = identity.workspace_id;
        // Folder and name may come behind the bytes. Until then the file may be one that replaces the largest of all; it is
        // judged exactly when it is published.
        let read = self
            .records
            .db
            .read(move |tx| Ok((usage::find(tx, workspace_id)?, files::largest_bytes(tx, workspace_id)?)));
        let (usage, replaced_bytes) = read.await?;
        let counting = counted_at_start(identity.is_public());
        let room = usage.and_then(|usage| quota_headroom(&usage, counting, self.limits.storage_bytes, replaced_bytes));
        let backend = self.backends.primary()?;
        let most = Most::of(expected.max_file, backend.max_file_bytes(), room, identity.is_public())?;
        self.check_strangers_disk(identity, expected.about_bytes.unwrap_or_default()).await?;
        let mut under_way = self.under_way.enter(workspace_id, identity.kind);
        most.check(expected.at_least_bytes.unwrap_or_default(), under_way.of_others())?;
        let blob = BlobRef { storage: self.backends.primary, id: Uuid::now_v7() };
        let bell = Arc::clone(&self.garbage_bell);
        let unfinished = UnfinishedBlob::begin(&self.records.db, blob, Some(workspace_id), bell).await?;
        failpoint::hit("whole.after_row");
        let mut tally = ByteCounter::default();
        let mut looked_at_bytes = 0;
        let counted = body.then(|bytes| {
            let counted = bytes.and_then(|bytes| {
                tally.add(&bytes);
                let of_others = under_way.add(bytes.len() as u64);
                most.check(tally.size_bytes, of_others)?;
                Ok(bytes)
            });
            let looks = tally.size_bytes - looked_at_bytes >= LOOK_BYTES;
            if looks {
                looked_at_bytes = tally.size_bytes;
            }
            async move {
                if looks && counted.is_ok() {
                    self.check_strangers_disk(identity, 0).await?;
                }
                counted
            }
        });
        let file = IncomingFile {
            blob_id: blob.id,
            workspace_id,
            key_kind: identity.kind,
            about_bytes: expected.about_bytes,
            headers: &expected.headers,
        };
        let stored = tokio::select! {
            stored = backend.receive_file(file, counted.boxed()) => stored,
            () = unfinished.lost() => return Err(UploadError::HeldUp),
        };
        failpoint::hit("whole.after_bytes");
        let confirmed = match stored {
            Ok(bytes) => backend.confirm_file(blob.id, tally.size_bytes).await.map(|entity_tag| (bytes, entity_tag)),
            Err(error) => Err(error),
        };
        match confirmed {
            Ok((bytes, entity_tag)) => Ok(ReceivedFile { bytes, unfinished, tally, entity_tag, _under_way: under_way }),
            Err(error) => {
                // A store that did not answer may do yet what it was asked for.
                if !matches!(&error, UploadError::Storage(error) if error.is_transient()) {
                    unfinished.give_up().await?;
                }
                Err(error)
            }
        }
    }

    /// Whether the file's path is known to be one that the caller may not put it at. Asked before its bytes are read.
    ///
    /// # Errors
    /// FILE_EXISTS when there is a file that the caller may not replace; publishing looks again.
    pub async fn check_path(
        &self,
        identity: &Identity,
        folder: &FolderPath,
        name: &FileName,
    ) -> Result<(), UploadError> {
        if !identity.is_public() {
            return Ok(());
        }
        let (public, api_key_id) = (self.records.public, identity.api_key_id);
        let (folder, name) = (folder.as_str().to_owned(), name.as_str().to_owned());
        let place = self.records.db.read(move |tx| Place::find(tx, &public, api_key_id, &folder, &name));
        Ok(place.await?.map(drop)?)
    }

    /// Whether so many bytes more of the caller leave the disk alone that strangers may not touch.
    async fn check_strangers_disk(&self, identity: &Identity, about_bytes: u64) -> Result<(), UploadError> {
        match self.disk_of(identity).await? {
            Some(disk) => Ok(self.records.public.check_disk("file", about_bytes, &disk)?),
            None => Ok(()),
        }
    }

    /// Makes a file visible that was received. When this returns it survives a power cut. Once begun it goes on to its
    /// end, even when the request goes away.
    ///
    /// # Errors
    /// When it is not the file that `hash` names, or the workspace has no room for it any more. Nothing is left then.
    pub async fn publish_whole(
        &self,
        identity: &Identity,
        received: ReceivedFile,
        name: FileName,
        declared: &MediaType,
        fields: UploadFields,
        source: UploadOrigin,
    ) -> Result<File, UploadError> {
        let ReceivedFile { bytes, unfinished, tally, entity_tag, _under_way } = received;
        let hash = format!("blake3:{}", tally.hasher.finalize());
        if let Err(refused) = check_webhook_url(identity, fields.webhook_url.as_ref()) {
            drop(bytes);
            unfinished.give_up().await?;
            return Err(refused.into());
        }
        if let Err(mismatch) = check_hash(fields.hash.as_ref().map(FileHash::as_str), Some(&hash)) {
            drop(bytes);
            unfinished.give_up().await?;
            return Err(mismatch);
        }
        let (file_type, blob) = (FileType::of(&tally.head, declared), unfinished.blob());
        let backend = self.backends.of(blob.storage)?;
        let dimensions = backend.dimensions(blob.id, tally.size_bytes, &file_type.mime_type).await?;
        let draft = FileDraft {
            id: Uuid::now_v7(),
            workspace_id: identity.workspace_id,
            api_key_id: identity.api_key_id,
            folder: fields.folder.as_str().to_owned(),
            name: name.as_str().to_owned(),
            blob,
            size_bytes: tally.size_bytes,
            file_type,
            dimensions,
            hash: Some(hash),
            tags: fields.tags.into_inner(),
            metadata: fields.metadata.map(crate::input::Metadata::into_inner),
            custom_id: fields.custom_id.map(crate::input::CustomId::into_inner),
            upload_source: source.as_str(),
            entity_tag,
            webhook_url: fields.webhook_url.map(crate::input::WebhookUrl::into_inner),
        };
        let uploads = self.clone();
        let is_public = identity.is_public();
        to_its_end(async move { uploads.publish_claimed(bytes, unfinished, draft, is_public).await }).await
    }

    async fn publish_claimed(
        &self,
        bytes: Option<UnclaimedBytes>,
        unfinished: UnfinishedBlob,
        draft: FileDraft,
        is_public: bool,
    ) -> Result<File, UploadError> {
        // From here on the blob may be a file's, also when the answer is lost.
        if let Some(bytes) = bytes {
            bytes.keep();
        }
        let (events, grace) = (self.records.events.clone(), self.records.grace);
        let public = self.records.public;
        let settings_limit = self.limits.storage_bytes;
        failpoint::hit("whole.before_commit");
        let published = self.records.db.write(Durability::PowerLoss, move |tx| {
            workspaces::lock(tx, draft.workspace_id)?;
            // It may have come for hours.
            if api_keys::is_ended(tx, draft.api_key_id)? {
                return Ok(Err(UploadError::KeyRevoked));
            }
            // Others may have taken the room meanwhile.
            let replaced_bytes = replaced_bytes(tx, draft.workspace_id, &draft.folder, &draft.name)?;
            let room = usage::find(tx, draft.workspace_id)?;
            let counting = counted_at_start(is_public);
            let room = room.and_then(|usage| quota_headroom(&usage, counting, settings_limit, replaced_bytes));
            if let Some(room) = room.filter(|room| draft.size_bytes > room.left_bytes()) {
                return Ok(Err(no_room(room, is_public)));
            }
            // Before the blob is claimed: what is refused leaves it to the cleaner.
            let place = match Place::find(tx, &public, draft.api_key_id, &draft.folder, &draft.name)? {
                Ok(place) => place,
                Err(refused) => return Ok(Err(refused.into())),
            };
            if !UnfinishedBlob::claim(tx, draft.blob)? {
                return Ok(Err(UploadError::HeldUp));
            }
            publish_file(tx, &events, draft, place, grace).map(Ok)
        });
        let file = match published.await {
            Ok(Ok(file)) => file,
            Ok(Err(refused)) => {
                unfinished.give_up().await?;
                return Err(refused);
            }
            // Its bytes may be what fills the disk. A blob that is a file's after all is left alone.
            Err(error) => {
                if let Err(error) = unfinished.give_up().await {
                    tracing::warn!(error = %crate::error_chain::error_chain(&error), "the bytes of an upload that failed stay for a while");
                }
                return Err(error.into());
            }
        };
        failpoint::hit("whole.after_commit");
        unfinished.claimed();
        self.records.events.ring();
        self.garbage_bell.notify_one();
        Ok(file)
    }
}

/// Most bytes that a file may have, and why no more.
#[derive(Debug, Clone, Copy)]
struct Most {
    max_file: SizeLimit,
    room: Option<QuotaHeadroom>,
    is_public: bool,
}

/// The workspace is full. How full, is none of a stranger's business.
fn no_room(room: QuotaHeadroom, is_public: bool) -> UploadError {
    if is_public { UploadError::WorkspaceFull } else { UploadError::NoRoomInWorkspace(room) }
}

impl Most {
    fn of(
        mut max_file: SizeLimit,
        of_storage: Option<u64>,
        room: Option<QuotaHeadroom>,
        is_public: bool,
    ) -> Result<Self, UploadError> {
        if let Some(bytes) = of_storage.filter(|bytes| max_file.bytes > *bytes) {
            max_file = SizeLimit { bytes, whose: MOST_IN_ONE_REQUEST };
        }
        match room {
            Some(room) if room.left_bytes() == 0 => Err(no_room(room, is_public)),
            _ => Ok(Self { max_file, room, is_public }),
        }
    }

    /// Whether a file may have so many bytes, while others under way that take room from it have `of_others`.
    fn check(&self, size_bytes: u64, of_others: u64) -> Result<(), UploadError> {
        if size_bytes > self.max_file.bytes {
            return Err(UploadError::FileTooLarge(self.max_file));
        }
        match self.room {
            Some(room) if size_bytes.saturating_add(of_others) > room.left_bytes() => {
                Err(no_room(room, self.is_public))
            }
            _ => Ok(()),
        }
    }
}
