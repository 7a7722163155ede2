//! Writes a blob sequentially, whose size is known when its last byte has come.

use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;

use super::{Blob, Promise, StorageError, UnclaimedBytes, WriteGate};

/// Writes a blob sequentially, within the promise of the disk. Dropping it before its end, also during a write, returns the
/// written bytes to the disk.
#[derive(Debug)]
pub struct BlobWriter {
    gate: Arc<WriteGate>,
    next: u64,
    /// `None` while a blocking thread has it.
    position: Option<Position>,
}

/// Held during a write.
#[derive(Debug)]
struct Position {
    bytes: UnclaimedBytes,
    promise: Promise,
}

impl BlobWriter {
    /// A writer of an empty blob.
    pub fn new(blob: Arc<Blob>, gate: Arc<WriteGate>, promise: Promise) -> Self {
        let position = Position { bytes: UnclaimedBytes::new(blob), promise };
        Self { gate, next: 0, position: Some(position) }
    }

    /// Bytes that may be written before more must be promised.
    pub fn promised_bytes(&self) -> u64 {
        self.position.as_ref().map_or(0, |position| position.promise.left_bytes())
    }

    /// Gets a promise of `bytes` more.
    ///
    /// # Errors
    /// [`StorageError::Full`]; the writer cannot be used again.
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

    /// Writes the next bytes and returns their range.
    ///
    /// # Errors
    /// When the storage fails; the writer cannot be used again.
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

    /// The written bytes.
    ///
    /// # Errors
    /// After a failed write.
    pub fn finish(self) -> Result<UnclaimedBytes, StorageError> {
        Ok(self.position.ok_or(StorageError::Stopped)?.bytes)
    }
}
