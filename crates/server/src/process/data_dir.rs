//! The data directory: the paths in it, and the lock that keeps a second server out. `owner_record/` does so across
//! mounts, which do not share locks.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::{DirBuilderExt, FileExt, MetadataExt};
use std::path::{Path, PathBuf};

use rustix::fs::FlockOperation;
use rustix::io::Errno;

use super::owner_record::{DirectoryGuard, NotTaken};
use crate::file_modes;

/// Extension of a database file whose records were moved to a database server.
const MIGRATED_EXTENSION: &str = "db-migrated";

/// A data directory that this process alone serves. The kernel releases the lock when the process ends, however it ends.
#[derive(Debug)]
pub struct DataDir {
    path: PathBuf,
    /// Declared before `lock`, so released before it.
    _owner: DirectoryGuard,
    lock: File,
}

/// Why a data directory cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum DataDirError {
    /// Another server has it.
    #[error(
        "another partway server, or partway fsck --repair or db migrate, is using the data directory {0}; stop it, or give this one another --data-dir"
    )]
    InUse(PathBuf),
    /// Another server has it through a mount that does not share locks.
    #[error(
        "{owner} is using the data directory {path} through another mount, whose locks do not reach this one; stop it, or give this one another --data-dir"
    )]
    InUseElsewhere {
        /// Which directory.
        path: PathBuf,
        /// The other process.
        owner: String,
    },
    /// There is no database in it.
    #[error("{0} has no Partway database; is it the --data-dir that the server uses?")]
    NoDatabase(PathBuf),
    /// It cannot be made or opened.
    #[error("the data directory {path} cannot be used: {source}")]
    Unusable {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

impl DataDir {
    /// Creates the directory if it is missing, readable by its owner alone, and locks it.
    ///
    /// # Errors
    /// When another server has locked it, or it cannot be made or written.
    pub fn lock(path: &Path) -> Result<Self, DataDirError> {
        let unusable = |source| DataDirError::Unusable { path: path.to_owned(), source };
        fs::DirBuilder::new().recursive(true).mode(file_modes::DIRECTORY_MODE).create(path).map_err(unusable)?;
        let path = path.canonicalize().map_err(unusable)?;
        // Synced files are lost nevertheless if the directory's own name is not on disk. A parent that is not readable cannot be
        // synced; this process has not created it either.
        if let Some(parent) = path.parent() {
            let _ = File::open(parent).and_then(|parent| parent.sync_all());
        }
        let lock = file_modes::private_file()
            .write(true)
            .create(true)
            .truncate(false)
            .open(path.join("lock"))
            .map_err(unusable)?;
        match rustix::fs::flock(&lock, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => match DirectoryGuard::take(&path) {
                Ok(owner) => {
                    file_modes::tighten(&path);
                    file_modes::warn_of_exposure(&path);
                    Ok(Self { path, _owner: owner, lock })
                }
                Err(NotTaken::Owned(owner)) => Err(DataDirError::InUseElsewhere { path, owner: owner.to_string() }),
                Err(NotTaken::Io(error)) => Err(unusable(error)),
            },
            Err(Errno::WOULDBLOCK) => Err(DataDirError::InUse(path)),
            Err(errno) => Err(unusable(errno.into())),
        }
    }

    /// Whether a process of this machine has locked the directory, according to the kernel. Takes no lock, not even for a
    /// moment: a server that starts at that moment would find the directory in use.
    pub fn is_locked(path: &Path) -> bool {
        let (Ok(lock), Ok(locks)) = (fs::metadata(path.join("lock")), fs::read_to_string("/proc/locks")) else {
            return false;
        };
        let inode = format!(":{} ", lock.ino());
        locks.lines().any(|line| line.contains("FLOCK") && line.contains("WRITE") && line.contains(&inode))
    }

    /// The database of an existing directory, for commands that run next to a server.
    ///
    /// # Errors
    /// When there is none.
    pub fn existing_database(path: &Path) -> Result<PathBuf, DataDirError> {
        let database = Self::database_in(path);
        if database.is_file() { Ok(database) } else { Err(DataDirError::NoDatabase(path.to_owned())) }
    }

    /// The directory.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// A name that differs from that of a copy of the directory, and from its own before the last [`touch`](Self::touch).
    ///
    /// # Errors
    /// The system's error.
    pub(crate) fn identity(&self) -> io::Result<String> {
        let lock = self.lock.metadata()?;
        let changed = format!("{}.{:09}", lock.ctime(), lock.ctime_nsec());
        // Absent if the records are on a database server.
        let database = fs::metadata(Self::database_in(&self.path)).map(|file| format!("{}:{}", file.dev(), file.ino()));
        Ok(format!("{}:{} {changed} {}", lock.dev(), lock.ino(), database.unwrap_or_default()))
    }

    /// Writes to the lock file, which changes its time.
    ///
    /// # Errors
    /// The system's error.
    pub(crate) fn touch(&self) -> io::Result<()> {
        self.lock.write_all_at(format!("{:<10}\n", std::process::id()).as_bytes(), 0)?;
        self.lock.sync_all()
    }

    /// Renames the database file after its records were moved to a database server, so that no server starts with it. No
    /// process may have it open. Returns the new path.
    ///
    /// # Errors
    /// The system's error.
    pub fn set_database_aside(&self) -> io::Result<PathBuf> {
        let database = Self::database_in(&self.path);
        let aside = database.with_extension(MIGRATED_EXTENSION);
        fs::rename(&database, &aside)?;
        for log in ["db-wal", "db-shm"] {
            let _ = fs::remove_file(database.with_extension(log));
        }
        Ok(aside)
    }

    /// Whether the records of a data directory were moved to a database server, and no new database was created since.
    pub fn is_migrated(data_dir: &Path) -> bool {
        let database = Self::database_in(data_dir);
        !database.exists() && database.with_extension(MIGRATED_EXTENSION).exists()
    }

    /// The database file of a data directory.
    pub fn database_in(data_dir: &Path) -> PathBuf {
        data_dir.join(crate::db::DATABASE_FILE)
    }
}
