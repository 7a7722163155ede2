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
