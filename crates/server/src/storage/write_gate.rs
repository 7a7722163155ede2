//! Decides where a write runs: on the async worker that has the bytes, or on a blocking thread.
//!
//! A write into the page cache takes tens of microseconds, less than handing it to another thread costs in
//! cold caches and wake-ups (measured: 0.07 to 0.1 CPU seconds per GiB). But when the disk is slow the kernel
//! makes writers wait, and a waiting worker serves no request. Therefore writes run in place only while recent ones were
//! fast, and never on all workers at the same time.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use super::StorageError;

/// A write that takes this long did not only fill the page cache: the kernel made it wait for the disk.
const SLOW_WRITE: Duration = Duration::from_millis(5);
/// How long after a slow write no write runs on a worker.
const SLOW_DISK_PERIOD: Duration = Duration::from_secs(10);

/// Shared by all writers to one storage.
#[derive(Debug)]
pub struct WriteGate {
    opened: Instant,
    /// Writes that may still begin in place.
    free_slots: AtomicUsize,
    /// Milliseconds since `opened` until which nothing runs in place.
    cautious_until_ms: AtomicU64,
}

impl WriteGate {
    /// At most `slots` writes run in place at the same time; there must be more workers than that.
    pub fn new(slots: usize) -> Self {
        Self { opened: Instant::now(), free_slots: AtomicUsize::new(slots), cautious_until_ms: AtomicU64::new(0) }
    }

    /// Runs `write` on `position`, in place or on a blocking thread. On a blocking thread it continues when this future is
    /// dropped, and holds the position until it has ended.
    ///
    /// # Errors
    /// Those of `write`.
    pub(super) async fn run<P: Send + 'static>(
        self: &Arc<Self>,
        mut position: P,
        write: impl FnOnce(&mut P) -> Result<(), StorageError> + Send + 'static,
    ) -> Result<P, StorageError> {
        if let Some(_in_place) = self.enter() {
            write(&mut position)?;
            return Ok(position);
        }
        let gate = Arc::clone(self);
        let written = tokio::task::spawn_blocking(move || {
            let began = Instant::now();
            let written = write(&mut position);
            gate.report(began.elapsed());
            written.map(|()| position)
        });
        written.await.map_err(StorageError::from)?
    }

    /// Permission to write in place, or `None`: write on a blocking thread, and report how long it took.
    fn enter(&self) -> Option<InPlaceGuard<'_>> {
        let now = Instant::now();
        if self.since_opened_ms(now) < self.cautious_until_ms.load(Ordering::Relaxed) {
            return None;
        }
        let take = |free: usize| free.checked_sub(1);
        self.free_slots.fetch_update(Ordering::Acquire, Ordering::Relaxed, take).ok()?;
        Some(InPlaceGuard { gate: self, began: now })
    }

    /// Reports how long a write took.
    fn report(&self, took: Duration) {
        if took >= SLOW_WRITE {
            let until = self.since_opened_ms(Instant::now() + SLOW_DISK_PERIOD);
            self.cautious_until_ms.fetch_max(until, Ordering::Relaxed);
        }
    }

    fn since_opened_ms(&self, moment: Instant) -> u64 {
        u64::try_from(moment.duration_since(self.opened).as_millis()).unwrap_or(u64::MAX)
    }
}

/// While it lives, a write runs in place.
#[derive(Debug)]
struct InPlaceGuard<'g> {
    gate: &'g WriteGate,
    began: Instant,
}

impl Drop for InPlaceGuard<'_> {
    fn drop(&mut self) {
        self.gate.free_slots.fetch_add(1, Ordering::Release);
        self.gate.report(self.began.elapsed());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_more_writes_run_in_place_than_there_are_slots() {
        let gate = WriteGate::new(2);
        let (first, second) = (gate.enter(), gate.enter());
        assert!(first.is_some() && second.is_some() && gate.enter().is_none());
        drop(first);
        assert!(gate.enter().is_some());
    }

    #[test]
    fn a_slow_write_sends_the_next_ones_to_blocking_threads() {
        let gate = WriteGate::new(2);
        gate.report(Duration::from_millis(4));
        assert!(gate.enter().is_some());
        gate.report(Duration::from_millis(6));
        assert!(gate.enter().is_none());
    }
}
