//! The number of bytes that a connection takes now, for bodies that are read from a file or a store.
//!
//! Invariant: a body learns of room only when the kernel takes that many bytes at once. An answer whose client takes nothing
//! therefore holds a position in the file and none of its bytes. A body without room is polled again when there is some: its
//! connection, which is the same task, waits for the socket meanwhile (`paced_stream.rs`).

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::task::Poll;

/// Room of a new connection: fits into the kernel's buffer together with the head of an answer.
const FIRST_BYTES: u64 = 64 * 1024;
/// Less room counts as none, so that files are not sent in tiny frames. A kernel that reports room has at least as much, under any
/// settings.
pub(crate) const MIN_ROOM_BYTES: u64 = 16 * 1024;

/// The room of one connection. Clones share it.
#[derive(Debug, Clone)]
pub(crate) struct SendRoom(Arc<State>);

#[derive(Debug)]
struct State {
    bytes: AtomicU64,
    /// A body has asked for room. Until then the socket is not queried.
    is_used: AtomicBool,
    /// A body waits for room.
    is_wanted: AtomicBool,
}

impl SendRoom {
    pub(crate) fn new() -> Self {
        Self::of(FIRST_BYTES)
    }

    /// Unlimited room, for answers that go to no socket.
    pub(crate) fn endless() -> Self {
        Self::of(u64::MAX)
    }

    fn of(bytes: u64) -> Self {
        let (is_used, is_wanted) = (AtomicBool::new(false), AtomicBool::new(false));
        Self(Arc::new(State { bytes: AtomicU64::new(bytes), is_used, is_wanted }))
    }

    /// The bytes that are taken at once, for a body with `left_bytes`. A pending body is polled again with its connection.
    pub(crate) fn poll_bytes(&self, left_bytes: u64) -> Poll<u64> {
        self.0.is_used.store(true, Ordering::Relaxed);
        let bytes = self.0.bytes.load(Ordering::Relaxed);
        if bytes >= left_bytes.min(MIN_ROOM_BYTES) {
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

    /// Sets the room.
    pub(crate) fn set(&self, bytes: u64) {
        self.0.bytes.store(bytes, Ordering::Relaxed);
    }

    /// Sets the room for the body that waits.
    pub(crate) fn grant(&self, bytes: u64) {
        self.set(bytes.max(MIN_ROOM_BYTES));
        self.0.is_wanted.store(false, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_waits_for_room_that_is_worth_it_and_gets_it_once_the_socket_has_it() {
        let room = SendRoom::new();
        assert!(!room.is_used());
        assert_eq!(room.poll_bytes(1 << 30), Poll::Ready(FIRST_BYTES));
        room.set(MIN_ROOM_BYTES - 1);
        assert!(room.is_used() && !room.is_wanted());
        assert_eq!(room.poll_bytes(100), Poll::Ready(MIN_ROOM_BYTES - 1));
        assert!(room.poll_bytes(1 << 30).is_pending() && room.is_wanted());
        room.grant(0);
        assert_eq!(room.poll_bytes(1 << 30), Poll::Ready(MIN_ROOM_BYTES));
        assert!(!room.is_wanted());
    }
}
