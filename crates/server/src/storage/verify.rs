//! Whether parts on the disk are still what was received.

use std::ops::Range;

use super::subtrees::PartHasher;
use super::{Blob, StorageError};

/// Bytes read at once.
const READ_BYTES: usize = 256 * 1024;

/// Whether the bytes `part` of the blob, a file of `size_bytes`, have these subtrees. Reads them all. Blocks.
///
/// # Errors
/// When the bytes cannot be read, which is not the same as being wrong.
pub fn part_is_intact(blob: &Blob, part: &Range<u64>, size_bytes: u64, subtrees: &[u8]) -> Result<bool, StorageError> {
    let mut hasher = PartHasher::new(part.clone(), size_bytes);
    let mut buffer = vec![0; READ_BYTES];
    let mut offset = part.start;
    while offset < part.end {
        let length = READ_BYTES.min(usize::try_from(part.end - offset).unwrap_or(READ_BYTES));
        blob.read_exact_at(&mut buffer[..length], offset)?;
        hasher.update(&buffer[..length]);
        offset += length as u64;
    }
    Ok(hasher.finish() == subtrees)
}
