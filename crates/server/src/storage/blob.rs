//! An open blob. Positioned reads and writes only, so any number of tasks may share it.

use std::fs::File;
use std::io::{self, IoSliceMut};
use std::ops::Range;
use std::os::unix::fs::FileExt;

use rustix::io::{Errno, ReadWriteFlags, preadv2};
use uuid::Uuid;

use super::{StorageError, writeback};
use crate::failpoint;

/// An open blob. Its bytes stay readable while it is open, even if the blob is deleted.
#[derive(Debug)]
pub struct Blob {
    id: Uuid,
    file: File,
}

impl Blob {
    pub(super) fn new(id: Uuid, file: File) -> Self {
        Self { id, file }
    }

    /// Its id.
    pub fn id(&self) -> Uuid {
        self.id
    }

    /// Returns all of its bytes to the disk. Blocks.
    ///
    /// # Errors
    /// The system's error.
    pub fn clear(&self) -> Result<(), StorageError> {
        self.file.set_len(0).map_err(|source| StorageError::new("clear", self.id, source))
    }

    pub(super) fn file(&self) -> &File {
        &self.file
    }

    /// Writes all of `bytes` at `offset`. Blocks.
    ///
    /// # Errors
    /// [`StorageError::Full`] when the disk is full; part of the bytes may have been written.
    pub fn write_all_at(&self, bytes: &[u8], offset: u64) -> Result<(), StorageError> {
        let written = failpoint::fail_at("blob.write").and_then(|()| self.file.write_all_at(bytes, offset));
        written.map_err(|source| StorageError::new("write to", self.id, source))
    }

    /// Fills `buffer` from `offset` on. Blocks.
    ///
    /// # Errors
    /// Also when the blob ends before the buffer is full.
    pub fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> Result<(), StorageError> {
        let read = failpoint::fail_at("blob.read").and_then(|()| self.file.read_exact_at(buffer, offset));
        read.map_err(|source| StorageError::new("read", self.id, source))
    }

    /// Reads into `buffer` from `offset` on, as far as the bytes are in the page cache, and returns their number. Never waits
    /// for the disk.
    ///
    /// # Errors
    /// Only injected ones. After an error of the system it returns 0, and the blocking read that follows meets the error.
    pub fn read_cached_at(&self, buffer: &mut [u8], offset: u64) -> Result<usize, StorageError> {
        let mut read = 0;
        let reached = failpoint::fail_at("blob.read");
        reached.map_err(|source| StorageError::new("read", self.id, source))?;
        while read < buffer.len() {
            let mut rest = [IoSliceMut::new(&mut buffer[read..])];
            match preadv2(&self.file, &mut rest, offset + read as u64, ReadWriteFlags::NOWAIT) {
                Ok(bytes @ 1..) => read += bytes,
                Err(Errno::INTR) => {}
                // The end of the blob or of the cached bytes, or a system without the flag: the blocking read finds out.
                Ok(0) | Err(_) => break,
            }
        }
        Ok(read)
    }

    /// Starts to write `range` to the disk, so that a later [`sync`](Self::sync) has less to do. May block.
    pub fn start_writeback(&self, range: &Range<u64>) {
        // If the filesystem cannot, the sync does all of the work.
        let _ = writeback::start(&self.file, range);
    }

    /// Syncs the blob's bytes and size to the disk. Blocks.
    ///
    /// # Errors
    /// When the system cannot; bytes written before may be lost then.
    pub fn sync(&self) -> Result<(), StorageError> {
        let synced = failpoint::fail_at("blob.sync").and_then(|()| self.file.sync_data());
        synced.map_err(|source| StorageError::new("sync", self.id, source))
    }

    /// Size in bytes.
    ///
    /// # Errors
    /// The system's error.
    pub fn size_bytes(&self) -> Result<u64, StorageError> {
        let metadata = self.file.metadata();
        metadata.map(|metadata| metadata.len()).map_err(|source| StorageError::new("look at", self.id, source))
    }

    /// The first bytes of the blob, at most `most_bytes`; none if it cannot be read. Blocks.
    pub fn head(&self, most_bytes: usize) -> Vec<u8> {
        let mut head = vec![0; most_bytes];
        let mut read = 0;
        while read < most_bytes {
            match self.file.read_at(&mut head[read..], read as u64) {
                Ok(0) => break,
                Ok(bytes) => read += bytes,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => {
                    read = 0;
                    break;
                }
            }
        }
        head.truncate(read);
        head
    }

    /// A reader with its own position, which reads at most `max_reads` times: for parsers that follow offsets in the file.
    ///
    /// # Errors
    /// When the size cannot be read.
    pub fn reader(&self, max_reads: u32) -> Result<BlobReader<'_>, StorageError> {
        Ok(BlobReader { blob: self, position: 0, size_bytes: self.size_bytes()?, reads_left: max_reads })
    }
}

/// Reads a blob at a position of its own: `std::io::Read` and `Seek`.
#[derive(Debug)]
pub struct BlobReader<'b> {
    blob: &'b Blob,
    position: u64,
    size_bytes: u64,
    reads_left: u32,
}

impl io::Read for BlobReader<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.reads_left = self.reads_left.checked_sub(1).ok_or_else(|| io::Error::other("too many reads"))?;
        let read = self.blob.file.read_at(buffer, self.position)?;
        self.position += read as u64;
        Ok(read)
    }
}

impl io::Seek for BlobReader<'_> {
    fn seek(&mut self, to: io::SeekFrom) -> io::Result<u64> {
        self.position = seek(self.position, self.size_bytes, to)?;
        Ok(self.position)
    }
}

/// The position after a seek from `position` in `size_bytes`. It may be after the end, but not before the beginning.
pub(super) fn seek(position: u64, size_bytes: u64, to: io::SeekFrom) -> io::Result<u64> {
    let target = match to {
        io::SeekFrom::Start(offset) => Some(offset),
        io::SeekFrom::Current(delta) => position.checked_add_signed(delta),
        io::SeekFrom::End(delta) => size_bytes.checked_add_signed(delta),
    };
    target.ok_or_else(|| io::ErrorKind::InvalidInput.into())
}
