//! Size, hash and first bytes of a file as it passes.

use crate::media::HEAD_BYTES;

/// Size, hash and head of the bytes that have arrived so far.
#[derive(Debug, Default)]
pub(super) struct ByteCounter {
    pub(super) size_bytes: u64,
    pub(super) hasher: blake3::Hasher,
    /// The first bytes, by which the file's type is judged.
    pub(super) head: Vec<u8>,
}

impl ByteCounter {
    pub(super) fn add(&mut self, bytes: &[u8]) {
        self.size_bytes += bytes.len() as u64;
        self.hasher.update(bytes);
        let wanted = HEAD_BYTES.saturating_sub(self.head.len()).min(bytes.len());
        self.head.extend_from_slice(&bytes[..wanted]);
    }
}
