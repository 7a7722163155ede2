//! Why something could not be done with the files and folders of a workspace.

use partway_api::limits::{MAX_FOLDER_BYTES, MAX_FOLDER_LEVELS};

use crate::db::DbError;
use crate::input::InvalidInput;

/// Why something could not be done with a file or a folder.
#[derive(Debug, thiserror::Error)]
pub enum WorkspaceError {
    /// Unknown, or of another workspace.
    #[error("the workspace has no file {0:?}")]
    FileNotFound(String),
    /// Unknown, or of another workspace.
    #[error("the workspace has no folder {0:?}")]
    FolderNotFound(String),
    /// The name is taken.
    #[error("there is a file at {0:?} already")]
    FileExists(String),
    /// The name is taken.
    #[error("there is a folder at {0:?} already")]
    FolderExists(String),
    /// A path would become too long.
    #[error(
        "a path would have {bytes} bytes in {levels} levels; allowed: at most {MAX_FOLDER_BYTES} bytes and {MAX_FOLDER_LEVELS} levels"
    )]
    PathTooLong {
        /// Its bytes.
        bytes: u64,
        /// Its levels.
        levels: usize,
    },
    /// What is to be is not allowed.
    #[error(transparent)]
    Invalid(#[from] InvalidInput),
    /// The database failed.
    #[error(transparent)]
    Db(#[from] DbError),
}
