//! The number of threads.

use std::thread::available_parallelism;

/// Maximum concurrent writes on async workers: one per core, because a write into the page cache keeps a core busy.
pub fn write_slots() -> usize {
    available_parallelism().map_or(1, usize::from)
}

/// Async workers: one more than [`write_slots`], so that one serves requests even while every write is stuck.
pub fn worker_threads() -> usize {
    write_slots() + 1
}
