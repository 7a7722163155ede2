//! Blobs as files of the data directory: `blobs/<2 hex digits>/<id>`.
//!
//! Invariant: a blob's name is its id and nothing of a user's, so it never has to move. The directories are
//! made and synced once, when the store is opened; making, opening and deleting blobs is all that follows.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};

use rustix::fs::{FallocateFlags, Mode, OFlags};
use rustix::io::Errno;
use uuid::Uuid;

use super::{Blob, Scanned, StorageError};
use crate::failpoint;

/// The blobs of one data directory. All methods block.
#[derive(Debug, Clone)]
pub struct LocalStore {
    root: PathBuf,
    reserve: bool,
    min_free_bytes: u64,
}

impl LocalStore {
    /// Opens the store in `data_dir`, making what is missing. `reserve`: whether blobs get their full size
    /// on the disk when they are made. `min_free_bytes`: how much of the disk blobs leave alone.
    ///
    /// # Errors
    /// When a directory cannot be made or synced.
    pub fn open(data_dir: &Path, reserve: bool, min_free_bytes: u64) -> io::Result<Self> {
        let root = data_dir.join("blobs");
        // The last byte of a UUID v7 is random; its first ones are a clock and would fill one directory at a time.
        for shard in 0..=u8::MAX {
            fs::create_dir_all(root.join(format!("{shard:02x}")))?;
        }
        sync_directory(&root)?;
        sync_directory(data_dir)?;
        let reserve = reserve && can_reserve(&root)?;
        Ok(Self { root, reserve, min_free_bytes })
    }

    /// A store that is there already, for looking at it: nothing is made.
    pub fn existing(data_dir: &Path) -> Self {
        Self { root: data_dir.join("blobs"), reserve: false, min_free_bytes: 0 }
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
        // Looked at before and after: filling a large disk only to empty it again would take long, and two at once
        // may each have found room.
        self.check_free(if self.reserve { size_bytes } else { 0 }).map_err(failed)?;
        let path = self.path(blob_id);
        let file = OpenOptions::new().read(true).write(true).create_new(true).open(&path).map_err(failed)?;
        self.set_size(&file, size_bytes).and_then(|()| self.check_free(0)).map_err(|source| {
            let _ = fs::remove_file(&path);
            failed(source)
        })?;
        Ok(Blob::new(blob_id, file))
    }

    /// Whether `wanted_bytes` can be taken and enough is left.
    fn check_free(&self, wanted_bytes: u64) -> io::Result<()> {
        let free_bytes = self.free_bytes()?;
        if free_bytes >= self.min_free_bytes.saturating_add(wanted_bytes) {
            return Ok(());
        }
        let kept = self.min_free_bytes;
        let problem = format!("{free_bytes} bytes free, {wanted_bytes} wanted, {kept} kept (storage.min_free_bytes)");
        Err(io::Error::new(io::ErrorKind::StorageFull, problem))
    }

    /// How much of the disk is free for this user, in bytes.
    ///
    /// # Errors
    /// What the system said.
    pub fn free_bytes(&self) -> io::Result<u64> {
        let disk = rustix::fs::statvfs(&self.root)?;
        Ok(disk.f_bavail.saturating_mul(disk.f_frsize))
    }

    /// Whether there is room for a part of a blob. Always where blobs are reserved: theirs was checked when they were
    /// made.
    ///
    /// # Errors
    /// [`StorageError::Full`].
    pub fn check_part_room(&self, blob_id: Uuid, part_bytes: u64) -> Result<(), StorageError> {
        if self.reserve {
            return Ok(());
        }
        self.check_room(blob_id, part_bytes)
    }

    /// Whether there is room for bytes that no reservation was made for.
    ///
    /// # Errors
    /// [`StorageError::Full`].
    pub fn check_room(&self, blob_id: Uuid, wanted_bytes: u64) -> Result<(), StorageError> {
        self.check_free(wanted_bytes).map_err(|source| StorageError::new("write to", blob_id, source))
    }

    fn set_size(&self, file: &File, size_bytes: u64) -> io::Result<()> {
        if size_bytes == 0 {
            // Its bytes come before it is known how many they are.
            return Ok(());
        }
        if self.reserve {
            return Ok(rustix::fs::fallocate(file, FallocateFlags::empty(), 0, size_bytes)?);
        }
        file.set_len(size_bytes)
    }

    /// Opens a blob for writing its parts. One that is too short, because it was being made when the process ended,
    /// gets its size.
    ///
    /// # Errors
    /// When it is not there, or the system cannot open it.
    pub fn open_for_writing(&self, blob_id: Uuid, size_bytes: u64) -> Result<Blob, StorageError> {
        let failed = |source| StorageError::new("open", blob_id, source);
        let file = OpenOptions::new().read(true).write(true).open(self.path(blob_id)).map_err(failed)?;
        if file.metadata().map_err(failed)?.len() < size_bytes {
            self.set_size(&file, size_bytes).map_err(failed)?;
        }
        Ok(Blob::new(blob_id, file))
    }

    /// Opens a blob for writing its parts, or makes it if it is not there: true when it was made.
    ///
    /// # Errors
    /// As of the two; a blob that was there is never touched.
    pub fn open_or_create(&self, blob_id: Uuid, size_bytes: u64) -> Result<(Blob, bool), StorageError> {
        match self.open_for_writing(blob_id, size_bytes) {
            Err(error) if error.is_missing() => Ok((self.create(blob_id, size_bytes)?, true)),
            opened => Ok((opened?, false)),
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
        let removed = failpoint::reach("blob.delete").and_then(|()| fs::remove_file(self.path(blob_id)));
        match removed {
            Err(source) if source.kind() != io::ErrorKind::NotFound => {
                Err(StorageError::new("delete", blob_id, source))
            }
            _ => Ok(()),
        }
    }

    /// Calls `found` with everything that is in the directories of blobs.
    ///
    /// # Errors
    /// When the root cannot be read; a directory in it that cannot be is something that is found.
    pub fn scan(&self, mut found: impl FnMut(Scanned)) -> io::Result<()> {
        for shard in fs::read_dir(&self.root)? {
            let shard = shard?;
            if !shard.file_type()?.is_dir() {
                found(Scanned::Foreign(shard.path().display().to_string()));
                continue;
            }
            let scanned = fs::read_dir(shard.path()).and_then(|mut entries| {
                entries.try_for_each(|entry| {
                    found(self.judge(&entry?));
                    Ok(())
                })
            });
            if let Err(error) = scanned {
                found(Scanned::Unreadable(shard.path().display().to_string(), error.to_string()));
            }
        }
        Ok(())
    }

    /// Only what is a file, and exactly where this store would put it, can be its own.
    fn judge(&self, entry: &fs::DirEntry) -> Scanned {
        let id = entry.file_name().to_str().and_then(|name| Uuid::try_parse(name).ok());
        let is_file = entry.file_type().is_ok_and(|kind| kind.is_file());
        match id.filter(|id| is_file && self.path(*id) == entry.path()) {
            Some(id) => Scanned::Blob(id),
            None => Scanned::Foreign(entry.path().display().to_string()),
        }
    }

    /// Size of a blob in bytes; `None` when it is not there.
    ///
    /// # Errors
    /// When the system cannot tell.
    pub fn size_bytes(&self, blob_id: Uuid) -> Result<Option<u64>, StorageError> {
        match fs::metadata(self.path(blob_id)) {
            Ok(metadata) => Ok(Some(metadata.len())),
            Err(source) if source.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(source) => Err(StorageError::new("look at", blob_id, source)),
        }
    }

    /// Whether the store can be used: its root is there.
    ///
    /// # Errors
    /// What the system said.
    pub fn check_root(&self) -> io::Result<()> {
        fs::metadata(&self.root).map(drop)
    }
}

/// Whether the filesystem can reserve room. ZFS and NFS before 4.2 cannot: sparse files are all they have.
fn can_reserve(root: &Path) -> io::Result<bool> {
    let nameless = match rustix::fs::open(root, OFlags::TMPFILE | OFlags::RDWR, Mode::RUSR | Mode::WUSR) {
        Ok(file) => file,
        // It has no files without a name, which says nothing of the other.
        Err(_) => return Ok(true),
    };
    match rustix::fs::fallocate(&nameless, FallocateFlags::empty(), 0, 1) {
        Err(Errno::OPNOTSUPP | Errno::NOSYS) => {
            tracing::warn!("the filesystem cannot reserve room: uploads may find the disk full in the middle");
            Ok(false)
        }
        // A disk that is full now is no reason to do without.
        _ => Ok(true),
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
        let open = |reserve| LocalStore::open(directory.path(), reserve, 1);
        let (sparse, reserving) = (open(false), open(true));
        let (sparse, reserving) = (sparse.unwrap(), reserving.unwrap());
        let id = Uuid::now_v7();
        sparse.create(id, 100).unwrap().write_all_at(b"kept", 0).unwrap();
        // No filesystem of a test has room for this; the reservation fails, and the blob must stay all the same.
        assert!(reserving.create(id, 1 << 50).is_err());
        let mut kept = [0; 4];
        reserving.open_or_create(id, 100).unwrap().0.read_exact_at(&mut kept, 0).unwrap();
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
        let store = LocalStore::open(directory.path(), true, 1).unwrap();
        let id = Uuid::now_v7();
        store.create(id, 10).unwrap();
        store.delete(id).unwrap();
        store.delete(id).unwrap();
        assert!(store.open_for_reading(id).unwrap_err().is_missing());
    }
}
