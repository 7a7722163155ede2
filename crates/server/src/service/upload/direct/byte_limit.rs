//! Upper bound of a file whose size is known only when it has arrived.

use super::LIMIT_OF_ONE_REQUEST;
use crate::input::SizeLimit;
use crate::service::upload::UploadError;
use crate::service::upload::session::QuotaHeadroom;

/// The limits of one file, and which of them is reported.
#[derive(Debug, Clone, Copy)]
pub(super) struct ByteLimit {
    max_file: SizeLimit,
    headroom: Option<QuotaHeadroom>,
    is_public: bool,
}

/// The error of a full workspace. Public keys do not learn how full it is.
pub(super) fn quota_exceeded(headroom: QuotaHeadroom, is_public: bool) -> UploadError {
    if is_public { UploadError::WorkspaceFull } else { UploadError::NoRoomInWorkspace(headroom) }
}

impl ByteLimit {
    /// `storage_bytes`: upper bound of the storage, where it has one.
    ///
    /// # Errors
    /// When the workspace has no quota left.
    pub(super) fn new(
        mut max_file: SizeLimit,
        storage_bytes: Option<u64>,
        headroom: Option<QuotaHeadroom>,
        is_public: bool,
    ) -> Result<Self, UploadError> {
        if let Some(bytes) = storage_bytes.filter(|bytes| max_file.bytes > *bytes) {
            max_file = SizeLimit { bytes, whose: LIMIT_OF_ONE_REQUEST };
        }
        match headroom {
            Some(headroom) if headroom.left_bytes() == 0 => Err(quota_exceeded(headroom, is_public)),
            _ => Ok(Self { max_file, headroom, is_public }),
        }
    }

    /// Checks a file of `size_bytes` while other direct uploads in flight take `others_bytes` of the same quota.
    ///
    /// # Errors
    /// [`UploadError::FileTooLarge`], or that the quota does not suffice.
    pub(super) fn check(&self, size_bytes: u64, others_bytes: u64) -> Result<(), UploadError> {
        if size_bytes > self.max_file.bytes {
            return Err(UploadError::FileTooLarge(self.max_file));
        }
        match self.headroom {
            Some(headroom) if size_bytes.saturating_add(others_bytes) > headroom.left_bytes() => {
                Err(quota_exceeded(headroom, self.is_public))
            }
            _ => Ok(()),
        }
    }
}
