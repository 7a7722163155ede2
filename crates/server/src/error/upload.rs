//! The answers to refused and failed uploads.

use partway_api::ErrorCode;

use super::ApiError;
use crate::outgoing::FetchError;
use crate::service::upload::UploadError;

impl UploadError {
    /// The code on the wire.
    pub(crate) fn code(&self) -> ErrorCode {
        match self {
            Self::SessionNotFound(_) => ErrorCode::SessionNotFound,
            Self::SessionCompleted(_) => ErrorCode::SessionCompleted,
            Self::SessionAborted(_) => ErrorCode::SessionAborted,
            Self::SessionExpired(_) | Self::SessionForgotten { .. } => ErrorCode::SessionExpired,
            Self::NotYours(_) | Self::KeyRevoked => ErrorCode::Forbidden,
            Self::UuidMismatch { .. } => ErrorCode::UuidMismatch,
            Self::PartsMissing { .. } => ErrorCode::PartsMissing,
            Self::IdempotencyKeyReused(_) => ErrorCode::IdempotencyKeyReused,
            Self::StorageLimitExceeded { .. }
            | Self::NoRoomInWorkspace(_)
            | Self::TooManySessions { .. }
            | Self::WorkspaceFull
            | Self::WorkspaceBusy => ErrorCode::StorageLimitExceeded,
            Self::FileTooLarge(_) => ErrorCode::FileTooLarge,
            Self::Fetch(FetchError::Forbidden(_)) => ErrorCode::InvalidRemoteUrl,
            Self::Fetch(_) => ErrorCode::RemoteFetchFailed,
            Self::Invalid(error) => error.code,
            Self::Opening(_) | Self::Ending(_) | Self::HeldUp | Self::Busy => ErrorCode::ServiceUnavailable,
            Self::NoSuchPart { .. } | Self::HashKind { .. } | Self::HashNotKept { .. } | Self::EtagsNotCompared => {
                ErrorCode::InvalidParameter
            }
            Self::HashMismatch { .. } | Self::DigestMismatch { .. } | Self::OtherParts(_) => {
                ErrorCode::ChecksumMismatch
            }
            Self::PartTooShort { .. } | Self::PartTooLong { .. } | Self::BodyBroken(_) => ErrorCode::PartSizeMismatch,
            Self::Stalled(_) | Self::TooSlow { .. } | Self::TookTooLong(_) => ErrorCode::RequestTimeout,
            Self::SyncFailed(_) => ErrorCode::Internal,
            // Not a code that SDKs retry: a retry would end the request that superseded this one.
            Self::Superseded(_) => ErrorCode::InvalidParameter,
            Self::Db(error) => super::db::code(error),
            Self::Storage(error) => super::storage::code(error),
        }
    }
}

impl From<UploadError> for ApiError {
    fn from(error: UploadError) -> Self {
        let code = error.code();
        match error {
            UploadError::Db(cause) => cause.into(),
            UploadError::Storage(cause) => cause.into(),
            UploadError::Opening(_) | UploadError::Ending(_) | UploadError::HeldUp | UploadError::Busy => {
                Self::failed(code, &error)
            }
            UploadError::PartsMissing { ref missing, .. } => {
                let mut answer = Self::new(code, error.to_string());
                answer.report.missing_parts = Some(missing.clone());
                answer
            }
            refused => Self::new(code, refused.to_string()),
        }
    }
}
