//! How many threads do what.

use std::thread::available_parallelism;

/// Writes that may run on async workers at once: one per core, because a write into the page cache keeps a core busy.
pub fn write_slots() -> usize {
    available_parallelism().map_or(1, usize::from)
}

/// Async workers: one more than [`write_slots`], so that one always serves, even when every write is stuck.
pub fn worker_threads() -> usize {
    write_slots() + 1
}
