//! The body of an answer from a local blob: pieces of text and ranges of the file, read when the connection takes them.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use tokio::task::JoinHandle;

use super::ByteRange;
use super::frames::{FramePermit, Frames};
use crate::http::SendRoom;
use crate::storage::{Blob, StorageError};

/// A piece of a body.
#[derive(Debug)]
pub(super) enum Piece {
    /// These bytes.
    Text(Bytes),
    /// These bytes of the file.
    Range(ByteRange),
}

impl Piece {
    /// Its length in bytes.
    pub(super) fn length(&self) -> u64 {
        match self {
            Self::Text(text) => text.len() as u64,
            Self::Range(range) => range.length(),
        }
    }
}

/// A body of pieces. It keeps the bytes of its file, even when the file is replaced or deleted.
#[derive(Debug)]
pub(super) struct FileBody {
    blob: Arc<Blob>,
    /// In reverse.
    pieces: Vec<Piece>,
    left_bytes: u64,
    frames: Frames,
    room: SendRoom,
    reading: Option<JoinHandle<Result<(Bytes, FramePermit), StorageError>>>,
}

/// A frame that is in memory, or is being read.
enum Reading {
    Done(Bytes, FramePermit),
    Begun(JoinHandle<Result<(Bytes, FramePermit), StorageError>>),
}

impl FileBody {
    /// The pieces, one after the other. Their ranges must be within the blob.
    pub(super) fn new(blob: Arc<Blob>, mut pieces: Vec<Piece>, room: SendRoom) -> Self {
        let left_bytes = pieces.iter().map(Piece::length).sum();
        pieces.reverse();
        Self { blob, pieces, left_bytes, frames: Frames::default(), room, reading: None }
    }

    /// Reads the first bytes of `range`, at most `max_bytes`: at once if the page cache has them, otherwise on another thread. The rest
    /// of `range` becomes the next piece.
    fn read(&mut self, range: ByteRange, max_bytes: u64) -> Result<Reading, StorageError> {
        let permit = self.frames.permit(range.length().min(max_bytes));
        let now = permit.bytes();
        if now < range.length() {
            self.pieces.push(Piece::Range(ByteRange { first: range.first + now, last: range.last }));
        }
        let mut buffer = vec![0; usize::try_from(now).unwrap_or(usize::MAX)];
        let read = self.blob.read_cached_at(&mut buffer, range.first)?;
        if read == buffer.len() {
            return Ok(Reading::Done(buffer.into(), permit));
        }
        let (blob, offset) = (Arc::clone(&self.blob), range.first + read as u64);
        Ok(Reading::Begun(tokio::task::spawn_blocking(move || {
            blob.read_exact_at(&mut buffer[read..], offset)?;
            Ok((buffer.into(), permit))
        })))
    }

    fn hand_out(&mut self, bytes: Bytes, permit: FramePermit) -> Poll<Option<Result<Frame<Bytes>, StorageError>>> {
        self.left_bytes -= bytes.len() as u64;
        Poll::Ready(Some(Ok(Frame::data(self.frames.hand_out(bytes, permit)))))
    }
}

impl Body for FileBody {
    type Data = Bytes;
    type Error = StorageError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, StorageError>>> {
        ready!(self.frames.poll_sent(cx));
        let mut reading = match self.reading.take() {
            Some(reading) => reading,
            None => {
                // Nothing is read while the client takes nothing.
                let max_bytes = ready!(self.room.poll_bytes(self.left_bytes));
                match self.pieces.pop() {
                    None => return Poll::Ready(None),
                    Some(Piece::Text(text)) => {
                        self.left_bytes -= text.len() as u64;
                        return Poll::Ready(Some(Ok(Frame::data(text))));
                    }
                    Some(Piece::Range(range)) => match self.read(range, max_bytes) {
                        Ok(Reading::Done(bytes, permit)) => return self.hand_out(bytes, permit),
                        Ok(Reading::Begun(reading)) => reading,
                        Err(error) => return Poll::Ready(Some(Err(error))),
                    },
                }
            }
        };
        let Poll::Ready(read) = Pin::new(&mut reading).poll(cx) else {
            self.reading = Some(reading);
            return Poll::Pending;
        };
        match read.unwrap_or_else(|error| Err(error.into())) {
            Ok((bytes, permit)) => self.hand_out(bytes, permit),
            Err(error) => Poll::Ready(Some(Err(error))),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.left_bytes == 0
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.left_bytes)
    }
}
