//! The bytes of an answer: pieces of text and ranges of a file, read when the connection takes them.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use tokio::task::JoinHandle;

use super::ByteRange;
use super::frames::{Frames, Room};
use crate::http::SendRoom;
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
    room: SendRoom,
    reading: Option<JoinHandle<Result<(Bytes, Room), StorageError>>>,
}

/// A frame that is in memory, or will be.
enum Reading {
    Done(Bytes, Room),
    Begun(JoinHandle<Result<(Bytes, Room), StorageError>>),
}

impl FileBody {
    /// The pieces, one after the other. Their ranges must be within the blob.
    pub fn new(blob: Arc<Blob>, mut pieces: Vec<Piece>, room: SendRoom) -> Self {
        let left_bytes = pieces.iter().map(Piece::length).sum();
        pieces.reverse();
        Self { blob, pieces, left_bytes, frames: Frames::default(), room, reading: None }
    }

    /// The beginning of `range`, `most_bytes` at most, if the system has it in memory; otherwise it starts to read it. The rest of
    /// `range` becomes the next piece.
    fn read(&mut self, range: ByteRange, most_bytes: u64) -> Result<Reading, StorageError> {
        let room = self.frames.room(range.length().min(most_bytes));
        let now = room.bytes();
        if now < range.length() {
            self.pieces.push(Piece::Range(ByteRange { first: range.first + now, last: range.last }));
        }
        let mut buffer = vec![0; usize::try_from(now).unwrap_or(usize::MAX)];
        let read = self.blob.read_cached_at(&mut buffer, range.first)?;
        if read == buffer.len() {
            return Ok(Reading::Done(buffer.into(), room));
        }
        let (blob, offset) = (Arc::clone(&self.blob), range.first + read as u64);
        Ok(Reading::Begun(tokio::task::spawn_blocking(move || {
            blob.read_exact_at(&mut buffer[read..], offset)?;
            Ok((buffer.into(), room))
        })))
    }

    fn hand_out(&mut self, bytes: Bytes, room: Room) -> Poll<Option<Result<Frame<Bytes>, StorageError>>> {
        self.left_bytes -= bytes.len() as u64;
        Poll::Ready(Some(Ok(Frame::data(self.frames.hand_out(bytes, room)))))
    }
}

impl Body for FileBody {
    type Data = Bytes;
    type Error = StorageError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, StorageError>>> {
        ready!(self.frames.poll_gone(cx));
        let mut reading = match self.reading.take() {
            Some(reading) => reading,
            None => {
                // While the client takes nothing, nothing is read.
                let most_bytes = ready!(self.room.poll_bytes(self.left_bytes));
                match self.pieces.pop() {
                    None => return Poll::Ready(None),
                    Some(Piece::Text(text)) => {
                        self.left_bytes -= text.len() as u64;
                        return Poll::Ready(Some(Ok(Frame::data(text))));
                    }
                    Some(Piece::Range(range)) => match self.read(range, most_bytes) {
                        Ok(Reading::Done(bytes, room)) => return self.hand_out(bytes, room),
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
            Ok((bytes, room)) => self.hand_out(bytes, room),
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
