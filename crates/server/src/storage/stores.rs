//! The storages of a server: one for new files, and the other while files are left in it.

use std::sync::Arc;

use super::{BlobStore, LocalStore, S3Store, StorageError};
use crate::model::StorageKind;

/// The storages of a server. Clones share them.
#[derive(Debug, Clone)]
pub struct Stores {
    /// The storage of new files.
    pub primary: StorageKind,
    /// The data directory, if it is used.
    pub local: Option<Arc<LocalStore>>,
    /// The bucket, if it is used.
    pub s3: Option<Arc<S3Store>>,
}

impl Stores {
    /// The storage of this kind.
    ///
    /// # Errors
    /// [`StorageError::NotConfigured`].
    pub fn get(&self, kind: StorageKind) -> Result<Arc<dyn BlobStore>, StorageError> {
        let found = match kind {
            StorageKind::Local => self.local.clone().map(|store| store as Arc<dyn BlobStore>),
            StorageKind::S3 => self.s3.clone().map(|store| store as Arc<dyn BlobStore>),
        };
        found.ok_or(StorageError::NotConfigured(kind))
    }

    /// The data directory.
    ///
    /// # Errors
    /// [`StorageError::NotConfigured`].
    pub fn local(&self) -> Result<&Arc<LocalStore>, StorageError> {
        self.local.as_ref().ok_or(StorageError::NotConfigured(StorageKind::Local))
    }

    /// The bucket.
    ///
    /// # Errors
    /// [`StorageError::NotConfigured`].
    pub fn s3(&self) -> Result<&Arc<S3Store>, StorageError> {
        self.s3.as_ref().ok_or(StorageError::NotConfigured(StorageKind::S3))
    }

    /// All of them.
    pub fn all(&self) -> Vec<Arc<dyn BlobStore>> {
        StorageKind::ALL.into_iter().filter_map(|kind| self.get(kind).ok()).collect()
    }
}
