//! Reads an object from a position of its own, as `std::io::Read` and `Seek` want it: for headers of media files.

use std::io;
use std::ops::Range;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use futures_util::TryStreamExt;
use tokio::runtime::Handle;
use uuid::Uuid;

use super::S3Store;
use crate::storage::{BlobStore, StorageError, blob};

/// Fetched at once: most headers are in the first piece.
const PIECE_BYTES: u64 = 64 * 1024;
/// Most pieces of one object that are fetched; later reads fail.
const MAX_PIECES: u32 = 16;

/// An object and a position in it. Only for blocking threads.
#[derive(Debug)]
pub struct ObjectReader {
    store: Arc<S3Store>,
    blob_id: Uuid,
    size_bytes: u64,
    runtime: Handle,
    position: u64,
    piece: Bytes,
    piece_begin: u64,
    pieces_left: u32,
}

impl ObjectReader {
    /// Nothing is read yet.
    pub fn new(store: Arc<S3Store>, blob_id: Uuid, size_bytes: u64, runtime: Handle) -> Self {
        let piece = Bytes::new();
        Self { store, blob_id, size_bytes, runtime, position: 0, piece, piece_begin: 0, pieces_left: MAX_PIECES }
    }

    fn fetch(&self, range: Range<u64>) -> Result<Bytes, StorageError> {
        self.runtime.block_on(async {
            let stream = self.store.read_blob(self.blob_id, range).await?;
            let piece = stream.try_fold(BytesMut::new(), |mut piece, bytes| async move {
                piece.extend_from_slice(&bytes);
                Ok(piece)
            });
            Ok(piece.await?.freeze())
        })
    }
}

impl io::Read for ObjectReader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.position >= self.size_bytes || buffer.is_empty() {
            return Ok(0);
        }
        if !(self.piece_begin..self.piece_begin + self.piece.len() as u64).contains(&self.position) {
            self.pieces_left = self.pieces_left.checked_sub(1).ok_or_else(|| io::Error::other("too many reads"))?;
            let end = (self.position + PIECE_BYTES).min(self.size_bytes);
            self.piece = self.fetch(self.position..end).map_err(io::Error::other)?;
            self.piece_begin = self.position;
        }
        let skipped = usize::try_from(self.position - self.piece_begin).map_err(io::Error::other)?;
        let rest = self.piece.get(skipped..).unwrap_or_default();
        let read = rest.len().min(buffer.len());
        buffer[..read].copy_from_slice(&rest[..read]);
        self.position += read as u64;
        Ok(read)
    }
}

impl io::Seek for ObjectReader {
    fn seek(&mut self, to: io::SeekFrom) -> io::Result<u64> {
        self.position = blob::seek(self.position, self.size_bytes, to)?;
        Ok(self.position)
    }
}
