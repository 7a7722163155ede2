//! Lists of folders.

use uuid::Uuid;

use super::row::{Folder, SELECT, TABLE, from_row};
use crate::db::sql::builder::{Sql, containing};
use crate::db::sql::{DbError, Tx, columns, folded};
use crate::model::{FolderFilter, FolderOrder};

/// One page of folders.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FolderPage {
    /// The folders of the page.
    pub folders: Vec<Folder>,
    /// Number of folders on all pages.
    pub total: u64,
}

/// Skips `offset` folders of those that pass the filter and returns at most `limit`. The page is found in an index alone, and
/// sums are computed for its folders only.
pub fn list(
    tx: &Tx<'_>,
    workspace_id: Uuid,
    filter: &FolderFilter,
    order: FolderOrder,
    limit: u32,
    offset: u64,
) -> Result<FolderPage, DbError> {
    let mut sql = Sql::default();
    sql.push("SELECT count(*)", &[]);
    push_conditions(&mut sql, workspace_id, filter);
    let (text, values) = sql.finish();
    let total = tx.optional(text, &values, |row| columns::size(TABLE, row, 0))?.unwrap_or_default();
    if offset >= total {
        return Ok(FolderPage { folders: Vec::new(), total });
    }
    let by = match (order.by_creation, order.descending) {
        (false, false) => " ORDER BY d.name_folded, d.id",
        (false, true) => " ORDER BY d.name_folded DESC, d.id DESC",
        (true, false) => " ORDER BY d.created_at, d.id",
        (true, true) => " ORDER BY d.created_at DESC, d.id DESC",
    };
    let mut sql = Sql::default();
    sql.push(SELECT, &[]).push(" JOIN (SELECT d.id", &[]);
    push_conditions(&mut sql, workspace_id, filter);
    sql.push(by, &[]).push(" LIMIT ? OFFSET ?) page ON page.id = d.id", &[&limit, &columns::size_to_sql(offset)]);
    sql.push(by, &[]);
    let (text, values) = sql.finish();
    Ok(FolderPage { folders: tx.all(text, &values, from_row)?, total })
}

/// `FROM` the folders `d` that pass the filter.
fn push_conditions(sql: &mut Sql, workspace_id: Uuid, filter: &FolderFilter) {
    let FolderFilter { parent_id, search, path } = filter;
    sql.push(" FROM folders d WHERE ", &[]);
    match parent_id {
        // A parent belongs to one workspace; the index on it does not have the workspace.
        Some(parent_id) => sql.push("d.parent_id = ?", &[&parent_id.to_string()]),
        // Roots and deleted folders have no parent.
        None => sql.push("d.workspace_id = ? AND d.parent_id IS NOT NULL", &[&workspace_id.to_string()]),
    };
    if let Some(path) = path {
        // The index by path begins with the workspace.
        sql.push(" AND d.workspace_id = ? AND d.path = ?", &[&workspace_id.to_string(), path]);
    }
    if let Some(search) = search {
        sql.push(" AND d.name_folded LIKE ? ESCAPE '!'", &[&containing(&folded(search))]);
    }
}
