//! The bytes of an unfinished download, in a file next to its target.
//!
//! Invariants: the target is a whole file, or as it was before. A `PartFile` is locked as long as it lives, so no other process writes to
//! it. Saves of its state run one after another, also those that are no longer awaited, and none runs after the file is published or
//! discarded.

use std::fs::{self, File, TryLockError};
use std::io;
use std::ops::Range;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::names::{NEW_STATE_SUFFIX, PART_SUFFIX, STATE_SUFFIX, with_suffix};
use super::ranges::Ranges;
use super::state::State;
use super::target;
use super::version::Version;
use crate::{Error, local_files};

/// Bytes per read.
const READ_BYTES: usize = 256 * 1024;
/// Mode of the future target, before the user's umask.
const MODE: u32 = 0o666;

/// Whether an earlier run left bytes and their state.
pub(crate) fn has_begun(target: &Path) -> bool {
    let part = fs::symlink_metadata(with_suffix(target, PART_SUFFIX));
    part.is_ok_and(|part| part.is_file() && part.len() > 0) && State::read(&with_suffix(target, STATE_SUFFIX)).is_some()
}

/// Removes what an earlier run left of this URL, unless another process uses it.
pub(crate) fn remove_remains(target: &Path, url: &str) {
    if has_begun(target)
        && let Ok(part) = PartFile::open(target)
        && State::read(&part.state_path).is_some_and(|state| state.url == url)
    {
        part.discard();
    }
}

/// The part file of a target, locked. All calls block.
#[derive(Debug)]
pub(crate) struct PartFile {
    file: File,
    path: PathBuf,
    state_path: PathBuf,
    new_state_path: PathBuf,
    target: PathBuf,
    /// Held while the state is written or removed.
    memory: Mutex<Memory>,
}

/// Whether the state of a part file may be written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Memory {
    /// The state is written as pieces arrive.
    Open,
    /// The file was published or discarded, so no state may be left.
    Over,
}

impl PartFile {
    /// Opens or creates the part file of `target`.
    pub(crate) fn open(target: &Path) -> Result<Self, Error> {
        let path = with_suffix(target, PART_SUFFIX);
        let failed = |source| Error::File { path: path.clone(), source };
        loop {
            let file = local_files::open(&path, MODE).map_err(failed)?;
            match file.try_lock() {
                Err(TryLockError::WouldBlock) => {
                    return Err(Error::Target {
                        path: target.to_owned(),
                        problem: "is being downloaded by another process",
                    });
                }
                // The filesystem has no locks, so other processes cannot be detected.
                Ok(()) | Err(TryLockError::Error(_)) => {}
            }
            // The process that held the lock before may have published the file; then this one is the target.
            let here = fs::metadata(&path).map(|metadata| metadata.ino()).ok();
            if here == Some(file.metadata().map_err(failed)?.ino()) {
                return Ok(Self {
                    file,
                    state_path: with_suffix(target, STATE_SUFFIX),
                    new_state_path: with_suffix(target, NEW_STATE_SUFFIX),
                    target: target.to_owned(),
                    path,
                    memory: Mutex::new(Memory::Open),
                });
            }
        }
    }

    /// The bytes that an earlier run left of this version; `None` when nothing can be resumed.
    pub(crate) fn recall(&self, url: &str, version: &Version) -> Option<Ranges> {
        let state = State::read(&self.state_path)?;
        let is_whole = self.file.metadata().is_ok_and(|metadata| metadata.len() == version.size_bytes);
        (is_whole && state.url == url && state.version == *version).then_some(state.received)
    }

    /// Whether an earlier run left anything.
    pub(crate) fn has_remains(&self) -> bool {
        self.file.metadata().is_ok_and(|metadata| metadata.len() > 0)
    }

    /// Removes the bytes and their state.
    pub(crate) fn empty(&self) -> Result<(), Error> {
        let _memory = self.memory();
        self.empty_held()
    }

    fn empty_held(&self) -> Result<(), Error> {
        local_files::remove(&self.state_path)
            .map_err(|source| Error::File { path: self.state_path.clone(), source })?;
        self.file.set_len(0).map_err(|source| self.failed(source))
    }

    /// Starts from the beginning with a version.
    pub(crate) fn begin(&self, url: &str, version: &Version) -> Result<(), Error> {
        let _memory = self.memory();
        self.empty_held()?;
        let state = State { url: url.to_owned(), version: version.clone(), received: Ranges::default() };
        state.write(&self.state_path, &self.new_state_path)?;
        // The full length marks the state as belonging to this file.
        self.file.set_len(version.size_bytes).map_err(|source| self.failed(source))
    }

    /// Writes bytes at their offset.
    pub(crate) fn write(&self, bytes: &[u8], offset: u64) -> Result<(), Error> {
        self.file.write_all_at(bytes, offset).map_err(|source| self.failed(source))
    }

    /// Calls `each` with all bytes of `range`, in order.
    pub(crate) fn read(&self, range: Range<u64>, mut each: impl FnMut(&[u8])) -> Result<(), Error> {
        let mut buffer = vec![0; READ_BYTES];
        let mut offset = range.start;
        while offset < range.end {
            let length = READ_BYTES.min(usize::try_from(range.end - offset).unwrap_or(READ_BYTES));
            self.file.read_exact_at(&mut buffer[..length], offset).map_err(|source| self.failed(source))?;
            each(&buffer[..length]);
            offset += length as u64;
        }
        Ok(())
    }

    /// Saves which bytes were received, after syncing them. Does nothing once the file is published or discarded.
    pub(crate) fn save(&self, state: &State) -> Result<(), Error> {
        let memory = self.memory();
        if *memory == Memory::Over {
            return Ok(());
        }
        self.file.sync_data().map_err(|source| self.failed(source))?;
        state.write(&self.state_path, &self.new_state_path)
    }

    /// Renames the whole file to the target.
    pub(crate) fn publish(&self, overwrite: bool) -> Result<(), Error> {
        let failed = |source| Error::File { path: self.target.clone(), source };
        self.file.sync_all().map_err(|source| self.failed(source))?;
        target::check(&self.target, overwrite)?;
        let mut memory = self.memory();
        target::take_name(&self.path, &self.target, overwrite)?;
        *memory = Memory::Over;
        let directory = self.target.parent().filter(|parent| !parent.as_os_str().is_empty());
        File::open(directory.unwrap_or(Path::new("."))).and_then(|directory| directory.sync_all()).map_err(failed)?;
        let _ = fs::remove_file(&self.state_path);
        Ok(())
    }

    /// Removes the file and its state. The next download starts from the beginning.
    pub(crate) fn discard(&self) {
        *self.memory() = Memory::Over;
        for path in [&self.state_path, &self.new_state_path, &self.path] {
            let _ = fs::remove_file(path);
        }
    }

    fn memory(&self) -> MutexGuard<'_, Memory> {
        self.memory.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn failed(&self, source: io::Error) -> Error {
        Error::File { path: self.path.clone(), source }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const URL: &str = "http://x/w/f";

    fn version(etag: &str) -> Version {
        Version { size_bytes: 10, etag: etag.into() }
    }

    fn names(directory: &Path) -> Vec<String> {
        let mut names: Vec<_> =
            fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    #[test]
    fn what_was_saved_is_recalled_of_the_same_version_only() {
        let directory = tempfile::tempdir().unwrap();
        let target = directory.path().join("ä b");
        let part = PartFile::open(&target).unwrap();
        assert!(!part.has_remains());
        part.begin(URL, &version("\"1\"")).unwrap();
        part.write(b"hello", 0).unwrap();
        let received = Ranges::from(vec![(0, 5)]);
        part.save(&State { url: URL.into(), version: version("\"1\""), received: received.clone() }).unwrap();
        drop(part);
        let part = PartFile::open(&target).unwrap();
        assert_eq!(part.recall(URL, &version("\"1\"")), Some(received));
        assert_eq!(part.recall(URL, &version("\"2\"")), None);
        assert_eq!(part.recall("http://y/w/f", &version("\"1\"")), None);
        let mut read = Vec::new();
        part.read(1..5, |bytes| read.extend_from_slice(bytes)).unwrap();
        assert_eq!(read, b"ello");
        // Started again by a process that ended before it set the length.
        part.file.set_len(0).unwrap();
        assert_eq!(part.recall(URL, &version("\"1\"")), None);
        part.begin(URL, &version("\"2\"")).unwrap();
        assert_eq!(part.recall(URL, &version("\"2\"")), Some(Ranges::default()));
        assert_eq!(names(directory.path()), ["ä b.partway-part", "ä b.partway-state"]);
        part.publish(false).unwrap();
        assert_eq!(names(directory.path()), ["ä b"]);
    }

    #[test]
    fn saves_run_one_after_another_and_none_runs_after_publishing() {
        let directory = tempfile::tempdir().unwrap();
        let target = directory.path().join("f");
        let part = PartFile::open(&target).unwrap();
        part.begin(URL, &version("\"1\"")).unwrap();
        let state = State { url: URL.into(), version: version("\"1\""), received: Ranges::from(vec![(0, 5)]) };
        std::thread::scope(|scope| {
            let savers: Vec<_> = (0..4).map(|_| scope.spawn(|| (0..50).try_for_each(|_| part.save(&state)))).collect();
            // In the middle of them, and it stays the last word.
            part.save(&state).unwrap();
            part.publish(false).unwrap();
            for saver in savers {
                saver.join().unwrap().unwrap();
            }
        });
        part.save(&state).unwrap();
        assert_eq!(names(directory.path()), ["f"]);
    }

    #[test]
    fn a_target_that_appeared_in_the_meantime_is_replaced_only_when_asked() {
        let directory = tempfile::tempdir().unwrap();
        let target = directory.path().join("f");
        let part = PartFile::open(&target).unwrap();
        part.write(b"new", 0).unwrap();
        fs::write(&target, "old").unwrap();
        assert!(part.publish(false).unwrap_err().to_string().ends_with("f is there already"));
        assert_eq!(fs::read(&target).unwrap(), b"old");
        part.publish(true).unwrap();
        assert_eq!(fs::read(&target).unwrap(), b"new");
    }

    #[test]
    fn a_part_file_that_is_a_link_is_left_alone() {
        let directory = tempfile::tempdir().unwrap();
        let (target, mine) = (directory.path().join("f"), directory.path().join("mine"));
        fs::write(&mine, "precious").unwrap();
        std::os::unix::fs::symlink(&mine, with_suffix(&target, PART_SUFFIX)).unwrap();
        let error = PartFile::open(&target).unwrap_err().to_string();
        assert!(error.contains("f.partway-part: is a symbolic link"), "{error}");
        assert_eq!(fs::read(&mine).unwrap(), b"precious");
    }

    #[test]
    fn two_at_once_do_not_meet() {
        let directory = tempfile::tempdir().unwrap();
        let target = directory.path().join("f");
        let first = PartFile::open(&target).unwrap();
        assert!(PartFile::open(&target).unwrap_err().to_string().contains("another process"));
        first.discard();
        drop(first);
        assert!(names(directory.path()).is_empty());
        PartFile::open(&target).unwrap();
    }

    #[test]
    fn names_as_long_as_can_be_have_room_for_an_ending() {
        let directory = tempfile::tempdir().unwrap();
        let long = |last: char| directory.path().join(format!("{}{last}", "ä".repeat(127)));
        let (one, two) = (PartFile::open(&long('1')).unwrap(), PartFile::open(&long('2')).unwrap());
        one.begin(URL, &version("\"1\"")).unwrap();
        two.begin(URL, &version("\"1\"")).unwrap();
        one.publish(false).unwrap();
        assert!(long('1').exists());
    }
}
