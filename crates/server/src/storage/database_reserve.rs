//! Room on the disk that is kept for the database alone.
//!
//! Freeing bytes takes a record first. On a disk that is full to the last byte that record could not be written, and
//! nothing could ever be freed. So a file of a few MiB lies ready to be given up; when there is room again it is
//! filled again.

use std::fs::OpenOptions;
use std::io;
use std::path::{Path, PathBuf};

use rustix::fs::FallocateFlags;
use rustix::io::Errno;

/// Enough for the log of some thousand small transactions.
const BYTES: u64 = 4 * 1024 * 1024;

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

    /// Fills the file, unless it is full.
    ///
    /// # Errors
    /// When there is no room.
    pub fn fill(&self) -> io::Result<()> {
        let file = OpenOptions::new().write(true).create(true).truncate(false).open(&self.path)?;
        if file.metadata()?.len() >= BYTES {
            return Ok(());
        }
        match rustix::fs::fallocate(&file, FallocateFlags::empty(), 0, BYTES) {
            Ok(()) => Ok(()),
            // A filesystem that cannot reserve has nothing to give up, either.
            Err(Errno::OPNOTSUPP | Errno::NOSYS) => Ok(()),
            Err(errno) => {
                let _ = file.set_len(0);
                Err(errno.into())
            }
        }
    }

    /// Gives the room up. True when there was some.
    ///
    /// # Errors
    /// What the system said.
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn room_is_given_up_once_and_can_be_taken_again() {
        let directory = tempfile::tempdir().unwrap();
        let reserve = DatabaseReserve::new(directory.path());
        assert!(!reserve.give_up().unwrap());
        for _ in 0..2 {
            reserve.fill().unwrap();
            reserve.fill().unwrap();
            assert_eq!(std::fs::metadata(directory.path().join("reserve")).unwrap().len(), BYTES);
            assert!(reserve.give_up().unwrap());
            assert!(!reserve.give_up().unwrap());
        }
    }
}
