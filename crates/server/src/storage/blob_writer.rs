//! Writes a blob from front to back, whose size is known when its last byte has come.

use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;

use super::{Blob, StorageError, WriteGate};

/// Writes a blob from front to back.
#[derive(Debug)]
pub struct BlobWriter {
    gate: Arc<WriteGate>,
    blob: Arc<Blob>,
    next: u64,
}

impl BlobWriter {
    /// For a blob that is empty.
    pub fn new(blob: Arc<Blob>, gate: Arc<WriteGate>) -> Self {
        Self { gate, blob, next: 0 }
    }

    /// Writes the next bytes; says where they are.
    ///
    /// # Errors
    /// When the storage fails; the writer is of no more use then.
    pub async fn write(&mut self, bytes: Bytes) -> Result<Range<u64>, StorageError> {
        let begin = self.next;
        let end = begin + bytes.len() as u64;
        let blob = Arc::clone(&self.blob);
        self.gate.run(blob, move |blob| blob.write_all_at(&bytes, begin)).await?;
        self.next = end;
        Ok(begin..end)
    }
}
