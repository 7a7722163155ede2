//! A connection that ends when its client takes nothing of an answer, or next to nothing.
//!
//! Invariant: while bytes of an answer wait, the client's side acknowledges some at least every `stall_timeout`, and a least number over
//! each window; otherwise writing fails, and with the connection go its memory, its open file, and the bytes that this file pins.
//!
//! The kernel takes up to some megabytes for a client before it says that no more fit, and says that more do only when a third of
//! them has gone: on a slow line minutes pass between two writes. Bytes that the client has acknowledged are what counts.

use std::io;
use std::os::fd::AsRawFd;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::{Instant, Sleep};

use crate::pace::{Pace, PaceLimits};

/// Looks at what the client took are this far apart, or a quarter of the times that are looked for.
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// The connection.
pub(crate) struct PacedStream {
    stream: TcpStream,
    pace: Pace,
    written_bytes: u64,
    /// Bytes that the client had taken at the last look.
    taken_bytes: u64,
    /// There while the kernel takes no more.
    waiting: Option<Box<Waiting>>,
}

struct Waiting {
    looked_at: Instant,
    progressed_at: Instant,
    next_look: Pin<Box<Sleep>>,
}

impl PacedStream {
    pub(crate) fn new(stream: TcpStream, limits: PaceLimits) -> Self {
        Self { stream, pace: Pace::new(limits), written_bytes: 0, taken_bytes: 0, waiting: None }
    }

    fn stream(self: Pin<&mut Self>) -> Pin<&mut TcpStream> {
        Pin::new(&mut self.get_mut().stream)
    }

    /// Bytes that the client took since the last time that this was asked.
    fn newly_taken(&mut self) -> u64 {
        // A connection that is gone says so when it is written to.
        let queued = unacknowledged_bytes(&self.stream).unwrap_or_default();
        let taken = self.written_bytes.saturating_sub(queued).max(self.taken_bytes);
        taken - std::mem::replace(&mut self.taken_bytes, taken)
    }

    fn pause(&self) -> Duration {
        let limits = self.pace.limits();
        LONGEST_PAUSE.min(limits.stall_timeout / 4).min(limits.window / 4)
    }

    /// Passes a write's outcome on, and watches the client while there is none.
    fn watch(&mut self, written: Poll<io::Result<usize>>, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        match written {
            Poll::Ready(Ok(bytes)) => {
                self.written_bytes += bytes as u64;
                match self.waiting.take() {
                    Some(waiting) if !self.look(waiting.looked_at.elapsed()).1 => Poll::Ready(Err(self.too_slow())),
                    _ => Poll::Ready(Ok(bytes)),
                }
            }
            Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
            Poll::Pending => self.poll_too_slow(cx).map(Err),
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

/// Bytes that were written and that the other side has not acknowledged.
#[expect(unsafe_code, reason = "no crate in use wraps SIOCOUTQ (tcp(7)), which Linux also calls TIOCOUTQ")]
fn unacknowledged_bytes(stream: &TcpStream) -> io::Result<u64> {
    let mut bytes: libc::c_int = 0;
    // SAFETY: the descriptor is open for as long as `stream` is borrowed; the call writes one int, which lives until it returns.
    let result = unsafe { libc::ioctl(stream.as_raw_fd(), libc::TIOCOUTQ, &raw mut bytes) };
    if result == 0 { Ok(u64::try_from(bytes).unwrap_or_default()) } else { Err(io::Error::last_os_error()) }
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
        this.watch(written, cx)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let written = Pin::new(&mut this.stream).poll_write_vectored(cx, slices);
        this.watch(written, cx)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.stream().poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.stream().poll_shutdown(cx)
    }
}
