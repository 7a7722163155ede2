//! Workspaces: creating and listing them, and their limits.

use std::io;

use uuid::Uuid;

use super::admin_error::AdminError;
use super::public_id::unused_public_id;
use crate::db::workspaces::{self, Workspace};
use crate::db::{Db, DbError, Durability, Timestamp, Tx, usage};
use crate::model::WorkspaceLimits;

/// The workspaces of one database.
#[derive(Debug, Clone)]
pub struct Workspaces {
    db: Db,
}

impl Workspaces {
    /// The workspaces of this database.
    pub fn new(db: Db) -> Self {
        Self { db }
    }

    /// All workspaces, oldest first.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn list(&self) -> Result<Vec<Workspace>, DbError> {
        self.db.read(workspaces::list).await
    }

    /// Creates a workspace without keys. `show` is given its number before it is stored.
    ///
    /// # Errors
    /// [`AdminError::NotShown`] and [`AdminError::NotStored`]: there is no new workspace then.
    pub async fn create(
        &self,
        name: String,
        show: impl FnOnce(&Workspace) -> io::Result<()>,
    ) -> Result<Workspace, AdminError> {
        let workspace = self.db.read(move |tx| draw_workspace(tx, &name)).await?;
        show(&workspace).map_err(|source| {
            let consequence = "no workspace was made, because its number could not be shown";
            AdminError::NotShown { consequence, source }
        })?;
        let stored = workspace.clone();
        let stored = self.db.write(Durability::PowerLoss, move |tx| workspaces::insert(tx, &stored)).await;
        stored.map_err(|source| {
            let consequence = "the workspace that was shown does not exist, because it could not be stored";
            AdminError::NotStored { consequence, source }
        })?;
        Ok(workspace)
    }

    /// Changes the limits of a workspace: `change` is given those it has and answers those it gets. A limit of `None` is that
    /// of the settings. Answers the new limits. Works on a full disk.
    ///
    /// # Errors
    /// [`AdminError::UnknownWorkspace`].
    pub async fn change_limits(
        &self,
        workspace_no: String,
        change: impl Fn(WorkspaceLimits) -> WorkspaceLimits + Clone + Send + 'static,
    ) -> Result<WorkspaceLimits, AdminError> {
        let changed = self.db.write_to_free(Durability::PowerLoss, move |tx| {
            let Some(workspace) = workspaces::find_by_no(tx, &workspace_no)? else {
                let (wanted, existing) = (workspace_no.clone(), numbers(&workspaces::list(tx)?));
                return Ok(Err(AdminError::UnknownWorkspace { wanted, existing }));
            };
            workspaces::lock(tx, workspace.id)?;
            let before = usage::find(tx, workspace.id)?.map(|usage| usage.limits).unwrap_or_default();
            let limits = change(before);
            usage::set_limits(tx, workspace.id, limits)?;
            Ok(Ok(limits))
        });
        changed.await?
    }
}

/// The workspace with the number `wanted`; without it, the only one.
pub(super) fn choose(tx: &Tx<'_>, wanted: Option<&str>) -> Result<Result<Workspace, AdminError>, DbError> {
    let all = workspaces::list(tx)?;
    let existing = numbers(&all);
    let mut fitting = all.into_iter().filter(|workspace| wanted.is_none_or(|wanted| wanted == workspace.workspace_no));
    Ok(match (fitting.next(), fitting.next()) {
        (Some(only), None) => Ok(only),
        (None, _) => Err(AdminError::UnknownWorkspace { wanted: wanted.unwrap_or_default().to_owned(), existing }),
        (Some(_), Some(_)) => Err(AdminError::WorkspaceNotNamed { existing }),
    })
}

fn numbers(workspaces: &[Workspace]) -> Vec<String> {
    workspaces.iter().map(|workspace| workspace.workspace_no.clone()).collect()
}

/// Creates a workspace within a transaction.
///
/// # Errors
/// When the database fails.
pub fn create_workspace(tx: &Tx<'_>, name: &str) -> Result<Workspace, DbError> {
    let workspace = draw_workspace(tx, name)?;
    workspaces::insert(tx, &workspace)?;
    Ok(workspace)
}

/// A workspace with an unused number, which does not exist until it is inserted.
fn draw_workspace(tx: &Tx<'_>, name: &str) -> Result<Workspace, DbError> {
    let workspace_no = unused_public_id(|number| Ok(workspaces::find_by_no(tx, number)?.is_some()))?;
    Ok(Workspace { id: Uuid::now_v7(), workspace_no, name: name.to_owned(), created_at: Timestamp::now() })
}
