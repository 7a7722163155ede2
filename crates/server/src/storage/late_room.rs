//! Room for uploads that get theirs late: strangers start them, and most are given up.
//!
//! Invariant: such a blob is empty until its room is taken, and nothing is written to it before.

use std::fs::OpenOptions;
use std::io;

use uuid::Uuid;

use super::{Blob, DiskState, LocalStore, StorageError};

impl LocalStore {
    /// How full the disk is.
    ///
    /// # Errors
    /// [`StorageError::DataDir`].
    pub fn room(&self) -> Result<DiskState, StorageError> {
        self.disk().map_err(StorageError::DataDir)
    }

    /// Opens a blob that may have no room yet, or makes it if it is not there: true when it was made.
    ///
    /// # Errors
    /// When it cannot be opened or made; a blob that was there keeps its bytes.
    pub fn open_without_room(&self, blob_id: Uuid) -> Result<(Blob, bool), StorageError> {
        match OpenOptions::new().read(true).write(true).open(self.path(blob_id)) {
            Ok(file) => Ok((Blob::new(blob_id, file), false)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok((self.create_empty(blob_id)?, true)),
            Err(source) => Err(StorageError::new("open", blob_id, source)),
        }
    }

    /// Takes the room of a blob that has none; one that has it already is left as it is. `kept_bytes` stay free, unless
    /// others take of them in the same moment.
    ///
    /// # Errors
    /// [`StorageError::Full`]; the blob is empty then.
    pub fn take_room(&self, blob: &Blob, size_bytes: u64, kept_bytes: u64) -> Result<(), StorageError> {
        if blob.size_bytes()? >= size_bytes {
            return Ok(());
        }
        // Looked at before and after: filling a large disk only to empty it again would take long, and two at once may each
        // have found room.
        self.check_left(blob, size_bytes, kept_bytes)?;
        let taken = self.reserve(blob, size_bytes).and_then(|()| self.check_left(blob, 0, kept_bytes));
        if taken.is_err() {
            // A blob that is too short has no byte of anybody's.
            blob.clear()?;
        }
        taken
    }

    /// Whether enough is left with so many bytes more.
    fn check_left(&self, blob: &Blob, wanted_bytes: u64, kept_bytes: u64) -> Result<(), StorageError> {
        let DiskState { free_bytes, promised_bytes, .. } = self.room()?;
        if free_bytes >= kept_bytes.saturating_add(promised_bytes).saturating_add(wanted_bytes) {
            return Ok(());
        }
        let problem = format!(
            "{free_bytes} bytes free, {wanted_bytes} wanted, {promised_bytes} promised to other uploads, {kept_bytes} kept from \
             public keys (limits.public_keep_free_percent)"
        );
        let full = io::Error::new(io::ErrorKind::StorageFull, problem);
        Err(StorageError::new("take room for", blob.id(), full))
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::MetadataExt;

    use super::*;

    const MIB: u64 = 1024 * 1024;

    #[test]
    fn a_blob_takes_its_room_when_it_is_told_to_and_keeps_what_it_has() {
        let directory = tempfile::tempdir().unwrap();
        let store = LocalStore::open(directory.path(), true, 1).unwrap();
        let (blob, is_new) = store.open_without_room(Uuid::now_v7()).unwrap();
        assert_eq!((blob.size_bytes().unwrap(), is_new), (0, true));
        store.take_room(&blob, 8 * MIB, 1).unwrap();
        assert!(blob.file().metadata().unwrap().blocks() * 512 >= 8 * MIB);
        blob.write_all_at(b"kept", 5).unwrap();
        // It has its room: however little is left, it is not asked for again.
        let (again, is_new) = store.open_without_room(blob.id()).unwrap();
        store.take_room(&again, 8 * MIB, u64::MAX).unwrap();
        let mut kept = [0; 4];
        again.read_exact_at(&mut kept, 5).unwrap();
        assert_eq!((&kept, is_new), (b"kept", false));
    }

    #[test]
    fn a_blob_that_gets_no_room_takes_none() {
        let directory = tempfile::tempdir().unwrap();
        let store = LocalStore::open(directory.path(), true, 1).unwrap();
        let (blob, _) = store.open_without_room(Uuid::now_v7()).unwrap();
        let size_bytes = store.room().unwrap().size_bytes;
        for (wanted, kept) in [(MIB, size_bytes), (size_bytes, 0)] {
            assert!(matches!(store.take_room(&blob, wanted, kept), Err(StorageError::Full { .. })));
            assert_eq!(blob.size_bytes().unwrap(), 0);
        }
    }
}
