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
    match hasher.count() == size_bytes {
        true => Ok(hasher.finalize()),
        false => Err(StorageError::store(
            "read an object of",
            format!("{} bytes of blob {blob_id} came, which has {size_bytes}", hasher.count()),
        )),
    }
}
