//! [`BlobStore`] of local storage: whole blobs, on blocking threads.

use std::ops::Range;
use std::sync::Arc;

use futures_util::future::BoxFuture;
use futures_util::{FutureExt, StreamExt};
use uuid::Uuid;

use super::blob_store::{BlobHeaders, BlobStore, ByteSource, ByteStream, Scanned, StoredBlob};
use super::{Blob, LocalStore, StorageError, UnclaimedBytes};
use crate::model::StorageKind;

/// Bytes read or written at once.
const PIECE_BYTES: u64 = 256 * 1024;

impl LocalStore {
    async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Self) -> Result<T, StorageError> + Send + 'static,
    ) -> Result<T, StorageError> {
        let store = self.clone();
        tokio::task::spawn_blocking(move || work(&store)).await.unwrap_or_else(|error| Err(error.into()))
    }

    async fn put(&self, blob_id: Uuid, size_bytes: u64, source: &dyn ByteSource) -> Result<(), StorageError> {
        let (blob, mut promise) = self
            .blocking(move |store| {
                // If nothing can be reserved, the space is promised until the last byte is written.
                let promise = if store.reserves() { None } else { Some(store.promise(blob_id, size_bytes)?) };
                Ok((Arc::new(store.create(blob_id, size_bytes)?), promise))
            })
            .await?;
        let bytes_until_whole = UnclaimedBytes::new(Arc::clone(&blob));
        let mut stream = source.read(0..size_bytes).await?;
        let mut written = 0;
        while let Some(bytes) = stream.next().await {
            let (bytes, blob, at) = (bytes?, Arc::clone(&blob), written);
            written += bytes.len() as u64;
            let writing = tokio::task::spawn_blocking(move || blob.write_all_at(&bytes, at));
            writing.await.unwrap_or_else(|error| Err(error.into()))?;
            if let Some(promise) = &mut promise {
                promise.written(written - at);
            }
        }
        if written != size_bytes {
            let problem = format!("{written} bytes came for blob {blob_id}, which has {size_bytes}");
            return Err(StorageError::store("fill a blob from", problem));
        }
        self.blocking(move |store| {
            bytes_until_whole.blob().sync()?;
            store.sync_name(blob_id)?;
            bytes_until_whole.keep();
            Ok(())
        })
        .await
    }

    async fn read(&self, blob_id: Uuid, range: Range<u64>) -> Result<ByteStream, StorageError> {
        let blob = Arc::new(self.blocking(move |store| store.open_for_reading(blob_id)).await?);
        let pieces = futures_util::stream::try_unfold(range.start, move |at| {
            let (blob, end) = (Arc::clone(&blob), range.end);
            async move {
                if at >= end {
                    return Ok(None);
                }
                let length = PIECE_BYTES.min(end - at);
                let reading = tokio::task::spawn_blocking(move || read_piece(&blob, at, length));
                Ok(Some((reading.await.unwrap_or_else(|error| Err(error.into()))?, at + length)))
            }
        });
        Ok(pieces.boxed())
    }
}

fn read_piece(blob: &Blob, at: u64, length: u64) -> Result<bytes::Bytes, StorageError> {
    let mut buffer = vec![0; usize::try_from(length).unwrap_or(usize::MAX)];
    blob.read_exact_at(&mut buffer, at)?;
    Ok(buffer.into())
}

impl BlobStore for LocalStore {
    fn kind(&self) -> StorageKind {
        StorageKind::Local
    }

    fn put_blob<'s>(
        &'s self,
        blob_id: Uuid,
        size_bytes: u64,
        _headers: &'s BlobHeaders,
        source: &'s dyn ByteSource,
    ) -> BoxFuture<'s, Result<(), StorageError>> {
        self.put(blob_id, size_bytes, source).boxed()
    }

    fn read_blob(&self, blob_id: Uuid, range: Range<u64>) -> BoxFuture<'_, Result<ByteStream, StorageError>> {
        self.read(blob_id, range).boxed()
    }

    fn find_blob(&self, blob_id: Uuid) -> BoxFuture<'_, Result<Option<StoredBlob>, StorageError>> {
        let found = self.blocking(move |store| store.size_bytes(blob_id));
        async { Ok(found.await?.map(|size_bytes| StoredBlob { size_bytes, entity_tag: None, crc64nvme: None })) }
            .boxed()
    }

    fn delete_blob(&self, blob_id: Uuid) -> BoxFuture<'_, Result<(), StorageError>> {
        self.blocking(move |store| store.delete(blob_id)).boxed()
    }

    fn list_blobs(&self) -> BoxFuture<'_, Result<Vec<Scanned>, StorageError>> {
        self.blocking(|store| {
            let mut found = Vec::new();
            let scanned = store.scan(|entry| found.push(entry));
            scanned.map_err(StorageError::DataDir)?;
            Ok(found)
        })
        .boxed()
    }

    fn check(&self) -> BoxFuture<'_, Result<(), StorageError>> {
        self.blocking(|store| store.check_root().map_err(StorageError::DataDir)).boxed()
    }
}
