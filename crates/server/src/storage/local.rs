//! Blobs as files of the data directory: `blobs/<2 hex digits>/<id>`.
//!
//! Invariant: a blob's name is its id and has nothing from a user, so it never has to move. The directories are
//! made and synced once, when the store is opened; later operations only create, open and delete blobs.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use uuid::Uuid;

use super::disk_room::DiskRoom;
use super::{Blob, DiskState, Promise, StorageError, filesystem};
use crate::failpoint;
use crate::file_modes::{DIRECTORY_MODE, private_file};

/// Bytes of a blob that are reserved in one step. Other checks of the free space wait while a step runs.
const RESERVE_STEP_BYTES: u64 = 1 << 30;

/// The blobs of one data directory. All methods block. Clones share the free space.
#[derive(Debug, Clone)]
pub struct LocalStore {
    pub(super) root: PathBuf,
    pub(super) room: Arc<DiskRoom>,
    /// Whether blobs get their full size on the disk when they are created.
    reserves: Arc<AtomicBool>,
}

impl LocalStore {
    /// Opens the store in `data_dir` and makes missing directories. `reserve`: whether blobs get their full size on the disk
    /// when they are created. `min_free_bytes`: free space that blobs leave.
    ///
    /// # Errors
    /// When a directory cannot be made or synced.
    pub fn open(data_dir: &Path, reserve: bool, min_free_bytes: u64) -> io::Result<Self> {
        let root = data_dir.join("blobs");
        // The last byte of a UUID v7 is random; its first ones are a clock and would fill one directory at a time.
        for shard in 0..=u8::MAX {
            DirBuilder::new().recursive(true).mode(DIRECTORY_MODE).create(root.join(format!("{shard:02x}")))?;
        }
        sync_directory(&root)?;
        sync_directory(data_dir)?;
        let reserves = reserve && filesystem::can_reserve(data_dir)?;
        if reserve && !reserves {
            warn_of_sparse_files();
        }
        let room = DiskRoom::new(&root, min_free_bytes);
        Ok(Self { root, room, reserves: Arc::new(AtomicBool::new(reserves)) })
    }

    /// A store that exists, for reading: nothing is made.
    pub fn existing(data_dir: &Path) -> Self {
        let root = data_dir.join("blobs");
        let room = DiskRoom::new(&root, 0);
        Self { root, room, reserves: Arc::default() }
    }

    fn shard(&self, blob_id: Uuid) -> PathBuf {
        self.root.join(format!("{:02x}", blob_id.as_bytes()[15]))
    }

    pub(super) fn path(&self, blob_id: Uuid) -> PathBuf {
        self.shard(blob_id).join(blob_id.to_string())
    }

    /// Creates the blob with its full size.
    ///
    /// # Errors
    /// [`StorageError::Full`] when the size cannot be reserved; then no blob is left. Also when the blob exists: it is not
    /// touched.
    pub fn create(&self, blob_id: Uuid, size_bytes: u64) -> Result<Blob, StorageError> {
        let blob = self.create_empty(blob_id)?;
        match self.reserve(&blob, size_bytes) {
            Ok(()) => Ok(blob),
            Err(error) => {
                let _ = fs::remove_file(self.path(blob_id));
                Err(error)
            }
        }
    }

    /// Creates the blob without space for its bytes: [`reserve`](Self::reserve) takes it, or each write.
    ///
    /// # Errors
    /// [`StorageError::Full`] when the disk has less than the least free space. Also when the blob exists: it is not touched.
    pub fn create_empty(&self, blob_id: Uuid) -> Result<Blob, StorageError> {
        let failed = |source| StorageError::new("create", blob_id, source);
        self.room.promise(0).map_err(failed)?;
        let opened = private_file().read(true).write(true).create_new(true).open(self.path(blob_id));
        Ok(Blob::new(blob_id, opened.map_err(failed)?))
    }

    /// Gives a blob its full size: with space on the disk for every byte, or as a sparse file if the settings or the
    /// filesystem do not reserve. A blob that has its size is not changed.
    ///
    /// # Errors
    /// [`StorageError::Full`] when the free space is promised to others; the blob may have part of its size then.
    pub fn reserve(&self, blob: &Blob, size_bytes: u64) -> Result<(), StorageError> {
        self.grow(blob.file(), size_bytes).map_err(|source| StorageError::new("create", blob.id(), source))
    }

    fn grow(&self, file: &File, size_bytes: u64) -> io::Result<()> {
        let mut reserved = file.metadata()?.len();
        if reserved >= size_bytes {
            return Ok(());
        }
        if self.reserves() {
            let mut promise = self.room.promise(size_bytes - reserved)?;
            while reserved < size_bytes {
                let step = RESERVE_STEP_BYTES.min(size_bytes - reserved);
                match promise.take(step, || filesystem::reserve(file, reserved..reserved + step)) {
                    Ok(()) => reserved += step,
                    Err(error) if filesystem::is_unsupported(&error) => {
                        if self.reserves.swap(false, Ordering::Relaxed) {
                            warn_of_sparse_files();
                        }
                        break;
                    }
                    Err(error) => return Err(error),
                }
            }
        }
        if reserved < size_bytes { file.set_len(size_bytes) } else { Ok(()) }
    }

    /// Whether blobs get their full size on the disk when they are created.
    pub fn reserves(&self) -> bool {
        self.reserves.load(Ordering::Relaxed)
    }

    /// How full the disk is.
    ///
    /// # Errors
    /// The system's error.
    pub fn disk(&self) -> io::Result<DiskState> {
        self.room.state()
    }

    /// Promises space for bytes of a blob that have none yet. The writer must hold the promise.
    ///
    /// # Errors
    /// [`StorageError::Full`].
    pub fn promise(&self, blob_id: Uuid, bytes: u64) -> Result<Promise, StorageError> {
        self.room.promise(bytes).map_err(|source| StorageError::new("write to", blob_id, source))
    }

    /// Opens a blob for writing its parts. A blob that is too short, because the process ended while it was created, gets
    /// its size.
    ///
    /// # Errors
    /// When it does not exist, or the system cannot open it.
    pub fn open_for_writing(&self, blob_id: Uuid, size_bytes: u64) -> Result<Blob, StorageError> {
        let failed = |source| StorageError::new("open", blob_id, source);
        let file = OpenOptions::new().read(true).write(true).open(self.path(blob_id)).map_err(failed)?;
        self.grow(&file, size_bytes).map_err(failed)?;
        Ok(Blob::new(blob_id, file))
    }

    /// Opens a blob for writing its parts, or creates it: true when it was created.
    ///
    /// # Errors
    /// Those of [`open_for_writing`](Self::open_for_writing) and [`create`](Self::create). An existing blob is never touched.
    pub fn open_or_create(&self, blob_id: Uuid, size_bytes: u64) -> Result<(Blob, bool), StorageError> {
        match self.open_for_writing(blob_id, size_bytes) {
            Err(error) if error.is_missing() => Ok((self.create(blob_id, size_bytes)?, true)),
            opened => Ok((opened?, false)),
        }
    }

    /// Opens a blob for reading.
    ///
    /// # Errors
    /// When it does not exist, or the system cannot open it.
    pub fn open_for_reading(&self, blob_id: Uuid) -> Result<Blob, StorageError> {
        let opened = File::open(self.path(blob_id));
        opened.map(|file| Blob::new(blob_id, file)).map_err(|source| StorageError::new("open", blob_id, source))
    }

    /// Syncs a blob's name. After [`Blob::sync`] and this, the blob survives a power cut.
    ///
    /// # Errors
    /// When the system cannot; a retry may succeed.
    pub fn sync_name(&self, blob_id: Uuid) -> Result<(), StorageError> {
        sync_directory(&self.shard(blob_id))
            .map_err(|source| StorageError::new("sync the directory of", blob_id, source))
    }

    /// Deletes a blob. A missing one counts as deleted. Readers that have it open keep its bytes.
    ///
    /// # Errors
    /// When the system cannot.
    pub fn delete(&self, blob_id: Uuid) -> Result<(), StorageError> {
        let removed = failpoint::fail_at("blob.delete").and_then(|()| fs::remove_file(self.path(blob_id)));
        match removed {
            Err(source) if source.kind() != io::ErrorKind::NotFound => {
                Err(StorageError::new("delete", blob_id, source))
            }
            _ => Ok(()),
        }
    }

    /// Size of a blob in bytes; `None` when it does not exist.
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

    /// Whether the store can be used: its root exists.
    ///
    /// # Errors
    /// The system's error.
    pub fn check_root(&self) -> io::Result<()> {
        fs::metadata(&self.root).map(drop)
    }
}

fn warn_of_sparse_files() {
    tracing::warn!(
        "the filesystem cannot reserve space: files are sparse, and an upload may find the disk full in the middle"
    );
}

fn sync_directory(path: &Path) -> io::Result<()> {
    File::open(path)?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn creating_a_blob_never_touches_an_existing_one() {
        let directory = tempfile::tempdir().unwrap();
        let open = |reserve| LocalStore::open(directory.path(), reserve, 1);
        let (sparse, reserving) = (open(false), open(true));
        let (sparse, reserving) = (sparse.unwrap(), reserving.unwrap());
        let id = Uuid::now_v7();
        sparse.create(id, 100).unwrap().write_all_at(b"kept", 0).unwrap();
        // No filesystem of a test has space for this; the reservation fails, and the blob must stay all the same.
        assert!(reserving.create(id, 1 << 50).is_err());
        let mut kept = [0; 4];
        reserving.open_or_create(id, 100).unwrap().0.read_exact_at(&mut kept, 0).unwrap();
        assert_eq!(&kept, b"kept");
        let full = reserving.create(Uuid::now_v7(), 1 << 50);
        assert!(full.is_err());
        let files = fs::read_dir(directory.path().join("blobs")).unwrap();
        let left: usize = files.map(|shard| fs::read_dir(shard.unwrap().path()).unwrap().count()).sum();
        assert_eq!(left, 1, "a blob that could not be created is left");
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
