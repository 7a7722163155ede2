//! How much of an answer its connection takes now, for bodies that are read from a file or a store.
//!
//! Invariant: a body is told of room only when the kernel takes that many bytes at once. Therefore an answer of which the client
//! takes nothing holds its place in the file and none of its bytes. A body that was told of none is polled again when there is some:
//! its connection, which is the same task, waits for the socket then (`paced_stream.rs`).

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::task::Poll;

/// Fits into the kernel's buffer of a new connection, beside the head of an answer.
const FIRST_BYTES: u64 = 64 * 1024;
/// Less room counts as none, so that files are not sent in crumbs. A kernel that says that there is room has at least as much, whatever
/// its settings.
pub(crate) const LEAST_BYTES: u64 = 16 * 1024;

/// The room of one connection. Clones share it.
#[derive(Debug, Clone)]
pub(crate) struct SendRoom(Arc<State>);

#[derive(Debug)]
struct State {
    bytes: AtomicU64,
    /// A body has asked at some time: before that nobody needs to look.
    is_used: AtomicBool,
    /// A body waits.
    is_wanted: AtomicBool,
}

impl SendRoom {
    pub(crate) fn new() -> Self {
        Self::of(FIRST_BYTES)
    }

    /// For answers that go to nobody's socket.
    pub(crate) fn endless() -> Self {
        Self::of(u64::MAX)
    }

    fn of(bytes: u64) -> Self {
        let (is_used, is_wanted) = (AtomicBool::new(false), AtomicBool::new(false));
        Self(Arc::new(State { bytes: AtomicU64::new(bytes), is_used, is_wanted }))
    }

    /// How many bytes are taken at once, for a body that has `left_bytes`. Pending, it is polled again with its connection.
    pub(crate) fn poll_bytes(&self, left_bytes: u64) -> Poll<u64> {
        self.0.is_used.store(true, Ordering::Relaxed);
        let bytes = self.0.bytes.load(Ordering::Relaxed);
        if bytes >= left_bytes.min(LEAST_BYTES) {
            return Poll::Ready(bytes);
        }
        self.0.is_wanted.store(true, Ordering::Relaxed);
        Poll::Pending
    }

    pub(crate) fn is_used(&self) -> bool {
        self.0.is_used.load(Ordering::Relaxed)
    }

    pub(crate) fn is_wanted(&self) -> bool {
        self.0.is_wanted.load(Ordering::Relaxed)
    }

    /// There is so much now.
    pub(crate) fn set(&self, bytes: u64) {
        self.0.bytes.store(bytes, Ordering::Relaxed);
    }

    /// There is so much now, for the body that waits.
    pub(crate) fn grant(&self, bytes: u64) {
        self.set(bytes.max(LEAST_BYTES));
        self.0.is_wanted.store(false, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_waits_for_room_that_is_worth_it_and_gets_it_once_the_socket_says_so() {
        let room = SendRoom::new();
        assert!(!room.is_used());
        assert_eq!(room.poll_bytes(1 << 30), Poll::Ready(FIRST_BYTES));
        room.set(LEAST_BYTES - 1);
        assert!(room.is_used() && !room.is_wanted());
        assert_eq!(room.poll_bytes(100), Poll::Ready(LEAST_BYTES - 1));
        assert!(room.poll_bytes(1 << 30).is_pending() && room.is_wanted());
        room.grant(0);
        assert_eq!(room.poll_bytes(1 << 30), Poll::Ready(LEAST_BYTES));
        assert!(!room.is_wanted());
    }
}
