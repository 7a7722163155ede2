//! Free space of the disk. Before a write, its bytes are promised; bytes that are promised and not yet written count as taken
//! for all other writers.
//!
//! Invariant: when a promise is made, the disk has `min_free_bytes` in addition to all promises. Any number of concurrent
//! writers leave that much free; only the database and other programs can use it.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

/// How full a disk is, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DiskState {
    /// Free for this user.
    pub free_bytes: u64,
    /// Size of the disk.
    pub size_bytes: u64,
    /// Promised to uploads in progress and not yet written.
    pub promised_bytes: u64,
    /// Bytes that files leave free (`storage.min_free_bytes`).
    pub kept_bytes: u64,
}

impl DiskState {
    /// Whether uploads are refused.
    pub fn is_full(&self) -> bool {
        self.left_bytes() == 0
    }

    /// Bytes that new uploads may still take.
    pub fn left_bytes(&self) -> u64 {
        self.free_bytes.saturating_sub(self.kept_bytes.saturating_add(self.promised_bytes))
    }

    /// `strangers_kept_bytes`: free space that public keys leave.
    fn check(&self, wanted_bytes: u64, strangers_kept_bytes: u64) -> io::Result<()> {
        let Self { free_bytes, promised_bytes, .. } = self;
        let kept_bytes = self.kept_bytes.max(strangers_kept_bytes);
        if *free_bytes >= kept_bytes.saturating_add(*promised_bytes).saturating_add(wanted_bytes) {
            return Ok(());
        }
        let kept_by = match kept_bytes > self.kept_bytes {
            true => "from public keys (limits.public_keep_free_percent)",
            false => "(storage.min_free_bytes)",
        };
        let problem = format!(
            "{free_bytes} bytes free, {wanted_bytes} wanted, {promised_bytes} promised to other uploads, {kept_bytes} kept \
             {kept_by}"
        );
        Err(io::Error::new(io::ErrorKind::StorageFull, problem))
    }
}

/// The free space of one disk, shared by all writers.
#[derive(Debug)]
pub(super) struct DiskRoom {
    root: PathBuf,
    min_free_bytes: u64,
    promised_bytes: AtomicU64,
    /// Held during a check of the free space, and while space is taken in one step: no two writers get the same bytes.
    judging: Mutex<()>,
}

impl DiskRoom {
    pub(super) fn new(root: &Path, min_free_bytes: u64) -> Arc<Self> {
        Arc::new(Self {
            root: root.to_owned(),
            min_free_bytes,
            promised_bytes: AtomicU64::new(0),
            judging: Mutex::new(()),
        })
    }

    /// How full the disk is. Blocks.
    pub(super) fn state(&self) -> io::Result<DiskState> {
        // Promises are read first: bytes that are written in between count twice instead of not at all.
        let promised_bytes = self.promised_bytes.load(Ordering::SeqCst);
        let disk = rustix::fs::statvfs(&self.root)?;
        let free_bytes = disk.f_bavail.saturating_mul(disk.f_frsize);
        let size_bytes = disk.f_blocks.saturating_mul(disk.f_frsize);
        Ok(DiskState { free_bytes, size_bytes, promised_bytes, kept_bytes: self.min_free_bytes })
    }

    /// Promises `bytes`. Blocks.
    ///
    /// # Errors
    /// `StorageFull` when there is not enough free space; nothing is promised then.
    pub(super) fn promise(self: &Arc<Self>, bytes: u64) -> io::Result<Promise> {
        self.promise_keeping(bytes, 0)
    }

    /// Promises `bytes` if at least `kept_bytes` stay free. Blocks.
    pub(super) fn promise_keeping(self: &Arc<Self>, bytes: u64, kept_bytes: u64) -> io::Result<Promise> {
        let mut promise = Promise { room: Arc::clone(self), left_bytes: 0 };
        promise.extend_keeping(bytes, kept_bytes)?;
        Ok(promise)
    }
}

/// Bytes that the holder may write. Dropping it returns the bytes that are left, so a writer must hold it until its last
/// write has ended.
#[derive(Debug)]
pub struct Promise {
    room: Arc<DiskRoom>,
    left_bytes: u64,
}

impl Promise {
    /// Promises `bytes` more. Blocks.
    ///
    /// # Errors
    /// `StorageFull` when there is not enough free space; the earlier promise stays.
    pub fn extend(&mut self, bytes: u64) -> io::Result<()> {
        self.extend_keeping(bytes, 0)
    }

    fn extend_keeping(&mut self, bytes: u64, kept_bytes: u64) -> io::Result<()> {
        let _judging = self.room.judging.lock().unwrap_or_else(PoisonError::into_inner);
        self.room.state()?.check(bytes, kept_bytes)?;
        self.room.promised_bytes.fetch_add(bytes, Ordering::SeqCst);
        self.left_bytes += bytes;
        Ok(())
    }

    /// Notes that `bytes` of the promise are on the disk. Does not block.
    pub fn written(&mut self, bytes: u64) {
        let bytes = bytes.min(self.left_bytes);
        self.left_bytes -= bytes;
        self.room.promised_bytes.fetch_sub(bytes, Ordering::SeqCst);
    }

    /// Runs `take`, which takes `bytes` of the promise in one step, so that no check counts them twice. Blocks.
    pub(super) fn take<T>(&mut self, bytes: u64, take: impl FnOnce() -> io::Result<T>) -> io::Result<T> {
        let room = Arc::clone(&self.room);
        let _judging = room.judging.lock().unwrap_or_else(PoisonError::into_inner);
        let taken = take()?;
        self.written(bytes);
        Ok(taken)
    }

    /// Promised bytes that are not yet written.
    pub fn left_bytes(&self) -> u64 {
        self.left_bytes
    }
}

impl Drop for Promise {
    fn drop(&mut self) {
        self.written(self.left_bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn promised_bytes_count_as_taken_until_they_are_written_or_returned() {
        let directory = tempfile::tempdir().unwrap();
        let free = DiskRoom::new(directory.path(), 0).state().unwrap().free_bytes;
        // Other tests write to the same disk meanwhile: the figures have a margin.
        let margin = free / 4;
        let room = DiskRoom::new(directory.path(), margin);
        let mut first = room.promise(free / 2).unwrap();
        assert_eq!(room.state().unwrap().promised_bytes, free / 2);
        assert_eq!(room.promise(free / 2).unwrap_err().kind(), io::ErrorKind::StorageFull);
        assert_eq!(first.extend(free / 2).unwrap_err().kind(), io::ErrorKind::StorageFull);
        assert_eq!(first.left_bytes(), free / 2);
        first.written(free / 2 - 10);
        assert_eq!(room.state().unwrap().promised_bytes, 10);
        let second = room.promise(free / 2).unwrap();
        drop((first, second));
        assert_eq!(room.state().unwrap().promised_bytes, 0);
    }

    #[test]
    fn concurrent_promises_never_share_bytes() {
        let directory = tempfile::tempdir().unwrap();
        let free = DiskRoom::new(directory.path(), 0).state().unwrap().free_bytes;
        let room = DiskRoom::new(directory.path(), free / 2);
        let each = free / 40;
        let promised: Vec<_> = std::thread::scope(|scope| {
            let tries: Vec<_> = (0..64).map(|_| scope.spawn(|| room.promise(each).ok())).collect();
            tries.into_iter().filter_map(|one| one.join().unwrap()).collect()
        });
        assert!((15..=20).contains(&promised.len()), "{} promises", promised.len());
    }
}
