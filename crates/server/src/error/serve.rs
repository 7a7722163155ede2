//! The answers to failures of serving a file.

use partway_api::ErrorCode;

use super::ApiError;
use crate::service::serve::ServeError;

impl From<ServeError> for ApiError {
    fn from(error: ServeError) -> Self {
        match error {
            ServeError::Db(cause) => cause.into(),
            ServeError::Storage(cause) => cause.into(),
            ServeError::OtherVersion { wanted, found } => Self::new(
                ErrorCode::PreconditionFailed,
                format!(
                    "`v` is \"{wanted}\"; allowed: \"{found}\", the version of the file that is there now, or no `v`"
                ),
            ),
        }
    }
}
