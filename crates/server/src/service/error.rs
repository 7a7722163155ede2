//! Errors of calls about the files and folders of a workspace.

use partway_api::limits::{MAX_FOLDER_BYTES, MAX_FOLDER_LEVELS};

use crate::db::DbError;
use crate::input::InvalidInput;

/// Why a call about a file or a folder failed.
#[derive(Debug, thiserror::Error)]
pub enum WorkspaceError {
    /// It does not exist, or is in another workspace.
    #[error("the workspace has no file {0:?}")]
    FileNotFound(String),
    /// It does not exist, or is in another workspace.
    #[error("the workspace has no folder {0:?}")]
    FolderNotFound(String),
    /// The name is in use.
    #[error("there is already a file at {0:?}")]
    FileExists(String),
    /// The name is in use.
    #[error("there is already a folder at {0:?}")]
    FolderExists(String),
    /// A path would be too long.
    #[error(
        "a path would have {bytes} bytes in {levels} levels; allowed: at most {MAX_FOLDER_BYTES} bytes and {MAX_FOLDER_LEVELS} levels"
    )]
    PathTooLong {
        /// Its bytes.
        bytes: u64,
        /// Its levels.
        levels: usize,
    },
    /// A value is not allowed.
    #[error(transparent)]
    Invalid(#[from] InvalidInput),
    /// The database failed.
    #[error(transparent)]
    Db(#[from] DbError),
}
