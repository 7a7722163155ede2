//! The pieces in which an answer's bytes are handed to the connection, and how much memory all of them may take.
//!
//! Invariant: of each answer one frame is in memory, and a larger one than [`SMALL_BYTES`] only while all of these together are
//! within [`LARGE_TOTAL_BYTES`]. A frame is handed out when the kernel has said that it takes it (`send_room.rs`); where it takes less, because it
//! has little memory for all connections together, readers that do not read cost little all the same, however many there are and however
//! fast they once were, and those who do read get frames that are cheap to send.

use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use bytes::Bytes;
use tokio::sync::oneshot;

use crate::http::MOST_UNSENT_BYTES;

/// A frame that everybody may have: ten thousand of them are 40 MiB.
pub(super) const SMALL_BYTES: u64 = 4 * 1024;
/// The largest: as much as the kernel takes in advance (`paced_stream.rs`). Larger ones were no faster.
const LARGEST_BYTES: u64 = MOST_UNSENT_BYTES as u64;
/// All frames that are larger than the small ones together: 128 of the largest are more than the network of one machine takes at once.
const LARGE_TOTAL_BYTES: u64 = 128 * LARGEST_BYTES;
/// A frame that is gone sooner is followed by a larger one, and one that took longer by a smaller one.
const SOON: Duration = Duration::from_millis(20);
const LATE: Duration = Duration::from_millis(200);

static LARGE_BYTES: AtomicU64 = AtomicU64::new(0);

/// The frames of one answer.
#[derive(Debug)]
pub(super) struct Frames {
    bytes: u64,
    /// When the last one was handed out, and what ends when it is gone.
    last: Option<(Instant, oneshot::Receiver<()>)>,
}

/// Memory for a frame.
#[derive(Debug)]
pub(super) struct Room {
    bytes: u64,
    is_large: bool,
}

impl Room {
    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// As much as there is, up to `wanted`.
    fn take(wanted: u64) -> Self {
        let within = |taken: u64| Some(taken + wanted).filter(|taken| *taken <= LARGE_TOTAL_BYTES);
        let is_large =
            wanted > SMALL_BYTES && LARGE_BYTES.fetch_update(Ordering::Relaxed, Ordering::Relaxed, within).is_ok();
        Self { bytes: if is_large { wanted } else { wanted.min(SMALL_BYTES) }, is_large }
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        if self.is_large {
            LARGE_BYTES.fetch_sub(self.bytes, Ordering::Relaxed);
        }
    }
}

/// A frame's bytes. Dropped once they are sent.
struct Frame {
    bytes: Bytes,
    _room: Room,
    /// Tells that it is gone by being dropped.
    _gone: oneshot::Sender<()>,
}

impl AsRef<[u8]> for Frame {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl Default for Frames {
    fn default() -> Self {
        Self { bytes: LARGEST_BYTES, last: None }
    }
}

impl Frames {
    /// Ready when the last frame is gone: its bytes are in the kernel's hands.
    pub(super) fn poll_gone(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let Some((handed_out_at, gone)) = &mut self.last else { return Poll::Ready(()) };
        // Whether it was dropped or said something is the same.
        let _ = ready!(Pin::new(gone).poll(cx));
        let took = handed_out_at.elapsed();
        if took < SOON {
            self.bytes = LARGEST_BYTES.min(self.bytes * 2);
        } else if took > LATE {
            self.bytes = SMALL_BYTES.max(self.bytes / 4);
        }
        self.last = None;
        Poll::Ready(())
    }

    /// Room for the next frame, of at most `left_bytes`.
    pub(super) fn room(&self, left_bytes: u64) -> Room {
        Room::take(self.bytes.min(left_bytes))
    }

    /// Hands out a frame.
    pub(super) fn hand_out(&mut self, bytes: Bytes, room: Room) -> Bytes {
        let (sender, receiver) = oneshot::channel();
        self.last = Some((Instant::now(), receiver));
        Bytes::from_owner(Frame { bytes, _room: room, _gone: sender })
    }

    /// The same for bytes that are in memory already.
    pub(super) fn hand_out_held(&mut self, bytes: Bytes) -> Bytes {
        self.hand_out(bytes, Room { bytes: 0, is_large: false })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::task::Waker;

    #[test]
    fn a_reader_that_does_not_read_holds_one_frame_and_a_crowd_of_them_small_ones() {
        let mut cx = Context::from_waker(Waker::noop());
        let mut all: Vec<(Frames, Bytes)> = Vec::new();
        let mut taken = 0;
        for _ in 0..2_000 {
            let mut frames = Frames::default();
            let room = frames.room(1 << 30);
            taken += room.bytes();
            let frame = frames.hand_out(Bytes::from(vec![0; 1]), room);
            assert!(frames.poll_gone(&mut cx).is_pending());
            all.push((frames, frame));
        }
        // Tests beside this one may hold some.
        assert!(taken <= LARGE_TOTAL_BYTES + 2_000 * SMALL_BYTES, "{taken}");
        let (mut frames, frame) = all.pop().unwrap();
        drop(frame);
        assert!(frames.poll_gone(&mut cx).is_ready());
        drop(all);
        assert_eq!(frames.room(1 << 30).bytes(), LARGEST_BYTES, "the room was not given back");
        assert_eq!(frames.room(100).bytes(), 100);
    }
}
