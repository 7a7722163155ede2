//! Workspaces.

use uuid::Uuid;

use super::public_id::unused_public_id;
use crate::db::workspaces::{self, Workspace};
use crate::db::{DbError, Timestamp, Tx};

/// Makes a workspace.
///
/// # Errors
/// When the database fails.
pub fn create_workspace(tx: &Tx<'_>, name: &str) -> Result<Workspace, DbError> {
    let workspace = draw_workspace(tx, name)?;
    workspaces::insert(tx, &workspace)?;
    Ok(workspace)
}

/// A workspace that is not there until it is inserted: whoever draws one can show its number before.
///
/// # Errors
/// When the database fails.
pub fn draw_workspace(tx: &Tx<'_>, name: &str) -> Result<Workspace, DbError> {
    let workspace_no = unused_public_id(|number| Ok(workspaces::find_by_no(tx, number)?.is_some()))?;
    Ok(Workspace { id: Uuid::now_v7(), workspace_no, name: name.to_owned(), created_at: Timestamp::now() })
}
