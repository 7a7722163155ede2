//! Room on the disk that is kept for the database alone.
//!
//! Freeing bytes takes a record first. On a disk that is full to the last byte that record could not be written, and
//! nothing could ever be freed. A file of a few MiB beside the database therefore lies ready to be given up, by the server and by
//! commands beside it; when there is room again the server fills it again.
//!
//! Invariant: the room goes to writes that free something and to no others. From the moment it is given up until the file is full
//! again, every process refuses other writes. The file itself says which: empty, it was given up. Where there is none, none was
//! ever filled.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use rustix::fs::FallocateFlags;
use rustix::io::Errno;

use super::location::DATABASE_FILE;
use crate::permissions::private_file;

/// Enough for the log of some thousand small transactions.
const BYTES: u64 = 4 * 1024 * 1024;
/// Free bytes from which on the file is filled again: what was given up a moment ago is left to those for whom it was.
const REFILL_BYTES: u64 = 2 * BYTES;

/// The file. All methods block.
#[derive(Debug)]
pub struct DatabaseReserve {
    path: PathBuf,
}

impl DatabaseReserve {
    /// Its place in `data_dir`. Nothing is made yet.
    pub fn new(data_dir: &Path) -> Self {
        Self { path: data_dir.join("reserve") }
    }

    /// Fills the file, unless it is full. One that was given up is filled once there is room for more than it.
    ///
    /// # Errors
    /// When there is no room; then it counts as given up. Also when no database is beside it: what is left of a directory whose
    /// filesystem was taken away is none to write to.
    pub fn fill(&self) -> io::Result<()> {
        std::fs::metadata(self.path.with_file_name(DATABASE_FILE))?;
        if self.is_given_up() && !self.is_refillable()? {
            let problem = format!("fewer than {REFILL_BYTES} bytes are free");
            return Err(io::Error::new(io::ErrorKind::StorageFull, problem));
        }
        let file = private_file().write(true).create(true).truncate(false).open(&self.path)?;
        if file.metadata()?.len() >= BYTES {
            return Ok(());
        }
        let filled = match rustix::fs::fallocate(&file, FallocateFlags::empty(), 0, BYTES) {
            Err(Errno::OPNOTSUPP | Errno::NOSYS) => fill_with_noise(file),
            reserved => reserved.map_err(io::Error::from),
        };
        match &filled {
            Ok(()) => {}
            Err(error) if is_full(error) => drop(self.give_up()),
            // A filesystem on which there can be none is no full disk.
            Err(_) => drop(std::fs::remove_file(&self.path)),
        }
        filled
    }

    /// Whether it would be filled now. Filesystems that do not tell their size are tried.
    ///
    /// # Errors
    /// The system's error.
    pub fn is_refillable(&self) -> io::Result<bool> {
        let disk = rustix::fs::statvfs(self.path.parent().unwrap_or(Path::new(".")))?;
        Ok(disk.f_blocks == 0 || disk.f_bavail.saturating_mul(disk.f_frsize) >= REFILL_BYTES)
    }

    /// Whether its room was given up, by whichever process.
    pub fn is_given_up(&self) -> bool {
        std::fs::metadata(&self.path).is_ok_and(|file| file.len() < BYTES)
    }

    /// Gives the room up. True when there was some: false also when somebody else was faster.
    ///
    /// # Errors
    /// The system's error.
    pub fn give_up(&self) -> io::Result<bool> {
        let file = match OpenOptions::new().write(true).open(&self.path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
            opened => opened?,
        };
        let had_room = file.metadata()?.len() > 0;
        file.set_len(0)?;
        Ok(had_room)
    }
}

/// Whether an error says that there is no room.
pub(crate) fn is_full(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}

/// Bytes that no filesystem compresses away or keeps as a hole.
fn fill_with_noise(mut file: File) -> io::Result<()> {
    let mut noise = blake3::Hasher::new().update(&rand::random::<[u8; 32]>()).finalize_xof();
    let mut piece = vec![0; 64 * 1024];
    for _ in 0..BYTES / piece.len() as u64 {
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
        assert_eq!(std::fs::metadata(&path).unwrap().len(), BYTES);
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
            assert_eq!(std::fs::metadata(directory.path().join("reserve")).unwrap().len(), BYTES);
            assert!(reserve.give_up().unwrap());
            assert!(!reserve.give_up().unwrap());
            // Whoever gave it up: another process sees it.
            assert!(DatabaseReserve::new(directory.path()).is_given_up());
        }
    }
}
