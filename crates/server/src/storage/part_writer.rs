//! Brings one part into its place in a blob and hashes it on the way.

use std::any::Any;
use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use partway_hash::PartHasher;

use super::digests::DigestMismatch;
use super::{Blob, PartDigests, Promise, StorageError, WriteGate};

/// Writes a part from front to back.
///
/// `hold` is whatever must stay alive while a write may still be under way: a write that moved to a blocking
/// thread goes on when its request is dropped, and nobody else may write to the part until it has ended.
#[derive(Debug)]
pub struct PartWriter<H> {
    gate: Arc<WriteGate>,
    /// Away while a blocking thread has it.
    position: Option<Position<H>>,
}

#[derive(Debug)]
struct Position<H> {
    blob: Arc<Blob>,
    next: u64,
    end: u64,
    hasher: PartHasher,
    digests: PartDigests,
    room: Option<Promise>,
    _hold: H,
}

/// A part whose bytes are all in their place.
#[derive(Debug)]
pub struct WrittenPart {
    /// Its subtrees, for its record.
    pub subtrees: Vec<u8>,
    /// How its bytes differ from what its sender said of them, if they do.
    pub mismatch: Option<DigestMismatch>,
}

impl<H: Any + Send> PartWriter<H> {
    /// For the bytes `part` of a blob of `size_bytes`, which should have `digests`. `room`: what the disk promised for them,
    /// where the blob has none of its own.
    pub fn new(
        blob: Arc<Blob>,
        gate: Arc<WriteGate>,
        part: Range<u64>,
        size_bytes: u64,
        digests: PartDigests,
        room: Option<Promise>,
        hold: H,
    ) -> Self {
        let (next, end) = (part.start, part.end);
        let hasher = PartHasher::new(part, size_bytes);
        Self { gate, position: Some(Position { blob, next, end, hasher, digests, room, _hold: hold }) }
    }

    /// Bytes that the part still takes.
    pub fn missing_bytes(&self) -> u64 {
        self.position.as_ref().map_or(0, |position| position.end - position.next)
    }

    /// Writes the next bytes: at most [`missing_bytes`](Self::missing_bytes) of them.
    ///
    /// # Errors
    /// When the storage fails; the part is not whole then and the writer of no more use.
    pub async fn write(&mut self, bytes: Bytes) -> Result<(), StorageError> {
        let position = self.position.take().ok_or(StorageError::Stopped)?;
        self.position = Some(self.gate.run(position, move |position| position.write(&bytes)).await?);
        Ok(())
    }

    /// What was written. `None` while bytes are missing.
    pub fn finish(self) -> Option<WrittenPart> {
        let position = self.position.filter(|position| position.next == position.end)?;
        Some(WrittenPart { subtrees: position.hasher.finish(), mismatch: position.digests.mismatch() })
    }
}

impl<H> Position<H> {
    fn write(&mut self, bytes: &[u8]) -> Result<(), StorageError> {
        // Hashed first: it brings the bytes into the cache from which the kernel then copies them.
        self.hasher.update(bytes);
        self.digests.update(bytes);
        self.blob.write_all_at(bytes, self.next)?;
        self.next += bytes.len() as u64;
        if let Some(room) = &mut self.room {
            room.written(bytes.len() as u64);
        }
        Ok(())
    }
}
