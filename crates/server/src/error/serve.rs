//! The answers to failures of serving a file.

use super::ApiError;
use crate::service::serve::ServeError;

impl From<ServeError> for ApiError {
    fn from(error: ServeError) -> Self {
        match error {
            ServeError::Db(cause) => cause.into(),
            ServeError::Storage(cause) => cause.into(),
        }
    }
}
