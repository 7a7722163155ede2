//! The kind of a filesystem, and its abilities.
//!
//! Local filesystems with a journal have all abilities that Partway needs. Filesystems on a network, in user space (FUSE) and
//! of memory cards lack some: they cannot reserve space, do not see locks of another mount, or report a sync too early.

use std::fs::File;
use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};

use rustix::fs::{FallocateFlags, FlockOperation};
use rustix::io::Errno;

use crate::file_modes::private_file;
use uuid::Uuid;

/// Filesystems that lack something, by their number in `statfs` (statfs(2) and linux/magic.h).
const LIMITED_FILESYSTEMS: [(u64, &str, &str); 12] = [
    (0x6969, "NFS", "locks and syncs depend on the server, and SQLite's write-ahead log works on one machine only"),
    (
        0x6573_5546,
        "FUSE",
        "a server on another mount of the same directory may not be noticed at once, and syncs depend on the program that serves it",
    ),
    (0x0102_1997, "9p", "it may neither lock nor sync, and SQLite's write-ahead log may not work"),
    (
        0xff53_4d42,
        "CIFS",
        "locks and syncs depend on the server, and SQLite's write-ahead log works on one machine only",
    ),
    (
        0xfe53_4d42,
        "SMB",
        "locks and syncs depend on the server, and SQLite's write-ahead log works on one machine only",
    ),
    (0x2011_bab0, "exFAT", "it has no journal: a power cut may damage it, and space cannot be reserved"),
    (0x4d44, "FAT", "it has no journal, and no file of 4 GiB or more"),
    (0x00c3_6400, "CephFS", "locks depend on its servers, and SQLite's write-ahead log works on one machine only"),
    (
        0x0bd0_0bd0,
        "Lustre",
        "it locks only when mounted with flock, and SQLite's write-ahead log works on one machine only",
    ),
    (0x786f_4256, "vboxsf", "it has no locks and no shared memory, which SQLite's write-ahead log needs"),
    (0x0102_1994, "tmpfs", "it is in memory: everything in it is lost when the machine stops"),
    (0x8584_58f6, "ramfs", "it is in memory: everything in it is lost when the machine stops"),
];

/// The warning for a data directory on the filesystem of `path`, which names the kind; `None` if there is none to give.
///
/// # Errors
/// The system's error.
pub fn doubt(path: &Path) -> io::Result<Option<String>> {
    // The type of the field differs by platform, and some sign-extend it.
    let kind = rustix::fs::statfs(path)?.f_type as u64 & 0xffff_ffff;
    let known = LIMITED_FILESYSTEMS.iter().find(|(number, _, _)| *number == kind);
    Ok(known.map(|(_, name, lacks)| format!("{} is on {name}: {lacks}", path.display())))
}

/// Whether space can be reserved for files in `directory`. ZFS, NFS before 4.2, exFAT, 9p and many FUSE programs have only
/// sparse files. The trial has a name, as blobs have: some filesystems lack files without one.
///
/// # Errors
/// When no file can be created in it.
pub fn can_reserve(directory: &Path) -> io::Result<bool> {
    match TrialFile::create(directory).and_then(|trial| reserve(&trial.open()?, 0..1)) {
        Err(error) if is_unsupported(&error) => Ok(false),
        // A disk that is full now does reserve later.
        Err(error) if error.kind() == io::ErrorKind::StorageFull => Ok(true),
        tried => tried.map(|()| true),
    }
}

/// Whether a lock of a file in `directory` is seen by a second descriptor of the file. Without that, two servers could use one
/// directory.
///
/// # Errors
/// When the file cannot be created or locked.
pub fn has_locks(directory: &Path) -> io::Result<bool> {
    let trial = TrialFile::create(directory)?;
    let (first, second) = (trial.open()?, trial.open()?);
    rustix::fs::flock(&first, FlockOperation::NonBlockingLockExclusive)?;
    match rustix::fs::flock(&second, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(false),
        Err(Errno::WOULDBLOCK) => Ok(true),
        Err(errno) => Err(errno.into()),
    }
}

/// A file of a trial, until it is dropped.
struct TrialFile(PathBuf);

impl TrialFile {
    fn create(directory: &Path) -> io::Result<Self> {
        let path = directory.join(format!("trial-{}", Uuid::new_v4()));
        private_file().write(true).create_new(true).open(&path)?;
        Ok(Self(path))
    }

    fn open(&self) -> io::Result<File> {
        private_file().read(true).write(true).open(&self.0)
    }
}

impl Drop for TrialFile {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

/// Reserves space for `range` of the file, which grows to its end.
pub(super) fn reserve(file: &File, range: Range<u64>) -> io::Result<()> {
    Ok(rustix::fs::fallocate(file, FallocateFlags::empty(), range.start, range.end - range.start)?)
}

/// Whether the filesystem has no such operation at all.
pub fn is_unsupported(error: &io::Error) -> bool {
    matches!(Errno::from_io_error(error), Some(Errno::OPNOTSUPP | Errno::NOSYS))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_trial_leaves_nothing() {
        let directory = tempfile::tempdir().unwrap();
        can_reserve(directory.path()).unwrap();
        assert!(has_locks(directory.path()).unwrap());
        assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 0);
    }

    #[test]
    fn the_kind_of_a_filesystem_is_read() {
        // /proc has no warning; the call only has to succeed.
        assert_eq!(doubt(Path::new("/proc")).unwrap(), None);
        assert!(doubt(Path::new("/no/such/directory")).is_err());
    }
}
