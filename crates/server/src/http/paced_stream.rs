//! A connection that ends when its client takes nothing of an answer, or next to nothing.
//!
//! Invariant: while bytes of an answer wait, the client's side acknowledges some at least every `stall_timeout`, and a least number over
//! each window; otherwise writing fails, and with the connection go its memory, its open file, and the bytes that this file pins.
//!
//! The kernel takes up to some megabytes for a client before it says that no more fit, and says that more do only when a third of
//! them has gone: on a slow line minutes pass between two writes. Bytes that the client has acknowledged are what counts.
//!
//! Bodies of files are read only when the socket takes them ([`SendRoom`]), and the kernel holds no more than [`MOST_UNSENT_BYTES`] beyond
//! what the client lets it send. Without that bound it takes megabytes for each client that takes nothing: a thousand of those are
//! as much as Linux allows for all connections of a machine, and filling their buffers keeps others waiting.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, Interest, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::{Instant, Sleep};

use super::send_room::SendRoom;
use super::sockets;
use crate::pace::{Pace, PaceLimits};

/// Looks at what the client took are this far apart, or a quarter of the times that are looked for.
const LONGEST_PAUSE: Duration = Duration::from_secs(5);
/// Bytes that the kernel takes before it may send them. A kernel that has less than half of it asks for more, and that lasts until the
/// process has read from the file, for any line.
pub(crate) const MOST_UNSENT_BYTES: u32 = 128 * 1024;

/// The connection.
pub(crate) struct PacedStream {
    stream: TcpStream,
    pace: Pace,
    written_bytes: u64,
    /// Bytes that the client had taken at the last look.
    taken_bytes: u64,
    /// There while the kernel takes no more.
    waiting: Option<Box<Waiting>>,
    room: SendRoom,
}

struct Waiting {
    looked_at: Instant,
    progressed_at: Instant,
    next_look: Pin<Box<Sleep>>,
}

impl PacedStream {
    pub(crate) fn new(stream: TcpStream, limits: PaceLimits) -> Self {
        Self { stream, pace: Pace::new(limits), written_bytes: 0, taken_bytes: 0, waiting: None, room: SendRoom::new() }
    }

    /// The room that there is, as bodies see it.
    pub(crate) fn room(&self) -> SendRoom {
        self.room.clone()
    }

    fn stream(self: Pin<&mut Self>) -> Pin<&mut TcpStream> {
        Pin::new(&mut self.get_mut().stream)
    }

    /// Bytes that the client took since the last time that this was asked.
    fn newly_taken(&mut self) -> u64 {
        // A connection that is gone says so when it is written to.
        let queued = sockets::unacknowledged_bytes(&self.stream).unwrap_or_default();
        let taken = self.written_bytes.saturating_sub(queued).max(self.taken_bytes);
        taken - std::mem::replace(&mut self.taken_bytes, taken)
    }

    fn pause(&self) -> Duration {
        let limits = self.pace.limits();
        LONGEST_PAUSE.min(limits.stall_timeout / 4).min(limits.window / 4)
    }

    /// Passes the outcome of a write of `offered` bytes on, and watches the client while there is none.
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
                self.end_waiting().map_ok(|()| bytes)
            }
            Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
            Poll::Pending => self.poll_too_slow(cx).map(Err),
        }
    }

    /// The kernel has taken something, or will.
    fn end_waiting(&mut self) -> Poll<io::Result<()>> {
        match self.waiting.take() {
            Some(waiting) if !self.look(waiting.looked_at.elapsed()).1 => Poll::Ready(Err(self.too_slow())),
            _ => Poll::Ready(Ok(())),
        }
    }

    /// Bytes that the kernel would take at once. Some of its room goes to what it keeps about them.
    fn room_now(&self) -> u64 {
        let room = sockets::room_bytes(&self.stream, MOST_UNSENT_BYTES).unwrap_or_default();
        room - room / 8
    }

    /// Ready when the kernel has room for the body that waits for it.
    fn poll_room(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        loop {
            if self.stream.poll_write_ready(cx)?.is_pending() {
                return self.poll_too_slow(cx).map(Err);
            }
            // Asked like this, the kernel tells when there is some; that a write found room before means nothing.
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

    /// Whether the client has taken anything, and whether it keeps its pace.
    fn look(&mut self, waited: Duration) -> (bool, bool) {
        let taken = self.newly_taken();
        (taken > 0, self.pace.keeps(waited, taken))
    }

    /// The connection is to be reset: the kernel would go on offering the client what it holds for it.
    fn too_slow(&self) -> io::Error {
        let _ = self.stream.set_zero_linger();
        io::Error::new(io::ErrorKind::TimedOut, "the client takes nothing of the answer, or too little")
    }

    fn poll_too_slow(&mut self, cx: &mut Context<'_>) -> Poll<io::Error> {
        let mut waiting = self.waiting.take().unwrap_or_else(|| {
            let now = Instant::now();
            let next_look = Box::pin(tokio::time::sleep(self.pause()));
            Box::new(Waiting { looked_at: now, progressed_at: now, next_look })
        });
        while waiting.next_look.as_mut().poll(cx).is_ready() {
            let now = Instant::now();
            let (has_progressed, is_fast) = self.look(now - waiting.looked_at);
            waiting.looked_at = now;
            if has_progressed {
                waiting.progressed_at = now;
            }
            if !is_fast || now - waiting.progressed_at >= self.pace.limits().stall_timeout {
                return Poll::Ready(self.too_slow());
            }
            waiting.next_look.as_mut().reset(now + self.pause());
        }
        self.waiting = Some(waiting);
        Poll::Pending
    }
}

impl AsyncRead for PacedStream {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        self.stream().poll_read(cx, buffer)
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

    /// Hyper calls it whenever it has polled a body, and polls that again when this is ready.
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
