//! A connection that ends when its client takes an answer too slowly.
//!
//! Invariant: while bytes of an answer wait, the client acknowledges some at least every `stall_timeout`, and a minimum over each
//! window. Otherwise writing fails, and the connection releases its memory, its open file, and the bytes that this file pins.
//!
//! The kernel buffers up to some megabytes for a client before it reports that its buffer is full, and reports free space only
//! when a third of it is free: on a slow line minutes pass between two writes. Only bytes that the client has acknowledged count.
//!
//! Bodies of files are read only when the socket takes them ([`SendRoom`]), and the kernel buffers at most [`MAX_UNSENT_BYTES`]
//! beyond the client's receive window. Without that bound it buffers megabytes for each client that takes nothing: a thousand of
//! them use as much as Linux allows for all connections of a machine, and filling their buffers keeps others waiting.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, Interest, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::{Instant, Sleep};

use super::send_room::SendRoom;
use super::sockets;
use crate::metrics::HttpMetrics;
use crate::pace::{Pace, PaceLimits};

/// Maximum time between two checks of a client's progress. A quarter of each bound applies if that is shorter.
const MAX_CHECK_INTERVAL: Duration = Duration::from_secs(5);
/// Bytes that the kernel buffers before it may send them. It asks for more when less than half is left, which keeps any line busy
/// while the process reads from the file.
pub(crate) const MAX_UNSENT_BYTES: u32 = 128 * 1024;

/// The connection.
pub(crate) struct PacedStream {
    stream: TcpStream,
    pace: Pace,
    written_bytes: u64,
    /// Bytes that the client had acknowledged at the last check.
    taken_bytes: u64,
    /// `Some` while the kernel's buffer is full.
    waiting: Option<Box<Waiting>>,
    room: SendRoom,
    metrics: Arc<HttpMetrics>,
}

struct Waiting {
    checked_at: Instant,
    progressed_at: Instant,
    next_check: Pin<Box<Sleep>>,
}

impl PacedStream {
    pub(crate) fn new(stream: TcpStream, limits: PaceLimits, metrics: Arc<HttpMetrics>) -> Self {
        let (pace, room) = (Pace::new(limits), SendRoom::new());
        Self { stream, pace, written_bytes: 0, taken_bytes: 0, waiting: None, room, metrics }
    }

    /// The room of this connection, for its bodies.
    pub(crate) fn room(&self) -> SendRoom {
        self.room.clone()
    }

    fn stream(self: Pin<&mut Self>) -> Pin<&mut TcpStream> {
        Pin::new(&mut self.get_mut().stream)
    }

    /// Bytes that the client has acknowledged since the last call.
    fn newly_taken(&mut self) -> u64 {
        // A broken connection fails at the next write.
        let queued = sockets::unacknowledged_bytes(&self.stream).unwrap_or_default();
        let taken = self.written_bytes.saturating_sub(queued).max(self.taken_bytes);
        taken - std::mem::replace(&mut self.taken_bytes, taken)
    }

    fn check_interval(&self) -> Duration {
        let limits = self.pace.limits();
        MAX_CHECK_INTERVAL.min(limits.stall_timeout / 4).min(limits.window / 4)
    }

    /// Passes the outcome of a write of `offered` bytes on, and watches the client while it is pending.
    fn watch(
        &mut self,
        written: Poll<io::Result<usize>>,
        offered: usize,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<usize>> {
        if self.room.is_used() {
            let is_whole = matches!(written, Poll::Ready(Ok(bytes)) if bytes == offered);
            self.room.set(if is_whole { self.room_now() } else { 0 });
        }
        match written {
            Poll::Ready(Ok(bytes)) => {
                self.written_bytes += bytes as u64;
                self.metrics.sent.inc_by(bytes as u64);
                self.end_waiting().map_ok(|()| bytes)
            }
            Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
            Poll::Pending => self.poll_too_slow(cx).map(Err),
        }
    }

    /// Ends the wait: the kernel has taken bytes, or will.
    fn end_waiting(&mut self) -> Poll<io::Result<()>> {
        match self.waiting.take() {
            Some(waiting) if !self.check(waiting.checked_at.elapsed()).1 => Poll::Ready(Err(self.too_slow())),
            _ => Poll::Ready(Ok(())),
        }
    }

    /// Bytes that the kernel would take at once. An eighth of its buffer is for its own records of them.
    fn room_now(&self) -> u64 {
        let room = sockets::room_bytes(&self.stream, MAX_UNSENT_BYTES).unwrap_or_default();
        room - room / 8
    }

    /// Ready when the kernel has room for the body that waits for it.
    fn poll_room(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        loop {
            if self.stream.poll_write_ready(cx)?.is_pending() {
                return self.poll_too_slow(cx).map(Err);
            }
            // This call makes the kernel report new room; an earlier successful write does not.
            match self.stream.try_io(Interest::WRITABLE, || sockets::check_writable(&self.stream)) {
                Ok(()) => {
                    self.room.grant(self.room_now());
                    return self.end_waiting();
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
    }

    /// Whether the client has acknowledged bytes, and whether it keeps its pace.
    fn check(&mut self, waited: Duration) -> (bool, bool) {
        let taken = self.newly_taken();
        (taken > 0, self.pace.keeps(waited, taken))
    }

    /// Resets the connection: the kernel would otherwise continue to send its buffer to the client.
    fn too_slow(&self) -> io::Error {
        let _ = self.stream.set_zero_linger();
        self.metrics.stalled("answer");
        io::Error::new(io::ErrorKind::TimedOut, "the client takes the answer too slowly")
    }

    fn poll_too_slow(&mut self, cx: &mut Context<'_>) -> Poll<io::Error> {
        let mut waiting = self.waiting.take().unwrap_or_else(|| {
            let now = Instant::now();
            let next_check = Box::pin(tokio::time::sleep(self.check_interval()));
            Box::new(Waiting { checked_at: now, progressed_at: now, next_check })
        });
        while waiting.next_check.as_mut().poll(cx).is_ready() {
            let now = Instant::now();
            let (has_progressed, is_fast) = self.check(now - waiting.checked_at);
            waiting.checked_at = now;
            if has_progressed {
                waiting.progressed_at = now;
            }
            if !is_fast || now - waiting.progressed_at >= self.pace.limits().stall_timeout {
                return Poll::Ready(self.too_slow());
            }
            waiting.next_check.as_mut().reset(now + self.check_interval());
        }
        self.waiting = Some(waiting);
        Poll::Pending
    }
}

impl AsyncRead for PacedStream {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let filled = buffer.filled().len();
        let read = Pin::new(&mut this.stream).poll_read(cx, buffer);
        this.metrics.received.inc_by((buffer.filled().len() - filled) as u64);
        read
    }
}

impl AsyncWrite for PacedStream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let written = Pin::new(&mut this.stream).poll_write(cx, bytes);
        this.watch(written, bytes.len(), cx)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let written = Pin::new(&mut this.stream).poll_write_vectored(cx, slices);
        this.watch(written, slices.iter().map(|slice| slice.len()).sum(), cx)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    /// Hyper calls this after each poll of a body, and polls the body again when this is ready.
    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.room.is_wanted() {
            ready!(self.poll_room(cx))?;
        }
        self.stream().poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.stream().poll_shutdown(cx)
    }
}
