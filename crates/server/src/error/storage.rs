//! The answers to failures of a storage.

use partway_api::ErrorCode;

use super::ApiError;
use crate::storage::StorageError;

/// The code of a storage failure, wherever it happened.
pub(super) fn code(error: &StorageError) -> ErrorCode {
    match error {
        StorageError::Full { .. } => ErrorCode::InsufficientStorage,
        StorageError::Stopped => ErrorCode::ServiceUnavailable,
        transient if transient.is_transient() => ErrorCode::ServiceUnavailable,
        StorageError::Io { .. }
        | StorageError::DataDir(_)
        | StorageError::Unavailable { .. }
        | StorageError::Answer { .. }
        | StorageError::Store { .. }
        | StorageError::OtherSize { .. }
        | StorageError::NotConfigured(_)
        | StorageError::Panicked => ErrorCode::Internal,
    }
}

impl From<StorageError> for ApiError {
    fn from(error: StorageError) -> Self {
        Self::failed(code(&error), &error)
    }
}
