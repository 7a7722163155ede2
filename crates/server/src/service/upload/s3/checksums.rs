//! Whether the store keeps the CRC-64/NVME of whole objects, which only a trial shows.

use uuid::Uuid;

use super::{S3Uploads, UploadError};
use crate::db::Durability;
use crate::model::{BlobRef, StorageKind};
use crate::service::unfinished::UnfinishedBlob;
use crate::storage::BlobStore;

impl S3Uploads {
    /// Whether a `crc64nvme:` hash can be compared with the bytes that arrive. Tried once in the life of this process, with an object
    /// of one byte that is deleted again.
    ///
    /// # Errors
    /// When store or database fail; the next call tries again.
    pub(super) async fn keeps_checksums(&self) -> Result<bool, UploadError> {
        self.checksums.get_or_try_init(|| self.try_checksums()).await.copied()
    }

    async fn try_checksums(&self) -> Result<bool, UploadError> {
        let blob = BlobRef { storage: StorageKind::S3, id: Uuid::now_v7() };
        // Registered before its first byte exists: however this ends, the cleaner deletes it.
        let trial =
            UnfinishedBlob::begin(&self.records.db, blob, None, std::sync::Arc::clone(&self.garbage_bell)).await?;
        let keeps = self.store.try_checksums(blob.id).await?;
        self.store.delete_blob(blob.id).await?;
        self.records.db.write_to_free(Durability::Process, move |tx| UnfinishedBlob::claim(tx, blob)).await?;
        trial.claimed();
        Ok(keeps)
    }
}
