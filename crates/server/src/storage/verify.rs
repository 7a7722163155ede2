//! Checks that bytes on the disk are still those that were received.

use std::ops::Range;

use futures_util::StreamExt;
use partway_hash::PartHasher;
use uuid::Uuid;

use super::{Blob, BlobStore, StorageError};

/// Bytes read at once.
const READ_BYTES: usize = 256 * 1024;

/// Whether the bytes `part` of the blob, a file of `size_bytes`, have these subtrees. Reads them all. Blocks.
///
/// # Errors
/// When the bytes cannot be read, which is not the same as being wrong.
pub fn part_is_intact(blob: &Blob, part: &Range<u64>, size_bytes: u64, subtrees: &[u8]) -> Result<bool, StorageError> {
    let mut hasher = PartHasher::new(part.clone(), size_bytes);
    read(blob, part, |bytes| hasher.update(bytes))?;
    Ok(hasher.finish() == subtrees)
}

/// The hash of a blob of `size_bytes`. Reads it all. Blocks.
///
/// # Errors
/// When the bytes cannot be read.
pub fn blob_hash(blob: &Blob, size_bytes: u64) -> Result<blake3::Hash, StorageError> {
    let mut hasher = blake3::Hasher::new();
    read(blob, &(0..size_bytes), |bytes| {
        hasher.update(bytes);
    })?;
    Ok(hasher.finalize())
}

fn read(blob: &Blob, range: &Range<u64>, mut each: impl FnMut(&[u8])) -> Result<(), StorageError> {
    let mut buffer = vec![0; READ_BYTES];
    let mut offset = range.start;
    while offset < range.end {
        let length = READ_BYTES.min(usize::try_from(range.end - offset).unwrap_or(READ_BYTES));
        blob.read_exact_at(&mut buffer[..length], offset)?;
        each(&buffer[..length]);
        offset += length as u64;
    }
    Ok(())
}

/// BLAKE3 of a whole blob of any storage, as `b3sum` prints it.
///
/// # Errors
/// When it cannot be read, or has another size.
pub async fn stream_hash(store: &dyn BlobStore, blob_id: Uuid, size_bytes: u64) -> Result<blake3::Hash, StorageError> {
    let mut stream = store.read_blob(blob_id, 0..size_bytes).await?;
    let mut hasher = blake3::Hasher::new();
    while let Some(bytes) = stream.next().await {
        // A piece is small enough to be hashed between two reads: at 1 GiB/s and more, some tens of microseconds.
        hasher.update(&bytes?);
    }
    match hasher.count() {
        count if count == size_bytes => Ok(hasher.finalize()),
        came_bytes => Err(StorageError::OtherSize { storage: store.kind(), blob_id, came_bytes, size_bytes }),
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use futures_util::future::BoxFuture;
    use futures_util::{FutureExt, stream};

    use super::*;
    use crate::model::StorageKind;
    use crate::storage::{BlobHeaders, ByteSource, ByteStream, Scanned, StoredBlob};

    /// A storage whose blobs have three bytes, whatever is asked for.
    struct Short(StorageKind);

    impl BlobStore for Short {
        fn kind(&self) -> StorageKind {
            self.0
        }

        fn read_blob(&self, _: Uuid, _: Range<u64>) -> BoxFuture<'_, Result<ByteStream, StorageError>> {
            async { Ok(stream::iter([Ok(Bytes::from_static(b"abc"))]).boxed()) }.boxed()
        }

        fn put_blob<'s>(
            &'s self,
            _: Uuid,
            _: u64,
            _: &'s BlobHeaders,
            _: &'s dyn ByteSource,
        ) -> BoxFuture<'s, Result<(), StorageError>> {
            unimplemented!()
        }

        fn find_blob(&self, _: Uuid) -> BoxFuture<'_, Result<Option<StoredBlob>, StorageError>> {
            unimplemented!()
        }

        fn delete_blob(&self, _: Uuid) -> BoxFuture<'_, Result<(), StorageError>> {
            unimplemented!()
        }

        fn list_blobs(&self) -> BoxFuture<'_, Result<Vec<Scanned>, StorageError>> {
            unimplemented!()
        }

        fn check(&self) -> BoxFuture<'_, Result<(), StorageError>> {
            unimplemented!()
        }
    }

    #[tokio::test]
    async fn a_blob_of_another_size_is_named_with_its_storage() {
        for (kind, storage) in [(StorageKind::Local, "local"), (StorageKind::S3, "s3")] {
            assert_eq!(stream_hash(&Short(kind), Uuid::nil(), 3).await.unwrap(), blake3::hash(b"abc"));
            let error = stream_hash(&Short(kind), Uuid::nil(), 4).await.unwrap_err();
            let nil = Uuid::nil();
            let expected = format!("could not read blob {nil} in {storage} storage: 3 bytes came, and it has 4");
            assert_eq!(error.to_string(), expected);
        }
    }
}
