//! Errors of the services that administer a database.

use std::io;

use uuid::Uuid;

use crate::db::DbError;

/// Why a call of the administration failed. Nothing has changed then.
#[derive(Debug, thiserror::Error)]
pub enum AdminError {
    /// No workspace has this number.
    #[error("there is no workspace {wanted:?}; allowed: {}", existing.join(", "))]
    UnknownWorkspace {
        /// The number asked for.
        wanted: String,
        /// The numbers of all workspaces.
        existing: Vec<String>,
    },
    /// The call needs a workspace, and none was named.
    #[error("there are several workspaces, and none was named; allowed: {}", existing.join(", "))]
    WorkspaceNotNamed {
        /// The numbers of all workspaces.
        existing: Vec<String>,
    },
    /// No key has this id, or is this text.
    #[error("there is no such key")]
    UnknownKey,
    /// No webhook has this id.
    #[error("there is no webhook {0}")]
    UnknownWebhook(Uuid),
    /// The new secret or number could not be shown, so nothing was stored.
    #[error("{consequence}")]
    NotShown {
        /// The state that this leaves.
        consequence: &'static str,
        /// Why.
        source: io::Error,
    },
    /// The secret or number was shown, and could not be stored.
    #[error("{consequence}")]
    NotStored {
        /// The state that this leaves.
        consequence: &'static str,
        /// Why.
        source: DbError,
    },
    /// The database failed.
    #[error(transparent)]
    Db(#[from] DbError),
}
