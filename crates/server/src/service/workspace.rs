//! Workspaces.

use uuid::Uuid;

use super::number::free_number;
use crate::db::workspaces::{self, Workspace};
use crate::db::{DbError, Timestamp, Tx};

/// Makes a workspace.
///
/// # Errors
/// When the database fails.
pub fn create_workspace(tx: &Tx<'_>, name: &str) -> Result<Workspace, DbError> {
    let workspace_no = free_number(|number| Ok(workspaces::find_by_no(tx, number)?.is_some()))?;
    let workspace = Workspace { id: Uuid::now_v7(), workspace_no, name: name.to_owned(), created_at: Timestamp::now() };
    workspaces::insert(tx, &workspace)?;
    Ok(workspace)
}
