//! Bringing the bytes of a direct upload into the storage.

use std::sync::Arc;

use futures_util::StreamExt;
use uuid::Uuid;

use super::byte_counter::ByteCounter;
use super::byte_limit::ByteLimit;
use super::bytes_in_flight::FileInFlight;
use super::give_up;
use crate::db::{files, usage};
use crate::failpoint;
use crate::input::SizeLimit;
use crate::model::BlobRef;
use crate::service::key::Identity;
use crate::service::unfinished::UnfinishedBlob;
use crate::service::upload::backend::{FileBody, IncomingFile};
use crate::service::upload::session::{counted_at_start, quota_headroom};
use crate::service::upload::{UploadError, Uploads};
use crate::storage::{BlobHeaders, UnclaimedBytes};

/// Bytes of a public key that arrive between two checks of the disk's free space.
const DISK_CHECK_BYTES: u64 = 16 << 20;

/// Announced size and type of a file, before its bytes arrive.
pub(super) struct Announcement {
    /// Upper bound of its size.
    pub(super) max_file: SizeLimit,
    /// Lower bound of its size in bytes.
    pub(super) at_least_bytes: Option<u64>,
    /// Its estimated size in bytes.
    pub(super) about_bytes: Option<u64>,
    /// Response headers for a store that serves the file itself.
    pub(super) headers: BlobHeaders,
}

/// A file whose bytes are durable and which nobody sees yet. Dropped, it is deleted later.
pub(super) struct ReceivedFile {
    /// Local bytes, which are freed at once if the file is given up: before its row, because on a full disk that makes the space for
    /// the row's change.
    pub(super) bytes: Option<UnclaimedBytes>,
    pub(super) unfinished: UnfinishedBlob,
    pub(super) counter: ByteCounter,
    /// The store's entity tag.
    pub(super) entity_tag: Option<String>,
    pub(super) _in_flight: FileInFlight,
}

impl ReceivedFile {
    /// Deletes it because of `error`, and returns the error to report.
    pub(super) async fn give_up(self, error: UploadError) -> UploadError {
        drop(self.bytes);
        give_up(self.unfinished, error).await
    }
}

impl Uploads {
    /// Brings the bytes of a file into the storage. When this returns they survive a power cut.
    ///
    /// # Errors
    /// The error of `body`; or there are too many bytes, or no space for them. Nothing remains then.
    pub(super) async fn receive_bytes(
        &self,
        identity: &Identity,
        announced: Announcement,
        body: FileBody<'_>,
    ) -> Result<ReceivedFile, UploadError> {
        let workspace_id = identity.workspace_id;
        let backend = self.backends.primary()?;
        let limit = self.byte_limit(identity, announced.max_file, backend.max_file_bytes()).await?;
        self.check_strangers_disk(identity, announced.about_bytes.unwrap_or_default()).await?;
        let mut in_flight = self.bytes_in_flight.enter(workspace_id, identity.kind);
        let _counted = self.records.metrics.begin_direct();
        limit.check(announced.at_least_bytes.unwrap_or_default(), in_flight.others_bytes())?;
        let blob = BlobRef { storage: self.backends.primary, id: Uuid::now_v7() };
        let bell = Arc::clone(&self.garbage_bell);
        let unfinished = UnfinishedBlob::begin(&self.records.db, blob, Some(workspace_id), bell).await?;
        failpoint::hit("whole.after_row");
        let mut counter = ByteCounter::default();
        let file = IncomingFile {
            blob_id: blob.id,
            workspace_id,
            key_kind: identity.kind,
            about_bytes: announced.about_bytes,
            headers: &announced.headers,
        };
        let counted = self.counted(identity, limit, &mut counter, &mut in_flight, body);
        let stored = tokio::select! {
            stored = backend.receive_file(file, counted) => stored,
            () = unfinished.lost() => return Err(UploadError::HeldUp),
        };
        failpoint::hit("whole.after_bytes");
        let confirmed = match stored {
            Ok(bytes) => backend.confirm_file(blob.id, counter.size_bytes).await.map(|entity_tag| (bytes, entity_tag)),
            Err(error) => Err(error),
        };
        match confirmed {
            Ok((bytes, entity_tag)) => {
                Ok(ReceivedFile { bytes, unfinished, counter, entity_tag, _in_flight: in_flight })
            }
            Err(error) => Err(give_up(unfinished, error).await),
        }
    }

    /// The limits of a file that is about to arrive. Its folder and name may follow its bytes, so until then it may be one that replaces the
    /// workspace's largest file; publishing judges it exactly.
    async fn byte_limit(
        &self,
        identity: &Identity,
        max_file: SizeLimit,
        storage_bytes: Option<u64>,
    ) -> Result<ByteLimit, UploadError> {
        let workspace_id = identity.workspace_id;
        let read = self
            .records
            .db
            .read(move |tx| Ok((usage::find(tx, workspace_id)?, files::largest_bytes(tx, workspace_id)?)));
        let (usage, replaced_bytes) = read.await?;
        let counting = counted_at_start(identity.is_public());
        let headroom =
            usage.and_then(|usage| quota_headroom(&usage, counting, self.limits.storage_bytes, replaced_bytes));
        ByteLimit::new(max_file, storage_bytes, headroom, identity.is_public())
    }

    /// Counts, hashes and limits the bytes of `body` as they pass.
    fn counted<'a>(
        &'a self,
        identity: &'a Identity,
        limit: ByteLimit,
        counter: &'a mut ByteCounter,
        in_flight: &'a mut FileInFlight,
        body: FileBody<'a>,
    ) -> FileBody<'a> {
        let mut checked_bytes = 0;
        let counted = body.then(move |bytes| {
            let counted = bytes.and_then(|bytes| {
                counter.add(&bytes);
                let others_bytes = in_flight.add(bytes.len() as u64);
                limit.check(counter.size_bytes, others_bytes)?;
                Ok(bytes)
            });
            let is_due = counter.size_bytes - checked_bytes >= DISK_CHECK_BYTES;
            if is_due {
                checked_bytes = counter.size_bytes;
            }
            async move {
                if is_due && counted.is_ok() {
                    self.check_strangers_disk(identity, 0).await?;
                }
                counted
            }
        });
        counted.boxed()
    }

    /// Checks that `about_bytes` more of a public key leave the part of the disk alone that public keys may not fill.
    async fn check_strangers_disk(&self, identity: &Identity, about_bytes: u64) -> Result<(), UploadError> {
        match self.disk_of(identity).await? {
            Some(disk) => Ok(self.records.public.check_disk("file", about_bytes, &disk)?),
            None => Ok(()),
        }
    }
}
