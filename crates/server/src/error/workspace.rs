//! The answers to refused and failed requests for files and folders.

use partway_api::ErrorCode;

use super::ApiError;
use crate::service::error::WorkspaceError;

impl WorkspaceError {
    /// The code on the wire.
    pub(crate) fn code(&self) -> ErrorCode {
        match self {
            Self::FileNotFound(_) => ErrorCode::FileNotFound,
            Self::FolderNotFound(_) => ErrorCode::FolderNotFound,
            Self::FileExists(_) => ErrorCode::FileExists,
            Self::FolderExists(_) => ErrorCode::FolderExists,
            Self::PathTooLong { .. } => ErrorCode::InvalidFolder,
            Self::Invalid(error) => error.code,
            Self::Db(error) => super::db::code(error),
        }
    }
}

impl From<WorkspaceError> for ApiError {
    fn from(error: WorkspaceError) -> Self {
        match error {
            WorkspaceError::Db(cause) => cause.into(),
            refused => Self::new(refused.code(), refused.to_string()),
        }
    }
}
