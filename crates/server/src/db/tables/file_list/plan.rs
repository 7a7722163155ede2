//! The choice of the index from which a list is read.
//!
//! Each condition of a filter names a set of files in an index, whose size is counted or known. The smallest set is scanned, and the
//! other conditions are checked row by row.

use uuid::Uuid;

use super::conditions::{Conditions, push_folders_below, push_names_below};
use super::index_scan::IndexScan;
use crate::db::sql::builder::Sql;
use crate::db::sql::{DbError, Tx, columns};
use crate::db::tables::{folders, usage};
use crate::model::FileFilter;

/// A filter, and the index scans whose rows are checked against it.
pub(super) struct ListPlan<'f> {
    conditions: Conditions<'f>,
    /// Disjoint scans that together have all files that pass the filter.
    scans: Vec<IndexScan<'f>>,
    /// Number of files in the scans, if it is known.
    count: Option<u64>,
}

impl<'f> ListPlan<'f> {
    /// Chooses the smallest scans.
    pub(super) fn choose(tx: &Tx<'_>, workspace_id: Uuid, filter: &'f FileFilter) -> Result<Self, DbError> {
        let hides_deleted = folders::any_deleted(tx, Some(workspace_id))?;
        let conditions = Conditions { workspace_id, filter, hides_deleted };
        if let Some(path) = &filter.path {
            return Ok(Self { conditions, scans: vec![IndexScan::Path(path)], count: None });
        }
        if let Some(custom_id) = &filter.custom_id {
            return Ok(Self { conditions, scans: vec![IndexScan::CustomId(custom_id)], count: None });
        }
        let files = usage::find(tx, workspace_id)?.map(|usage| usage.files.count).unwrap_or_default();
        let mut smallest = (vec![IndexScan::Workspace], u64::try_from(files).unwrap_or_default());
        if let Some(folder_id) = filter.folder_id {
            smallest = (vec![IndexScan::Folder(folder_id)], folders::files_in(tx, folder_id)?);
        }
        if let Some(prefix) = &filter.path_prefix {
            let scans = [below_path(tx, workspace_id, prefix)?, directly_in_path(tx, workspace_id, prefix)?];
            let count = scans.iter().map(|(count, _)| count).sum();
            if count <= smallest.1 {
                let scans = scans.into_iter().filter(|(count, _)| *count > 0).map(|(_, scan)| scan).collect();
                smallest = (scans, count);
            }
        }
        for tag in &filter.tags {
            let count = count_tag(tx, workspace_id, tag, smallest.1.saturating_add(1))?;
            // On a tie the tag wins: its index has all columns that the checks read.
            if count <= smallest.1 {
                smallest = (vec![IndexScan::Tag(tag)], count);
            }
        }
        Ok(Self { conditions, scans: smallest.0, count: Some(smallest.1) })
    }

    /// Whether no file passes the filter for certain.
    pub(super) fn is_empty(&self) -> bool {
        self.scans.is_empty()
    }

    /// Adds a query for the files `f` that pass the filter; `columns` adds its `SELECT`.
    pub(super) fn select(&self, sql: &mut Sql, columns: impl Fn(&mut Sql)) {
        for (index, scan) in self.scans.iter().enumerate() {
            sql.push(if index == 0 { "" } else { " UNION ALL " }, &[]);
            columns(sql);
            self.conditions.push(sql, scan);
        }
    }

    /// Number of files that pass the filter.
    pub(super) fn total(&self, tx: &Tx<'_>) -> Result<u64, DbError> {
        if let Some(count) = self.count.filter(|count| *count == 0 || self.passes_all()) {
            return Ok(count);
        }
        let mut total = 0;
        for scan in &self.scans {
            let mut sql = Sql::default();
            sql.push("SELECT count(*)", &[]);
            self.conditions.push(&mut sql, scan);
            total += count(tx, &sql)?;
        }
        Ok(total)
    }

    /// Whether all files in the scans pass the filter, so that [`count`](Self::count) is the total.
    fn passes_all(&self) -> bool {
        // Scans by path or by client's id have no count.
        let FileFilter { folder_id, path_prefix, path: _, search, tags, custom_id: _ } = self.conditions.filter;
        let conditions = usize::from(folder_id.is_some()) + usize::from(path_prefix.is_some()) + tags.len();
        let counts_deleted = self.conditions.hides_deleted && !tags.is_empty();
        conditions <= 1 && search.is_none() && !counts_deleted
    }
}

/// The scan of the files in folders whose paths start with the prefix, and their number.
fn below_path<'f>(tx: &Tx<'_>, workspace_id: Uuid, prefix: &'f str) -> Result<(u64, IndexScan<'f>), DbError> {
    let mut sql = Sql::default();
    sql.push("SELECT CAST(coalesce(sum(files_count), 0) AS BIGINT) FROM folders WHERE id IN (", &[]);
    push_folders_below(&mut sql, &workspace_id.to_string(), prefix).push(")", &[]);
    Ok((count(tx, &sql)?, IndexScan::FoldersBelow(prefix)))
}

/// The scan of the files directly in the folder in which the prefix ends, and their number: all of them, or those whose names start
/// with the prefix's last segment.
fn directly_in_path<'f>(tx: &Tx<'_>, workspace_id: Uuid, prefix: &'f str) -> Result<(u64, IndexScan<'f>), DbError> {
    if let Some(path) = prefix.strip_suffix('/')
        && let Some(folder) = folders::find_by_path(tx, workspace_id, path)?
    {
        return Ok((folders::files_in(tx, folder.id)?, IndexScan::FilesOf(folder.id)));
    }
    let mut sql = Sql::default();
    sql.push("SELECT count(*) FROM files f WHERE ", &[]);
    push_names_below(&mut sql, &workspace_id.to_string(), prefix);
    Ok((count(tx, &sql)?, IndexScan::NamesBelow(prefix)))
}

/// Number of files with a tag, including those in deleted folders; counts up to `most`.
fn count_tag(tx: &Tx<'_>, workspace_id: Uuid, tag: &str, most: u64) -> Result<u64, DbError> {
    let mut sql = Sql::default();
    let piece = "SELECT count(*) FROM (SELECT 1 FROM file_tags WHERE workspace_id = ? AND tag = ? LIMIT ?) t";
    sql.push(piece, &[&workspace_id.to_string(), &tag, &columns::size_to_sql(most)]);
    count(tx, &sql)
}

/// Runs a query that returns one number.
fn count(tx: &Tx<'_>, sql: &Sql) -> Result<u64, DbError> {
    let (text, values) = sql.finish();
    let counted = tx.optional(text, &values, |row| row.get::<i64>(0))?.unwrap_or_default();
    Ok(u64::try_from(counted).unwrap_or_default())
}
