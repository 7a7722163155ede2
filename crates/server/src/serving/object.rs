//! The body of an answer whose file is in the bucket and passes through this server.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use futures_util::{Stream, StreamExt, TryStreamExt};
use http_body::{Body, Frame, SizeHint};
use uuid::Uuid;

use super::Piece;
use super::frames::Frames;
use crate::http::SendRoom;
use crate::storage::{BlobStore, StorageError};

/// A body of pieces of text and ranges of an object. A range is requested when the one before it has been read.
pub(super) struct ObjectBody {
    stream: Pin<Box<dyn Stream<Item = Result<Bytes, StorageError>> + Send>>,
    left_bytes: u64,
    frames: Frames,
    room: SendRoom,
}

impl ObjectBody {
    /// The pieces, one after the other. Their ranges must be within the blob.
    ///
    /// # Errors
    /// When the store fails before the first byte. Nothing has been answered then.
    pub(super) async fn open(
        store: Arc<dyn BlobStore>,
        blob_id: Uuid,
        pieces: Vec<Piece>,
        room: SendRoom,
    ) -> Result<Self, StorageError> {
        let left_bytes = pieces.iter().map(Piece::length).sum();
        let mut pieces = pieces.into_iter();
        let first = match pieces.next() {
            Some(first) => read(Arc::clone(&store), blob_id, first).await?,
            None => futures_util::stream::empty().boxed(),
        };
        let rest = futures_util::stream::iter(pieces).then(move |piece| read(Arc::clone(&store), blob_id, piece));
        Ok(Self { stream: first.chain(rest.try_flatten()).boxed(), left_bytes, frames: Frames::default(), room })
    }
}

async fn read(
    store: Arc<dyn BlobStore>,
    blob_id: Uuid,
    piece: Piece,
) -> Result<Pin<Box<dyn Stream<Item = Result<Bytes, StorageError>> + Send>>, StorageError> {
    match piece {
        Piece::Text(text) => Ok(futures_util::stream::iter([Ok(text)]).boxed()),
        Piece::Range(range) => store.read_blob(blob_id, range.first..range.last + 1).await,
    }
}

impl Body for ObjectBody {
    type Data = Bytes;
    type Error = StorageError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, StorageError>>> {
        // Nothing is read from the store while the client takes nothing.
        ready!(self.frames.poll_sent(cx));
        ready!(self.room.poll_bytes(self.left_bytes));
        self.stream.as_mut().poll_next(cx).map(|next| {
            next.map(|bytes| {
                bytes.map(|bytes| {
                    self.left_bytes = self.left_bytes.saturating_sub(bytes.len() as u64);
                    Frame::data(self.frames.hand_out_held(bytes))
                })
            })
        })
    }

    fn is_end_stream(&self) -> bool {
        self.left_bytes == 0
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.left_bytes)
    }
}
