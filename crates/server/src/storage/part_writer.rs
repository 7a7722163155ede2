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
/// `hold` stays alive until the last write has ended. A write that moved to a blocking thread continues when its request is
/// dropped, and no other request may write to the part until then.
#[derive(Debug)]
pub struct PartWriter<H> {
    gate: Arc<WriteGate>,
    /// `None` while a blocking thread has it.
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

/// A part whose bytes are all written.
#[derive(Debug)]
pub struct WrittenPart {
    /// Its subtrees, for its record.
    pub subtrees: Vec<u8>,
    /// The first digest of its sender that its bytes do not have.
    pub mismatch: Option<DigestMismatch>,
}

impl<H: Any + Send> PartWriter<H> {
    /// A writer of the bytes `part` of a blob of `size_bytes`, which should have `digests`. `room`: the promise of the disk, if
    /// the blob has not reserved them.
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

    /// Bytes that are still missing.
    pub fn missing_bytes(&self) -> u64 {
        self.position.as_ref().map_or(0, |position| position.end - position.next)
    }

    /// Writes the next bytes: at most [`missing_bytes`](Self::missing_bytes) of them.
    ///
    /// # Errors
    /// When the storage fails; the part is incomplete then, and the writer cannot be used again.
    pub async fn write(&mut self, bytes: Bytes) -> Result<(), StorageError> {
        let position = self.position.take().ok_or(StorageError::Stopped)?;
        self.position = Some(self.gate.run(position, move |position| position.write(&bytes)).await?);
        Ok(())
    }

    /// The part; `None` while bytes are missing.
    pub fn finish(self) -> Option<WrittenPart> {
        let position = self.position.filter(|position| position.next == position.end)?;
        Some(WrittenPart { subtrees: position.hasher.finish(), mismatch: position.digests.mismatch() })
    }
}

impl<H> Position<H> {
    fn write(&mut self, bytes: &[u8]) -> Result<(), StorageError> {
        // Hashing comes first: it brings the bytes into the cache from which the kernel then copies them.
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
