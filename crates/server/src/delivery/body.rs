//! The bytes of an answer: pieces of text and ranges of a file, read when the client takes them.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use tokio::task::JoinHandle;

use super::ByteRange;
use super::frames::{Frames, Room};
use crate::storage::{Blob, StorageError};

/// A piece of the body.
#[derive(Debug)]
pub enum Piece {
    /// These bytes.
    Text(Bytes),
    /// These bytes of the file.
    Range(ByteRange),
}

impl Piece {
    /// Its length in bytes.
    pub fn length(&self) -> u64 {
        match self {
            Self::Text(text) => text.len() as u64,
            Self::Range(range) => range.length(),
        }
    }
}

/// A body made of pieces. While it lives, the file's bytes stay, even when the file is replaced or deleted.
#[derive(Debug)]
pub struct FileBody {
    blob: Arc<Blob>,
    /// In reverse.
    pieces: Vec<Piece>,
    left_bytes: u64,
    frames: Frames,
    reading: Option<JoinHandle<Result<(Bytes, Room), StorageError>>>,
}

impl FileBody {
    /// The pieces, one after the other. Their ranges must be within the blob.
    pub fn new(blob: Arc<Blob>, mut pieces: Vec<Piece>) -> Self {
        let left_bytes = pieces.iter().map(Piece::length).sum();
        pieces.reverse();
        Self { blob, pieces, left_bytes, frames: Frames::default(), reading: None }
    }

    /// Starts to read the beginning of `range`; the rest of it becomes the next piece.
    fn read(&mut self, range: ByteRange) -> JoinHandle<Result<(Bytes, Room), StorageError>> {
        let room = self.frames.room(range.length());
        let now = room.bytes();
        if now < range.length() {
            self.pieces.push(Piece::Range(ByteRange { first: range.first + now, last: range.last }));
        }
        let blob = Arc::clone(&self.blob);
        tokio::task::spawn_blocking(move || {
            let mut buffer = vec![0; usize::try_from(now).unwrap_or(usize::MAX)];
            blob.read_exact_at(&mut buffer, range.first)?;
            Ok((buffer.into(), room))
        })
    }
}

impl Body for FileBody {
    type Data = Bytes;
    type Error = StorageError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, StorageError>>> {
        // While the client takes nothing, nothing is read.
        ready!(self.frames.poll_gone(cx));
        let mut reading = match self.reading.take() {
            Some(reading) => reading,
            None => match self.pieces.pop() {
                None => return Poll::Ready(None),
                Some(Piece::Text(text)) => {
                    self.left_bytes -= text.len() as u64;
                    return Poll::Ready(Some(Ok(Frame::data(text))));
                }
                Some(Piece::Range(range)) => self.read(range),
            },
        };
        let Poll::Ready(read) = Pin::new(&mut reading).poll(cx) else {
            self.reading = Some(reading);
            return Poll::Pending;
        };
        let read = read.unwrap_or_else(|error| Err(error.into()));
        Poll::Ready(Some(read.map(|(bytes, room)| {
            self.left_bytes -= bytes.len() as u64;
            Frame::data(self.frames.hand_out(bytes, room))
        })))
    }

    fn is_end_stream(&self) -> bool {
        self.left_bytes == 0
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.left_bytes)
    }
}
