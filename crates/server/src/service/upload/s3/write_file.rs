//! Files that arrive in one piece, streamed through this server into an object of the bucket.

use std::time::{Duration, Instant};

use futures_util::StreamExt;
use uuid::Uuid;

use super::{S3Uploads, UploadError};
use crate::service::upload::backend::{FileBody, IncomingFile};
use crate::storage::{BlobStore, StorageError};

/// Minimum throughput: 8 MiB in 10 minutes, which is 14 KiB/s. Slower clients would hold one of the stream permits.
const STRETCH_BYTES: u64 = 8 << 20;
const STRETCH_TIMEOUT: Duration = Duration::from_secs(600);

impl S3Uploads {
    /// Writes all bytes of `body` into a new object.
    ///
    /// # Errors
    /// [`UploadError::Busy`] while all stream permits are taken: each stream holds two parts in memory.
    pub(super) async fn write_file(&self, file: IncomingFile<'_>, body: FileBody<'_>) -> Result<(), UploadError> {
        let _permit = self.streams.enter(file.workspace_id, file.key_kind).await?;
        let mut stretch = (Instant::now(), 0);
        let body = body.map(|bytes| {
            let bytes = bytes?;
            stretch.1 += bytes.len() as u64;
            if stretch.1 >= STRETCH_BYTES {
                stretch = (Instant::now(), 0);
            } else if stretch.0.elapsed() > STRETCH_TIMEOUT {
                return Err(UploadError::TooSlow { bytes: STRETCH_BYTES, within: STRETCH_TIMEOUT });
            }
            Ok(bytes)
        });
        self.store.put_stream(file.blob_id, file.headers, body).await
    }

    /// The entity tag of the written object, which must have this size.
    pub(super) async fn confirm_object(&self, blob_id: Uuid, size_bytes: u64) -> Result<Option<String>, UploadError> {
        match self.store.find_blob(blob_id).await? {
            Some(found) if found.size_bytes == size_bytes => Ok(found.entity_tag),
            found => {
                let there = found.map(|found| found.size_bytes).unwrap_or_default();
                let problem = format!("{there} bytes are there, {size_bytes} were written");
                Err(StorageError::Store { doing: "write to", problem }.into())
            }
        }
    }
}
