//! The `FROM` and `WHERE` of a list.

use uuid::Uuid;

use super::index_scan::IndexScan;
use crate::db::sql::builder::{Sql, containing, pad_to_bucket, prefix_upper_bound};
use crate::db::sql::folded;
use crate::db::tables::files;
use crate::model::FileFilter;

/// The conditions of a list, from which each index scan leaves out those that it fulfils by itself.
pub(super) struct Conditions<'f> {
    pub workspace_id: Uuid,
    pub filter: &'f FileFilter,
    /// Whether files in deleted folders must be excluded.
    pub hides_deleted: bool,
}

impl Conditions<'_> {
    /// Adds the `FROM` of an index scan with rows `f`, and the conditions that the scan does not fulfil by itself.
    pub(super) fn push(&self, sql: &mut Sql, scan: &IndexScan<'_>) {
        let workspace = self.workspace_id.to_string();
        match scan {
            IndexScan::Workspace => sql.push(" FROM files f WHERE f.workspace_id = ?", &[&workspace]),
            IndexScan::Folder(folder_id) | IndexScan::FilesOf(folder_id) => {
                sql.push(" FROM files f WHERE f.folder_id = ?", &[&folder_id.to_string()])
            }
            IndexScan::FoldersBelow(prefix) => {
                sql.push(" FROM files f WHERE f.folder_id IN (", &[]);
                push_folders_below(sql, &workspace, prefix).push(")", &[])
            }
            IndexScan::NamesBelow(prefix) => {
                sql.push(" FROM files f WHERE ", &[]);
                push_names_below(sql, &workspace, prefix)
            }
            IndexScan::Path(path) => {
                let (folder, name) = files::split(path);
                sql.push(
                    " FROM files f WHERE f.folder_id = (SELECT id FROM folders WHERE workspace_id = ? AND path = ? \
                     AND deleted_at IS NULL) AND f.name = ?",
                    &[&workspace, &folder, &name],
                )
            }
            IndexScan::Tag(tag) => sql.push(
                " FROM (SELECT workspace_id, tag, created_at, file_id AS id, folder_id, name_folded, size_bytes, updated_at \
                 FROM file_tags) f WHERE f.workspace_id = ? AND f.tag = ?",
                &[&workspace, tag],
            ),
            IndexScan::CustomId(custom_id) => {
                sql.push(" FROM files f WHERE f.workspace_id = ? AND f.custom_id = ?", &[&workspace, custom_id])
            }
        };
        self.push_filters(sql, scan);
    }

    fn push_filters(&self, sql: &mut Sql, scan: &IndexScan<'_>) {
        let Self { workspace_id, filter, hides_deleted } = self;
        let workspace = workspace_id.to_string();
        if let Some(folder_id) = filter.folder_id
            && !matches!(scan, IndexScan::Folder(_))
        {
            sql.push(" AND f.folder_id = ?", &[&folder_id.to_string()]);
        }
        if let Some(prefix) = &filter.path_prefix
            && !matches!(scan, IndexScan::FoldersBelow(_) | IndexScan::FilesOf(_) | IndexScan::NamesBelow(_))
        {
            sql.push(" AND (f.folder_id IN (", &[]);
            push_folders_below(sql, &workspace, prefix).push(") OR f.id IN (SELECT f.id FROM files f WHERE ", &[]);
            push_names_below(sql, &workspace, prefix).push("))", &[]);
        }
        if let Some(custom_id) = &filter.custom_id
            && !matches!(scan, IndexScan::CustomId(_))
        {
            sql.push(" AND f.custom_id = ?", &[custom_id]);
        }
        let is_of_live_folders = filter.folder_id.is_some() || filter.path_prefix.is_some() || filter.path.is_some();
        if *hides_deleted && !is_of_live_folders {
            let piece =
                " AND f.folder_id NOT IN (SELECT id FROM folders WHERE workspace_id = ? AND deleted_at IS NOT NULL)";
            sql.push(piece, &[&workspace]);
        }
        let others = filter.tags.iter().filter(|tag| !matches!(scan, IndexScan::Tag(read) if read == tag));
        for tag in pad_to_bucket(&others.collect::<Vec<_>>()) {
            // One look-up per row. PostgreSQL may turn EXISTS into a join, which is slow while it has no statistics.
            let piece = " AND (SELECT 1 FROM file_tags t WHERE t.workspace_id = ? AND t.tag = ? \
                         AND t.created_at = f.created_at AND t.file_id = f.id) = 1";
            sql.push(piece, &[&workspace, tag]);
        }
        if let Some(search) = &filter.search {
            sql.push(" AND f.name_folded LIKE ? ESCAPE '!'", &[&containing(&folded(search))]);
        }
    }
}

/// Adds a query for the ids of the folders whose paths start with `prefix`.
pub(super) fn push_folders_below<'s>(sql: &'s mut Sql, workspace: &str, prefix: &str) -> &'s mut Sql {
    let piece = "SELECT id FROM folders WHERE workspace_id = ? AND path >= ? AND path < ? AND deleted_at IS NULL";
    sql.push(piece, &[&workspace, &prefix, &prefix_upper_bound(prefix)])
}

/// Adds the condition for files `f` in the parent folder of `prefix` whose names start with its last segment.
pub(super) fn push_names_below<'s>(sql: &'s mut Sql, workspace: &str, prefix: &str) -> &'s mut Sql {
    let (folder, name) = files::split(prefix);
    sql.push(
        "f.folder_id = (SELECT id FROM folders WHERE workspace_id = ? AND path = ? AND deleted_at IS NULL) \
         AND f.name >= ? AND f.name < ?",
        &[&workspace, &folder, &name, &prefix_upper_bound(name)],
    )
}
