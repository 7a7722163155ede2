//! The frames in which an answer's bytes go to the connection, and the memory that all of them may take.
//!
//! Invariant: each answer has at most one frame in memory, and a frame is larger than [`SMALL_FRAME_BYTES`] only while all larger
//! frames together are within [`LARGE_TOTAL_BYTES`]. A frame is handed out when the kernel has reported room for it
//! (`send_room.rs`). A kernel that is short of memory may take less of it; clients that do not read cost little nevertheless,
//! however many and however fast they once were, and clients that read get frames that are cheap to send.

use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use bytes::Bytes;
use tokio::sync::oneshot;

use crate::http::MAX_UNSENT_BYTES;

/// A frame that every answer may have: ten thousand of them are 40 MiB.
const SMALL_FRAME_BYTES: u64 = 4 * 1024;
/// The largest frame: the bytes that the kernel buffers ahead (`paced_stream.rs`). Larger ones were no faster.
const MAX_FRAME_BYTES: u64 = MAX_UNSENT_BYTES as u64;
/// Upper bound of all larger frames together: 128 of the largest are more than the network of one machine takes at once.
const LARGE_TOTAL_BYTES: u64 = 128 * MAX_FRAME_BYTES;
/// A frame that is sent faster is followed by a larger one.
const FAST_SEND: Duration = Duration::from_millis(20);
/// A frame that is sent slower is followed by a smaller one.
const SLOW_SEND: Duration = Duration::from_millis(200);

/// Bytes of all larger frames.
static LARGE_BYTES: AtomicU64 = AtomicU64::new(0);

/// The frames of one answer.
#[derive(Debug)]
pub(super) struct Frames {
    bytes: u64,
    /// The time at which the last frame was handed out, and a channel that closes when it is sent.
    last: Option<(Instant, oneshot::Receiver<()>)>,
}

/// Permit for the memory of a frame.
#[derive(Debug)]
pub(super) struct FramePermit {
    bytes: u64,
    is_large: bool,
}

impl FramePermit {
    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Takes `wanted` bytes, or the small frame if the larger ones are used up.
    fn take(wanted: u64) -> Self {
        let within = |taken: u64| Some(taken + wanted).filter(|taken| *taken <= LARGE_TOTAL_BYTES);
        let is_large = wanted > SMALL_FRAME_BYTES
            && LARGE_BYTES.fetch_update(Ordering::Relaxed, Ordering::Relaxed, within).is_ok();
        Self { bytes: if is_large { wanted } else { wanted.min(SMALL_FRAME_BYTES) }, is_large }
    }
}

impl Drop for FramePermit {
    fn drop(&mut self) {
        if self.is_large {
            LARGE_BYTES.fetch_sub(self.bytes, Ordering::Relaxed);
        }
    }
}

/// The bytes of a frame. Dropped once they are sent.
struct Frame {
    bytes: Bytes,
    _permit: FramePermit,
    /// Dropped with the frame, which ends the receiver.
    _sent: oneshot::Sender<()>,
}

impl AsRef<[u8]> for Frame {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl Default for Frames {
    fn default() -> Self {
        Self { bytes: MAX_FRAME_BYTES, last: None }
    }
}

impl Frames {
    /// Ready when the last frame is sent: its bytes are in the kernel's buffer.
    pub(super) fn poll_sent(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let Some((handed_out_at, sent)) = &mut self.last else { return Poll::Ready(()) };
        // The sender is dropped without a message.
        let _ = ready!(Pin::new(sent).poll(cx));
        let took = handed_out_at.elapsed();
        if took < FAST_SEND {
            self.bytes = MAX_FRAME_BYTES.min(self.bytes * 2);
        } else if took > SLOW_SEND {
            self.bytes = SMALL_FRAME_BYTES.max(self.bytes / 4);
        }
        self.last = None;
        Poll::Ready(())
    }

    /// Takes the memory of the next frame, at most `left_bytes`.
    pub(super) fn permit(&self, left_bytes: u64) -> FramePermit {
        FramePermit::take(self.bytes.min(left_bytes))
    }

    /// Hands out a frame.
    pub(super) fn hand_out(&mut self, bytes: Bytes, permit: FramePermit) -> Bytes {
        let (sender, receiver) = oneshot::channel();
        self.last = Some((Instant::now(), receiver));
        Bytes::from_owner(Frame { bytes, _permit: permit, _sent: sender })
    }

    /// Hands out bytes that are in memory already.
    pub(super) fn hand_out_held(&mut self, bytes: Bytes) -> Bytes {
        self.hand_out(bytes, FramePermit { bytes: 0, is_large: false })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::task::Waker;

    #[test]
    fn a_client_that_does_not_read_holds_one_frame_and_a_crowd_of_them_small_ones() {
        let mut cx = Context::from_waker(Waker::noop());
        let mut all: Vec<(Frames, Bytes)> = Vec::new();
        let mut taken = 0;
        for _ in 0..2_000 {
            let mut frames = Frames::default();
            let permit = frames.permit(1 << 30);
            taken += permit.bytes();
            let frame = frames.hand_out(Bytes::from(vec![0; 1]), permit);
            assert!(frames.poll_sent(&mut cx).is_pending());
            all.push((frames, frame));
        }
        // Tests that run at the same time may hold some.
        assert!(taken <= LARGE_TOTAL_BYTES + 2_000 * SMALL_FRAME_BYTES, "{taken}");
        let (mut frames, frame) = all.pop().unwrap();
        drop(frame);
        assert!(frames.poll_sent(&mut cx).is_ready());
        drop(all);
        assert_eq!(frames.permit(1 << 30).bytes(), MAX_FRAME_BYTES, "the permits were not released");
        assert_eq!(frames.permit(100).bytes(), 100);
    }
}
