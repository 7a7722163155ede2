//! The row of a folder.

use uuid::Uuid;

use crate::db::sql::{DbError, Row, Timestamp, columns};

pub(super) const TABLE: &str = "folders";

/// The path of a folder, or its path before it was deleted.
pub(in crate::db::tables) fn former_path(path: &str) -> &str {
    match path.strip_prefix("//") {
        Some(deleted) => deleted.split_once('/').map_or("", |(_, path)| path),
        None => path,
    }
}

/// The id of a workspace's root folder.
pub fn root(workspace_id: Uuid) -> Uuid {
    workspace_id
}

/// A folder that is not the root.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Folder {
    /// Its id.
    pub id: Uuid,
    /// Its public number.
    pub folder_no: String,
    /// The workspace it is in.
    pub workspace_id: Uuid,
    /// Last segment of its path.
    pub name: String,
    /// All segments, joined by slashes.
    pub path: String,
    /// Its parent, which may be the root.
    pub parent_id: Uuid,
    /// Number of the parent, unless that is the root.
    pub parent_folder_no: Option<String>,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it was last renamed.
    pub updated_at: Timestamp,
    /// Number of files in it and in the folders below it.
    pub total_files: u64,
    /// Their bytes.
    pub total_bytes: u64,
}

/// Selects folders with the sums of the folders below them. Their paths are greater than the folder's path with `/`, and less than
/// its path with `0`, the next character. The range is read once: both sums come as one text, because a scalar subquery has one
/// value.
pub(super) const SELECT: &str = "SELECT d.id, d.folder_no, d.workspace_id, d.name, d.path, p.id, p.folder_no, p.path, d.created_at, d.updated_at, \
     d.files_count, d.files_bytes, \
     (SELECT CAST(sum(s.files_count) AS TEXT) || ' ' || CAST(sum(s.files_bytes) AS TEXT) FROM folders s \
     WHERE s.workspace_id = d.workspace_id AND s.path > d.path || '/' AND s.path < d.path || '0') \
     FROM folders d JOIN folders p ON p.id = d.parent_id";

/// Files and bytes in a folder and below it, from the columns of [`SELECT`] that begin with this one.
fn totals(row: &Row<'_>, column: usize) -> Result<(u64, u64), DbError> {
    let (files, bytes): (i64, i64) = (row.get(column)?, row.get(column + 1)?);
    // NULL if there is no folder below it.
    let below: Option<String> = row.get(column + 2)?;
    let below = below.as_deref().unwrap_or("0 0");
    let total = |below: &str, own: i64| u64::try_from(below.parse::<i64>().ok()?.checked_add(own)?).ok();
    let totals =
        below.split_once(' ').and_then(|(of_files, of_bytes)| Some((total(of_files, files)?, total(of_bytes, bytes)?)));
    let problem = || format!("a folder has {files} files, {bytes} bytes, and below it {below:?}");
    totals.ok_or_else(|| DbError::Corrupt { table: TABLE, problem: problem() })
}

/// Reads a folder from the columns of [`SELECT`].
pub(super) fn from_row(row: &Row<'_>) -> Result<Folder, DbError> {
    let is_in_root = row.text(7)?.is_empty();
    let (total_files, total_bytes) = totals(row, 10)?;
    Ok(Folder {
        id: columns::uuid(TABLE, row, 0)?,
        folder_no: row.get(1)?,
        workspace_id: columns::uuid(TABLE, row, 2)?,
        name: row.get(3)?,
        path: row.get(4)?,
        parent_id: columns::uuid(TABLE, row, 5)?,
        parent_folder_no: if is_in_root { None } else { Some(row.get(6)?) },
        created_at: row.get(8)?,
        updated_at: row.get(9)?,
        total_files,
        total_bytes,
    })
}
