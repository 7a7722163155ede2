//! The answers to failures of the database.

use partway_api::ErrorCode;

use super::ApiError;
use crate::db::DbError;

/// The code of a database failure, wherever it happened.
pub(super) fn code(error: &DbError) -> ErrorCode {
    match error {
        DbError::Full(_) => ErrorCode::InsufficientStorage,
        DbError::Locked(_)
        | DbError::TooLong
        | DbError::Busy
        | DbError::Unavailable(_)
        | DbError::ReadOnly(_)
        | DbError::Refused(_)
        | DbError::Forbidden(_)
        | DbError::Stopped => ErrorCode::ServiceUnavailable,
        DbError::NotEmpty
        | DbError::Unsuitable(_)
        | DbError::Panicked
        | DbError::Corrupt { .. }
        | DbError::TooNew { .. }
        | DbError::TooOld { .. }
        | DbError::Commit(_)
        | DbError::Engine(_)
        | DbError::Io { .. } => ErrorCode::Internal,
    }
}

impl From<DbError> for ApiError {
    fn from(error: DbError) -> Self {
        let mut answer = Self::failed(code(&error), &error);
        if matches!(error, DbError::TooLong | DbError::Busy) {
            answer.report.message = error.to_string();
            answer.report.shows_message = true;
        }
        answer
    }
}
