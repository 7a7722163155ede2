//! The bytes that are sent: different in every MiB and every run, because some stores keep equal blocks once, and
//! made without cost while the clock runs.

use std::io;

/// Every block is the same random bytes after a stamp of its own.
const BLOCK_BYTES: usize = 1024 * 1024;
const STAMP_BYTES: usize = 16;

/// One run's bytes.
#[derive(Clone)]
pub(crate) struct Payload {
    seed: u64,
    random: Vec<u8>,
}

impl Payload {
    pub(crate) fn new(seed: u64) -> Self {
        let mut random = vec![0; BLOCK_BYTES];
        blake3::Hasher::new().update(&seed.to_le_bytes()).finalize_xof().fill(&mut random);
        Self { seed, random }
    }

    /// Gives the bytes from `offset` on, block by block: the stamp and the rest. `offset` is at a block's beginning.
    pub(crate) fn blocks(
        &mut self,
        offset: u64,
        length: u64,
        mut take: impl FnMut(&[u8], &[u8]) -> io::Result<()>,
    ) -> io::Result<()> {
        let mut at = offset;
        while at < offset + length {
            let block = BLOCK_BYTES.min(usize::try_from(offset + length - at).unwrap_or(BLOCK_BYTES));
            let mut stamp = [0; STAMP_BYTES];
            stamp[..8].copy_from_slice(&self.seed.to_le_bytes());
            stamp[8..].copy_from_slice(&at.to_le_bytes());
            take(&stamp[..block.min(STAMP_BYTES)], &self.random[block.min(STAMP_BYTES)..block])?;
            at += block as u64;
        }
        Ok(())
    }

    /// The BLAKE3 of `length` bytes from `offset` on.
    pub(crate) fn hash(&mut self, offset: u64, length: u64) -> io::Result<blake3::Hash> {
        let mut hasher = blake3::Hasher::new();
        self.blocks(offset, length, |stamp, rest| {
            hasher.update(stamp).update(rest);
            Ok(())
        })?;
        Ok(hasher.finalize())
    }
}
