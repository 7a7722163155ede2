//! The body of a part, read from the file while it is sent.

use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use tokio::task::JoinHandle;

/// Bytes per read, which one connection holds in memory.
const READ_BYTES: u64 = 256 * 1024;

/// Called with the number of bytes handed to the connection.
pub(crate) type OnSent = Arc<dyn Fn(u64) + Send + Sync>;

/// The BLAKE3 of the bytes handed to the connection so far.
pub(crate) type SentHash = Arc<Mutex<blake3::Hasher>>;

/// A range of a file as the body of a request.
pub(crate) struct PartBody {
    file: Arc<File>,
    left: Range<u64>,
    reading: Option<JoinHandle<io::Result<Bytes>>>,
    on_sent: OnSent,
    hash: Option<SentHash>,
}

impl PartBody {
    /// A body of the bytes of `range`, which are added to `hash` as they are sent.
    pub(crate) fn new(file: Arc<File>, range: Range<u64>, on_sent: OnSent, hash: Option<SentHash>) -> Self {
        Self { file, left: range, reading: None, on_sent, hash }
    }

    /// Bytes that are not sent yet.
    pub(crate) fn left_bytes(&self) -> u64 {
        self.left.end - self.left.start
    }

    fn read(&self) -> JoinHandle<io::Result<Bytes>> {
        let (file, hash) = (Arc::clone(&self.file), self.hash.clone());
        let offset = self.left.start;
        let length = (self.left.end - offset).min(READ_BYTES);
        tokio::task::spawn_blocking(move || {
            let mut buffer = vec![0; usize::try_from(length).unwrap_or(usize::MAX)];
            file.read_exact_at(&mut buffer, offset)?;
            if let Some(hash) = hash {
                hash.lock().unwrap_or_else(PoisonError::into_inner).update(&buffer);
            }
            Ok(buffer.into())
        })
    }
}

impl Body for PartBody {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        if self.left.is_empty() {
            return Poll::Ready(None);
        }
        let mut reading = self.reading.take().unwrap_or_else(|| self.read());
        let Poll::Ready(read) = Pin::new(&mut reading).poll(cx) else {
            self.reading = Some(reading);
            return Poll::Pending;
        };
        let bytes = read.unwrap_or_else(|error| Err(io::Error::other(error)))?;
        self.left.start += bytes.len() as u64;
        (self.on_sent)(bytes.len() as u64);
        Poll::Ready(Some(Ok(Frame::data(bytes))))
    }

    fn is_end_stream(&self) -> bool {
        self.left.is_empty()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.left_bytes())
    }
}
