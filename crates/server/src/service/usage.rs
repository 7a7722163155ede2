//! Usage: the bytes of each workspace, and the free space of the disk.

use uuid::Uuid;

use crate::config::StorageSettings;
use crate::db::usage::{self, Amount};
use crate::db::{Db, DbError, garbage};
use crate::model::{StorageKind, WorkspaceLimits};
use crate::storage::{DiskState, LocalStore};

/// The usage of all workspaces of one database.
#[derive(Debug, Clone)]
pub struct Usage {
    db: Db,
    /// Limits of workspaces that have none of their own.
    default_limits: WorkspaceLimits,
}

/// Bytes that count for one workspace, or for none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WorkspaceUsage {
    /// The workspace with its files and open sessions. `None` for garbage that belongs to no workspace: `partway fsck` found it.
    pub workspace: Option<usage::Usage>,
    /// Blobs that the cleaner has still to delete.
    pub garbage: Amount,
}

impl Usage {
    /// The usage in this database; `default_limits` hold for workspaces without limits of their own.
    pub fn new(db: Db, default_limits: WorkspaceLimits) -> Self {
        Self { db, default_limits }
    }

    /// The usage of each workspace, oldest first, then garbage without a workspace.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn list(&self) -> Result<Vec<WorkspaceUsage>, DbError> {
        let (workspaces, mut garbage) = self.db.read(|tx| Ok((usage::list(tx)?, garbage::amounts(tx)?))).await?;
        let mut take_garbage = |workspace_id: Uuid| {
            let own = garbage.iter().position(|(id, _)| *id == Some(workspace_id));
            own.map(|at| garbage.swap_remove(at).1).unwrap_or_default()
        };
        let mut rows = Vec::with_capacity(workspaces.len());
        for mut workspace in workspaces {
            workspace.limits.storage_bytes = workspace.limits.storage_bytes.or(self.default_limits.storage_bytes);
            let garbage = take_garbage(workspace.workspace_id);
            rows.push(WorkspaceUsage { workspace: Some(workspace), garbage });
        }
        rows.extend(garbage.into_iter().map(|(_, garbage)| WorkspaceUsage { workspace: None, garbage }));
        Ok(rows)
    }
}

/// Free space of the disk of local storage. `None` when the settings name a bucket, or the data directory cannot be examined.
pub fn disk_of(settings: &StorageSettings) -> Option<DiskState> {
    if settings.kind != StorageKind::Local {
        return None;
    }
    let disk = LocalStore::existing(&settings.data_dir).disk().ok()?;
    Some(DiskState { kept_bytes: settings.min_free_bytes, ..disk })
}
