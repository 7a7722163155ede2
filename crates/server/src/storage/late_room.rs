//! Disk space for uploads with public keys, many of which are never finished: taken part by part, as the bytes come.
//!
//! Invariant: such a blob takes no space for bytes that were not sent. It is empty until its first part comes, and has its
//! full length from then on. It never becomes shorter, so no part destroys another.

use std::fs::OpenOptions;
use std::io;
use std::os::unix::fs::MetadataExt;

use uuid::Uuid;

use super::{Blob, DiskState, LocalStore, Promise, StorageError};

impl LocalStore {
    /// How full the disk is.
    ///
    /// # Errors
    /// [`StorageError::DataDir`].
    pub fn room(&self) -> Result<DiskState, StorageError> {
        self.disk().map_err(StorageError::DataDir)
    }

    /// Opens a blob that may have no space yet, or creates it: true when it was created.
    ///
    /// # Errors
    /// When it cannot be opened or created; an existing blob keeps its bytes.
    pub fn open_without_room(&self, blob_id: Uuid) -> Result<(Blob, bool), StorageError> {
        match OpenOptions::new().read(true).write(true).open(self.path(blob_id)) {
            Ok(file) => Ok((Blob::new(blob_id, file), false)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok((self.create_empty(blob_id)?, true)),
            Err(source) => Err(StorageError::new("open", blob_id, source)),
        }
    }

    /// Promises space for a part of such a blob if `kept_bytes` stay free. The writer must hold the promise. Calls for several
    /// parts may run concurrently. `None` when all bytes of the blob have space already.
    ///
    /// # Errors
    /// [`StorageError::Full`]; the blob is unchanged then.
    pub fn take_part_room(
        &self,
        blob: &Blob,
        size_bytes: u64,
        part_bytes: u64,
        kept_bytes: u64,
    ) -> Result<Option<Promise>, StorageError> {
        let failed = |source| StorageError::new("reserve space for", blob.id(), source);
        let found = blob.file().metadata().map_err(failed)?;
        if found.len() >= size_bytes && found.blocks().saturating_mul(512) >= size_bytes {
            return Ok(None);
        }
        let promise = self.room.promise_keeping(part_bytes, kept_bytes).map_err(failed)?;
        if found.len() < size_bytes {
            // A concurrent call sets the same length.
            blob.file().set_len(size_bytes).map_err(failed)?;
        }
        Ok(Some(promise))
    }

    /// Bytes that the blobs take on the disk together. Missing ones take none.
    pub fn taken_bytes(&self, blob_ids: &[Uuid]) -> u64 {
        let taken = blob_ids.iter().filter_map(|blob_id| std::fs::metadata(self.path(*blob_id)).ok());
        taken.map(|blob| blob.blocks().saturating_mul(512)).fold(0, u64::saturating_add)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1024 * 1024;

    #[test]
    fn a_blob_takes_room_for_parts_that_come_and_keeps_what_it_has() {
        let directory = tempfile::tempdir().unwrap();
        let store = LocalStore::open(directory.path(), true, 1).unwrap();
        let (blob, is_new) = store.open_without_room(Uuid::now_v7()).unwrap();
        assert_eq!((blob.size_bytes().unwrap(), is_new), (0, true));
        let mut first = store.take_part_room(&blob, 8 * MIB, 4 * MIB, 1).unwrap().unwrap();
        assert_eq!((blob.size_bytes().unwrap(), store.taken_bytes(&[blob.id()])), (8 * MIB, 0));
        assert_eq!(store.room().unwrap().promised_bytes, 4 * MIB);
        blob.write_all_at(&vec![1; 4 * MIB as usize], 4 * MIB).unwrap();
        first.written(4 * MIB);
        // The next part finds no free space, and the bytes of the first stay.
        let refused = store.take_part_room(&blob, 8 * MIB, 4 * MIB, u64::MAX).unwrap_err();
        assert!(matches!(&refused, StorageError::Full { .. }), "{refused}");
        let mut kept = [0; 4];
        blob.read_exact_at(&mut kept, 4 * MIB).unwrap();
        assert_eq!((kept, store.room().unwrap().promised_bytes), ([1; 4], 0));
        // Once all parts have come, no free space is needed.
        blob.write_all_at(&vec![1; 4 * MIB as usize], 0).unwrap();
        assert!(store.taken_bytes(&[blob.id(), Uuid::now_v7()]) >= 8 * MIB);
        let (again, is_new) = store.open_without_room(blob.id()).unwrap();
        assert!(store.take_part_room(&again, 8 * MIB, 4 * MIB, u64::MAX).unwrap().is_none() && !is_new);
    }

    #[test]
    fn a_blob_that_gets_no_room_takes_none() {
        let directory = tempfile::tempdir().unwrap();
        let store = LocalStore::open(directory.path(), true, 1).unwrap();
        let (blob, _) = store.open_without_room(Uuid::now_v7()).unwrap();
        let size_bytes = store.room().unwrap().size_bytes;
        for (wanted, kept) in [(MIB, size_bytes), (size_bytes, 0)] {
            assert!(matches!(store.take_part_room(&blob, wanted, wanted, kept), Err(StorageError::Full { .. })));
            assert_eq!(blob.size_bytes().unwrap(), 0);
        }
    }
}
