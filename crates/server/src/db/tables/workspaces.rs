//! Workspaces, which own files.

use uuid::Uuid;

use super::folders;
use crate::db::sql::Row;
use crate::db::sql::{DbError, Timestamp, Tx, columns};

const TABLE: &str = "workspaces";

/// A workspace.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Workspace {
    /// Its id.
    pub id: Uuid,
    /// Its public number: 10 characters, part of every file's URL.
    pub workspace_no: String,
    /// Its name, for people.
    pub name: String,
    /// When it was created.
    pub created_at: Timestamp,
}

fn from_row(row: &Row<'_>) -> Result<Workspace, DbError> {
    Ok(Workspace {
        id: columns::uuid(TABLE, row, 0)?,
        workspace_no: row.get(1)?,
        name: row.get(2)?,
        created_at: row.get(3)?,
    })
}

/// Adds a workspace with its root folder; its number must be free.
pub fn insert(tx: &Tx<'_>, workspace: &Workspace) -> Result<(), DbError> {
    tx.execute(
        "INSERT INTO workspaces (id, workspace_no, name, created_at) VALUES (?1, ?2, ?3, ?4)",
        &[&workspace.id.to_string(), &workspace.workspace_no, &workspace.name, &workspace.created_at],
    )?;
    folders::insert_root(tx, workspace.id, &workspace.workspace_no, workspace.created_at)
}

/// Keeps other transactions from changing the contents of the workspace: its counters, folders and paths.
pub fn lock(tx: &Tx<'_>, id: Uuid) -> Result<(), DbError> {
    tx.lock("SELECT 1 FROM workspaces WHERE id = ?1 /*FOR NO KEY UPDATE*/", &[&id.to_string()])
}

/// All workspaces, oldest first.
pub fn list(tx: &Tx<'_>) -> Result<Vec<Workspace>, DbError> {
    tx.all("SELECT id, workspace_no, name, created_at FROM workspaces ORDER BY created_at, id", &[], from_row)
}

/// The number of a workspace.
pub fn number_of(tx: &Tx<'_>, id: Uuid) -> Result<String, DbError> {
    let number =
        tx.optional("SELECT workspace_no FROM workspaces WHERE id = ?1", &[&id.to_string()], |row| row.get(0))?;
    number.ok_or_else(|| DbError::Corrupt { table: TABLE, problem: format!("workspace {id} is gone") })
}

/// The workspace with this number.
pub fn find_by_no(tx: &Tx<'_>, workspace_no: &str) -> Result<Option<Workspace>, DbError> {
    tx.optional(
        "SELECT id, workspace_no, name, created_at FROM workspaces WHERE workspace_no = ?1",
        &[&workspace_no],
        from_row,
    )
}
