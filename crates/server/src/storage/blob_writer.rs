//! Writes a blob from front to back, whose size is known when its last byte has come.

use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;

use super::{Blob, Promise, StorageError, UnclaimedBytes, WriteGate};

/// Writes a blob from front to back, within what the disk's room promised it. Dropped before its end, also in the middle of a
/// write, it gives back what was written.
#[derive(Debug)]
pub struct BlobWriter {
    gate: Arc<WriteGate>,
    next: u64,
    /// Away while a blocking thread has it.
    position: Option<Position>,
}

/// Held by whoever may be writing.
#[derive(Debug)]
struct Position {
    bytes: UnclaimedBytes,
    promise: Promise,
}

impl BlobWriter {
    /// For a blob that is empty.
    pub fn new(blob: Arc<Blob>, gate: Arc<WriteGate>, promise: Promise) -> Self {
        let position = Position { bytes: UnclaimedBytes::new(blob), promise };
        Self { gate, next: 0, position: Some(position) }
    }

    /// How many bytes may be written before more are promised.
    pub fn promised_bytes(&self) -> u64 {
        self.position.as_ref().map_or(0, |position| position.promise.left_bytes())
    }

    /// Has so many more bytes promised.
    ///
    /// # Errors
    /// [`StorageError::Full`]; the writer is of no more use then.
    pub async fn extend(&mut self, bytes: u64) -> Result<(), StorageError> {
        let mut position = self.position.take().ok_or(StorageError::Stopped)?;
        let extended = tokio::task::spawn_blocking(move || {
            let blob_id = position.bytes.blob().id();
            position.promise.extend(bytes).map_err(|source| StorageError::new("write to", blob_id, source))?;
            Ok::<_, StorageError>(position)
        });
        self.position = Some(extended.await.map_err(StorageError::from)??);
        Ok(())
    }

    /// Writes the next bytes; says where they are.
    ///
    /// # Errors
    /// When the storage fails; the writer is of no more use then.
    pub async fn write(&mut self, bytes: Bytes) -> Result<Range<u64>, StorageError> {
        let begin = self.next;
        let end = begin + bytes.len() as u64;
        let position = self.position.take().ok_or(StorageError::Stopped)?;
        let write = move |position: &mut Position| {
            position.bytes.blob().write_all_at(&bytes, begin)?;
            position.promise.written(bytes.len() as u64);
            Ok(())
        };
        self.position = Some(self.gate.run(position, write).await?);
        self.next = end;
        Ok(begin..end)
    }

    /// The bytes that were written.
    ///
    /// # Errors
    /// After a write that failed.
    pub fn finish(self) -> Result<UnclaimedBytes, StorageError> {
        Ok(self.position.ok_or(StorageError::Stopped)?.bytes)
    }
}
