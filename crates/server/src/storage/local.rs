//! Blobs as files of the data directory: `blobs/<2 hex digits>/<id>`.
//!
//! Invariant: a blob's name is its id and nothing of a user's, so it never has to move. The directories are
//! made and synced once, when the store is opened; making, opening and deleting blobs is all that follows.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};

use rustix::fs::FallocateFlags;
use rustix::io::Errno;
use uuid::Uuid;

use super::{Blob, StorageError};

/// The blobs of one data directory. All methods block.
#[derive(Debug)]
pub struct LocalStore {
    root: PathBuf,
    reserve: bool,
}

impl LocalStore {
    /// Opens the store in `data_dir`, making what is missing. `reserve`: whether blobs get their full size
    /// on the disk when they are made.
    ///
    /// # Errors
    /// When a directory cannot be made or synced.
    pub fn open(data_dir: &Path, reserve: bool) -> io::Result<Self> {
        let root = data_dir.join("blobs");
        // The last byte of a UUID v7 is random; its first ones are a clock and would fill one directory at a time.
        for shard in 0..=u8::MAX {
            fs::create_dir_all(root.join(format!("{shard:02x}")))?;
        }
        sync_directory(&root)?;
        sync_directory(data_dir)?;
        Ok(Self { root, reserve })
    }

    fn shard(&self, blob_id: Uuid) -> PathBuf {
        self.root.join(format!("{:02x}", blob_id.as_bytes()[15]))
    }

    fn path(&self, blob_id: Uuid) -> PathBuf {
        self.shard(blob_id).join(blob_id.to_string())
    }

    /// Makes the blob with its full size.
    ///
    /// # Errors
    /// [`StorageError::Full`] when the size cannot be reserved; then no blob is left. Also when there is one already:
    /// that one is not touched.
    pub fn create(&self, blob_id: Uuid, size_bytes: u64) -> Result<Blob, StorageError> {
        let failed = |source| StorageError::new("make", blob_id, source);
        let path = self.path(blob_id);
        let file = OpenOptions::new().read(true).write(true).create_new(true).open(&path).map_err(failed)?;
        self.set_size(&file, size_bytes).map_err(|source| {
            let _ = fs::remove_file(&path);
            failed(source)
        })?;
        Ok(Blob::new(blob_id, file))
    }

    fn set_size(&self, file: &File, size_bytes: u64) -> io::Result<()> {
        if self.reserve {
            match rustix::fs::fallocate(file, FallocateFlags::empty(), 0, size_bytes) {
                Ok(()) => return Ok(()),
                // The filesystem cannot reserve (ZFS, NFS before 4.2): a sparse file is all it has.
                Err(Errno::OPNOTSUPP | Errno::NOSYS) => {}
                Err(errno) => return Err(errno.into()),
            }
        }
        file.set_len(size_bytes)
    }

    /// Opens a blob for writing its parts.
    ///
    /// # Errors
    /// When it is not there, or the system cannot open it.
    pub fn open_for_writing(&self, blob_id: Uuid) -> Result<Blob, StorageError> {
        let opened = OpenOptions::new().read(true).write(true).open(self.path(blob_id));
        opened.map(|file| Blob::new(blob_id, file)).map_err(|source| StorageError::new("open", blob_id, source))
    }

    /// Opens a blob for writing its parts, or makes it if it is not there.
    ///
    /// # Errors
    /// As of the two; a blob that was there is never touched.
    pub fn open_or_create(&self, blob_id: Uuid, size_bytes: u64) -> Result<Blob, StorageError> {
        match self.open_for_writing(blob_id) {
            Err(error) if error.is_missing() => self.create(blob_id, size_bytes),
            opened => opened,
        }
    }

    /// Opens a blob for reading.
    ///
    /// # Errors
    /// When it is not there, or the system cannot open it.
    pub fn open_for_reading(&self, blob_id: Uuid) -> Result<Blob, StorageError> {
        let opened = File::open(self.path(blob_id));
        opened.map(|file| Blob::new(blob_id, file)).map_err(|source| StorageError::new("open", blob_id, source))
    }

    /// Brings a blob's name onto the disk. With [`Blob::sync`] before it, a power cut leaves the blob whole.
    ///
    /// # Errors
    /// When the system cannot; it may be tried again.
    pub fn sync_name(&self, blob_id: Uuid) -> Result<(), StorageError> {
        sync_directory(&self.shard(blob_id))
            .map_err(|source| StorageError::new("sync the directory of", blob_id, source))
    }

    /// Deletes a blob. One that is not there counts as deleted. Readers that have it open keep its bytes.
    ///
    /// # Errors
    /// When the system cannot.
    pub fn delete(&self, blob_id: Uuid) -> Result<(), StorageError> {
        match fs::remove_file(self.path(blob_id)) {
            Err(source) if source.kind() != io::ErrorKind::NotFound => {
                Err(StorageError::new("delete", blob_id, source))
            }
            _ => Ok(()),
        }
    }

    /// Whether the store can be used: its root is there.
    ///
    /// # Errors
    /// What the system said.
    pub fn check(&self) -> io::Result<()> {
        fs::metadata(&self.root).map(drop)
    }
}

fn sync_directory(path: &Path) -> io::Result<()> {
    File::open(path)?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn making_a_blob_never_touches_one_that_is_there() {
        let directory = tempfile::tempdir().unwrap();
        let (sparse, reserving) = (LocalStore::open(directory.path(), false), LocalStore::open(directory.path(), true));
        let (sparse, reserving) = (sparse.unwrap(), reserving.unwrap());
        let id = Uuid::now_v7();
        sparse.create(id, 100).unwrap().write_all_at(b"kept", 0).unwrap();
        // No filesystem of a test has room for this; the reservation fails, and the blob must stay all the same.
        assert!(reserving.create(id, 1 << 50).is_err());
        let mut kept = [0; 4];
        reserving.open_or_create(id, 1 << 50).unwrap().read_exact_at(&mut kept, 0).unwrap();
        assert_eq!(&kept, b"kept");
        let full = reserving.create(Uuid::now_v7(), 1 << 50);
        assert!(full.is_err());
        let files = fs::read_dir(directory.path().join("blobs")).unwrap();
        let left: usize = files.map(|shard| fs::read_dir(shard.unwrap().path()).unwrap().count()).sum();
        assert_eq!(left, 1, "a blob that could not be made is left");
    }

    #[test]
    fn deleting_again_is_no_error() {
        let directory = tempfile::tempdir().unwrap();
        let store = LocalStore::open(directory.path(), true).unwrap();
        let id = Uuid::now_v7();
        store.create(id, 10).unwrap();
        store.delete(id).unwrap();
        store.delete(id).unwrap();
        assert!(store.open_for_reading(id).unwrap_err().is_missing());
    }
}
