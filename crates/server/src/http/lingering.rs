//! Closing a connection so that the client gets the last answer.
//!
//! A request refused before its body was read leaves bytes in flight. Closing the socket with unread bytes makes the kernel
//! send a reset, and a client that is still sending then often never sees the answer. Closing therefore first ends the
//! server's side, and then reads and drops incoming bytes, for a bounded time and amount (nginx: lingering close; RFC 9112,
//! section 9.6). Bodies that make progress have been dropped to their end before (`draining.rs`); this is for the others.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Sleep;

use super::paced_stream::PacedStream;

/// Time for which a client may continue to send after the answer.
const MAX_LINGER_TIME: Duration = Duration::from_secs(5);
/// Bytes that it may send: a default part and some more.
const MAX_LINGER_BYTES: usize = 16 * 1024 * 1024;

/// A connection that lingers when it is closed.
pub(crate) struct Lingering {
    stream: PacedStream,
    closing: Option<Closing>,
}

struct Closing {
    deadline: Pin<Box<Sleep>>,
    left_bytes: usize,
}

impl Lingering {
    pub(crate) fn new(stream: PacedStream) -> Self {
        Self { stream, closing: None }
    }

    fn stream(self: Pin<&mut Self>) -> Pin<&mut PacedStream> {
        Pin::new(&mut self.get_mut().stream)
    }
}

impl Closing {
    /// Drops incoming bytes until the client closes or a bound is reached.
    fn poll_drain(&mut self, mut stream: Pin<&mut PacedStream>, cx: &mut Context<'_>) -> Poll<()> {
        let mut scratch = [0; 16 * 1024];
        while self.left_bytes > 0 && self.deadline.as_mut().poll(cx).is_pending() {
            let mut buffer = ReadBuf::new(&mut scratch);
            match ready!(stream.as_mut().poll_read(cx, &mut buffer)) {
                Ok(()) if !buffer.filled().is_empty() => {
                    self.left_bytes = self.left_bytes.saturating_sub(buffer.filled().len());
                }
                _ => break,
            }
        }
        Poll::Ready(())
    }
}

impl AsyncRead for Lingering {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        self.stream().poll_read(cx, buffer)
    }
}

impl AsyncWrite for Lingering {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.stream().poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.stream().poll_write_vectored(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.stream().poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let mut stream = Pin::new(&mut this.stream);
        if this.closing.is_none() {
            ready!(stream.as_mut().poll_shutdown(cx))?;
        }
        let closing = this.closing.get_or_insert_with(|| Closing {
            deadline: Box::pin(tokio::time::sleep(MAX_LINGER_TIME)),
            left_bytes: MAX_LINGER_BYTES,
        });
        closing.poll_drain(stream, cx).map(Ok)
    }
}
