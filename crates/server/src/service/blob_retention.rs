//! Retention of blobs whose file was deleted, replaced or moved.

use crate::model::StorageKind;

/// Decides for how long a blob stays readable after its file let go of it.
#[derive(Debug, Clone, Copy)]
pub struct GracePolicy {
    bucket_seconds: u64,
}

impl GracePolicy {
    /// Keeps blobs of a bucket for `bucket_seconds`: the lifetime of the presigned URLs that readers may hold.
    pub fn new(bucket_seconds: u64) -> Self {
        Self { bucket_seconds }
    }

    /// Seconds for which a blob of this storage is kept. Local readers have the file open, so its bytes outlive the deletion
    /// of its name, and nothing has to be kept.
    pub(super) fn seconds(self, storage: StorageKind) -> u64 {
        match storage {
            StorageKind::Local => 0,
            StorageKind::S3 => self.bucket_seconds,
        }
    }
}
