//! An open blob. Positioned reads and writes only, so any number of tasks may share it.

use std::fs::File;
use std::ops::Range;
use std::os::unix::fs::FileExt;

use uuid::Uuid;

use super::{StorageError, writeback};

/// An open blob. As long as it is open its bytes stay, even when the blob is deleted.
#[derive(Debug)]
pub struct Blob {
    id: Uuid,
    file: File,
}

impl Blob {
    pub(super) fn new(id: Uuid, file: File) -> Self {
        Self { id, file }
    }

    /// Writes all of `bytes` at `offset`. Blocks.
    ///
    /// # Errors
    /// [`StorageError::Full`] when there is no room; part of the bytes may have been written.
    pub fn write_all_at(&self, bytes: &[u8], offset: u64) -> Result<(), StorageError> {
        self.file.write_all_at(bytes, offset).map_err(|source| StorageError::new("write to", self.id, source))
    }

    /// Fills `buffer` from `offset` on. Blocks.
    ///
    /// # Errors
    /// Also when the blob ends before the buffer is full.
    pub fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> Result<(), StorageError> {
        self.file.read_exact_at(buffer, offset).map_err(|source| StorageError::new("read", self.id, source))
    }

    /// Starts to write `range` to the disk, so that a later [`sync`](Self::sync) has less to do. May block.
    pub fn start_writeback(&self, range: &Range<u64>) {
        // Where the filesystem cannot, the sync does it all.
        let _ = writeback::start(&self.file, range);
    }

    /// Brings the blob's bytes and size onto the disk. Blocks.
    ///
    /// # Errors
    /// When the system cannot; nothing may then be assumed of bytes written before.
    pub fn sync(&self) -> Result<(), StorageError> {
        self.file.sync_data().map_err(|source| StorageError::new("sync", self.id, source))
    }

    /// A second handle for code that reads at a position of its own. Writes go through [`Blob`] alone.
    ///
    /// # Errors
    /// When the system has no handle left.
    pub fn reader(&self) -> Result<BlobReader<'_>, StorageError> {
        let metadata = self.file.metadata().map_err(|source| StorageError::new("look at", self.id, source))?;
        Ok(BlobReader { blob: self, position: 0, size_bytes: metadata.len() })
    }
}

/// Reads a blob from a position of its own, as `std::io::Read` and `Seek` want it.
#[derive(Debug)]
pub struct BlobReader<'b> {
    blob: &'b Blob,
    position: u64,
    size_bytes: u64,
}

impl std::io::Read for BlobReader<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let read = self.blob.file.read_at(buffer, self.position)?;
        self.position += read as u64;
        Ok(read)
    }
}

impl std::io::Seek for BlobReader<'_> {
    fn seek(&mut self, to: std::io::SeekFrom) -> std::io::Result<u64> {
        let target = match to {
            std::io::SeekFrom::Start(offset) => Some(offset),
            std::io::SeekFrom::Current(delta) => self.position.checked_add_signed(delta),
            std::io::SeekFrom::End(delta) => self.size_bytes.checked_add_signed(delta),
        };
        self.position = target.ok_or(std::io::ErrorKind::InvalidInput)?;
        Ok(self.position)
    }
}
