//! What can go wrong with bytes.

use std::io;

use uuid::Uuid;

/// A failed storage operation.
#[derive(Debug, thiserror::Error)]
pub enum StorageError {
    /// The disk has no room. Nothing was kept of what was being done.
    #[error("no room on the disk to {doing} blob {blob_id}")]
    Full {
        /// What was being done.
        doing: &'static str,
        /// To which blob.
        blob_id: Uuid,
        /// What the system said.
        source: io::Error,
    },
    /// Any other failure of the system.
    #[error("could not {doing} blob {blob_id}")]
    Io {
        /// What was being done.
        doing: &'static str,
        /// To which blob.
        blob_id: Uuid,
        /// What the system said.
        source: io::Error,
    },
    /// The task that did it was ended, as happens when the server stops.
    #[error("the storage task was ended")]
    Stopped,
}

impl StorageError {
    /// Whether the blob is not there.
    pub fn is_missing(&self) -> bool {
        matches!(self, Self::Io { source, .. } if source.kind() == io::ErrorKind::NotFound)
    }

    pub(super) fn new(doing: &'static str, blob_id: Uuid, source: io::Error) -> Self {
        match source.kind() {
            // EDQUOT: the room that this user may have is used up.
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Self::Full { doing, blob_id, source },
            _ => Self::Io { doing, blob_id, source },
        }
    }
}
