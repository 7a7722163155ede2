//! The scan of the directories of blobs, for `partway fsck`.

use std::{fs, io};

use uuid::Uuid;

use super::{LocalStore, Scanned};

impl LocalStore {
    /// Calls `found` with each entry of the directories of blobs.
    ///
    /// # Errors
    /// When the root cannot be read. An unreadable directory in it is an entry, [`Scanned::Unreadable`].
    pub fn scan(&self, mut found: impl FnMut(Scanned)) -> io::Result<()> {
        for shard in fs::read_dir(&self.root)? {
            let shard = shard?;
            if !shard.file_type()?.is_dir() {
                found(Scanned::Foreign(shard.path().display().to_string()));
                continue;
            }
            let scanned = fs::read_dir(shard.path()).and_then(|mut entries| {
                entries.try_for_each(|entry| {
                    let entry = entry?;
                    if !is_open_and_deleted(&entry) {
                        found(self.judge(&entry));
                    }
                    Ok(())
                })
            });
            if let Err(error) = scanned {
                found(Scanned::Unreadable(shard.path().display().to_string(), error.to_string()));
            }
        }
        Ok(())
    }

    /// Only a file at exactly the path that this store would give it can be a blob.
    fn judge(&self, entry: &fs::DirEntry) -> Scanned {
        let id = entry.file_name().to_str().and_then(|name| Uuid::try_parse(name).ok());
        let is_file = entry.file_type().is_ok_and(|kind| kind.is_file());
        match id.filter(|id| is_file && self.path(*id) == entry.path()) {
            Some(id) => Scanned::Blob(id),
            None => Scanned::Foreign(entry.path().display().to_string()),
        }
    }
}

/// Whether this is the name under which FUSE (libfuse, `hard_remove`) or NFS keeps a deleted file while somebody has it open.
fn is_open_and_deleted(entry: &fs::DirEntry) -> bool {
    entry.file_name().to_str().is_some_and(|name| name.starts_with(".fuse_hidden") || name.starts_with(".nfs"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_that_are_deleted_and_still_open_are_no_finding() {
        let directory = tempfile::tempdir().unwrap();
        let store = LocalStore::existing(directory.path());
        let shard = directory.path().join("blobs").join("00");
        fs::create_dir_all(&shard).unwrap();
        for name in [".fuse_hidden0000021600000002", ".nfs000000000123456700000001", ".hidden"] {
            fs::write(shard.join(name), b"x").unwrap();
        }
        let mut found = Vec::new();
        store.scan(|entry| found.push(entry)).unwrap();
        assert!(matches!(&found[..], [Scanned::Foreign(path)] if path.ends_with("/.hidden")), "{found:?}");
    }
}
