//! The backends that this server has. [`Backends::of`] is the one place that chooses between kinds of storage.

use std::sync::Arc;

use super::backend::{PartReceiver, PartsBackend};
use crate::model::StorageKind;
use crate::storage::StorageError;

/// The backends of one server. Clones share them.
#[derive(Clone)]
pub(super) struct Backends {
    /// Where the bytes of new sessions go.
    pub(super) primary: StorageKind,
    local: Option<Arc<dyn PartsBackend>>,
    s3: Option<Arc<dyn PartsBackend>>,
    /// The local one, which receives the parts of its sessions itself.
    receiver: Option<Arc<dyn PartReceiver>>,
}

impl Backends {
    pub(super) fn new(
        primary: StorageKind,
        local: Option<Arc<dyn PartReceiver>>,
        s3: Option<Arc<dyn PartsBackend>>,
    ) -> Self {
        Self { primary, local: local.clone().map(|local| local as Arc<dyn PartsBackend>), s3, receiver: local }
    }

    /// The backend of this kind of storage.
    ///
    /// # Errors
    /// [`StorageError::NotConfigured`] when this server has no storage of the kind.
    pub(super) fn of(&self, kind: StorageKind) -> Result<&Arc<dyn PartsBackend>, StorageError> {
        let backend = match kind {
            StorageKind::Local => &self.local,
            StorageKind::S3 => &self.s3,
        };
        backend.as_ref().ok_or(StorageError::NotConfigured(kind))
    }

    /// The backend of new sessions.
    ///
    /// # Errors
    /// As [`of`](Self::of).
    pub(super) fn primary(&self) -> Result<&Arc<dyn PartsBackend>, StorageError> {
        self.of(self.primary)
    }

    /// The backend whose parts are sent to this server.
    ///
    /// # Errors
    /// [`StorageError::NotConfigured`] when all parts go to a store.
    pub(super) fn receiver(&self) -> Result<&Arc<dyn PartReceiver>, StorageError> {
        self.receiver.as_ref().ok_or(StorageError::NotConfigured(StorageKind::Local))
    }

    /// Every backend there is.
    pub(super) fn all(&self) -> impl Iterator<Item = &Arc<dyn PartsBackend>> {
        self.local.iter().chain(&self.s3)
    }
}
