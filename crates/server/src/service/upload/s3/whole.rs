//! Files that come whole, into an object of the bucket: they pass this server.

use bytes::Bytes;
use futures_util::Stream;
use uuid::Uuid;

use super::{S3Uploads, UploadError};
use crate::storage::{BlobHeaders, BlobStore, StorageError};

impl S3Uploads {
    /// Brings all that `body` brings into a new object. Waits while many others do: each holds two parts in memory.
    pub(in super::super) async fn receive_whole(
        &self,
        blob_id: Uuid,
        headers: &BlobHeaders,
        body: impl Stream<Item = Result<Bytes, UploadError>>,
    ) -> Result<(), UploadError> {
        let _permit = self.streams.acquire().await;
        self.store.put_stream(blob_id, headers, body).await
    }

    /// The entity tag of an object that was written and must have this size.
    pub(in super::super) async fn look_at_whole(
        &self,
        blob_id: Uuid,
        size_bytes: u64,
    ) -> Result<Option<String>, UploadError> {
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
