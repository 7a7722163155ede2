//! The reserve: space on the disk that is kept for writes that free space.
//!
//! Freeing bytes needs a write to the database first. On a full disk that write would fail, and nothing could ever be freed. A file
//! of a few MiB next to the database is therefore truncated by the server, or by a command, when the disk is full. The server fills it
//! again once the disk has space.
//!
//! Invariant: only writes that free something use the reserve. From its truncation until it is filled again, every process refuses
//! other writes. The file itself is the state: a truncated file was given up, a missing file was never filled.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use rustix::fs::FallocateFlags;
use rustix::io::Errno;

use super::location::DATABASE_FILE;
use crate::file_modes::private_file;

/// Enough for the log of some thousand small transactions.
const RESERVE_BYTES: u64 = 4 * 1024 * 1024;
/// Free bytes from which on the file is filled again. More than its size, so that space that was just given up is left to the writes
/// that need it.
const REFILL_BYTES: u64 = 2 * RESERVE_BYTES;

/// The reserve of a data directory. All methods block.
#[derive(Debug)]
pub(crate) struct DatabaseReserve {
    path: PathBuf,
}

impl DatabaseReserve {
    /// The reserve in `data_dir`. Creates nothing.
    pub(crate) fn new(data_dir: &Path) -> Self {
        Self { path: data_dir.join("reserve") }
    }

    /// Fills the file unless it is filled. If it was given up, the disk must have more free space than it takes.
    ///
    /// # Errors
    /// When there is no space; then it counts as given up. Also when no database is next to it: the directory may be the mount point
    /// of a filesystem that was unmounted.
    pub(crate) fn fill(&self) -> io::Result<()> {
        std::fs::metadata(self.path.with_file_name(DATABASE_FILE))?;
        if self.is_given_up() && !self.is_refillable()? {
            let problem = format!("fewer than {REFILL_BYTES} bytes are free");
            return Err(io::Error::new(io::ErrorKind::StorageFull, problem));
        }
        let file = private_file().write(true).create(true).truncate(false).open(&self.path)?;
        if file.metadata()?.len() >= RESERVE_BYTES {
            return Ok(());
        }
        let filled = match rustix::fs::fallocate(&file, FallocateFlags::empty(), 0, RESERVE_BYTES) {
            Err(Errno::OPNOTSUPP | Errno::NOSYS) => fill_with_noise(file),
            reserved => reserved.map_err(io::Error::from),
        };
        match &filled {
            Ok(()) => {}
            Err(error) if is_full(error) => drop(self.give_up()),
            // The filesystem cannot have a reserve, which does not mean that it is full.
            Err(_) => drop(std::fs::remove_file(&self.path)),
        }
        filled
    }

    /// Whether the disk has enough free space to fill it. Also true if the filesystem does not report its size.
    ///
    /// # Errors
    /// The system's error.
    pub(crate) fn is_refillable(&self) -> io::Result<bool> {
        let disk = rustix::fs::statvfs(self.path.parent().unwrap_or(Path::new(".")))?;
        Ok(disk.f_blocks == 0 || disk.f_bavail.saturating_mul(disk.f_frsize) >= REFILL_BYTES)
    }

    /// Whether it was given up, by any process.
    pub(crate) fn is_given_up(&self) -> bool {
        std::fs::metadata(&self.path).is_ok_and(|file| file.len() < RESERVE_BYTES)
    }

    /// Gives the reserve up. False when there is none, or another process has given it up.
    ///
    /// # Errors
    /// The system's error.
    pub(crate) fn give_up(&self) -> io::Result<bool> {
        let file = match OpenOptions::new().write(true).open(&self.path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
            opened => opened?,
        };
        let had_room = file.metadata()?.len() > 0;
        file.set_len(0)?;
        Ok(had_room)
    }
}

/// Whether an error is that of a full disk or an exceeded quota.
pub(crate) fn is_full(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}

/// Fills the file with random bytes, which no filesystem compresses or stores as a hole.
fn fill_with_noise(mut file: File) -> io::Result<()> {
    let mut noise = blake3::Hasher::new().update(&rand::random::<[u8; 32]>()).finalize_xof();
    let mut piece = vec![0; 64 * 1024];
    for _ in 0..RESERVE_BYTES / piece.len() as u64 {
        noise.fill(&mut piece);
        file.write_all(&piece)?;
    }
    file.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn where_nothing_can_be_reserved_the_room_is_written() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("reserve");
        fill_with_noise(File::create(&path).unwrap()).unwrap();
        assert_eq!(std::fs::metadata(&path).unwrap().len(), RESERVE_BYTES);
        assert!(DatabaseReserve::new(directory.path()).give_up().unwrap());
    }

    #[test]
    fn room_is_given_up_once_and_can_be_taken_again() {
        let directory = tempfile::tempdir().unwrap();
        let reserve = DatabaseReserve::new(directory.path());
        assert!(!reserve.give_up().unwrap() && !reserve.is_given_up());
        assert_eq!(reserve.fill().unwrap_err().kind(), io::ErrorKind::NotFound);
        assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 0);
        File::create(directory.path().join(DATABASE_FILE)).unwrap();
        for _ in 0..2 {
            reserve.fill().unwrap();
            reserve.fill().unwrap();
            assert!(!reserve.is_given_up());
            assert_eq!(std::fs::metadata(directory.path().join("reserve")).unwrap().len(), RESERVE_BYTES);
            assert!(reserve.give_up().unwrap());
            assert!(!reserve.give_up().unwrap());
            // Another process sees it as well.
            assert!(DatabaseReserve::new(directory.path()).is_given_up());
        }
    }
}
