//! Lists of files: filters, orders, pages.
//!
//! A page is found in an index alone, its rows are looked up behind that. The further half of a list is walked from its
//! end: no page is behind more than half of the index. Without filters, or with a folder alone, the total is a counter.

use uuid::Uuid;

use super::files::{self, File, columns_of_file};
use super::sql::{Sql, behind, containing};
use super::{DbError, Tx, folded, folders, usage};

/// Which files are listed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct FileFilter {
    /// Those directly in this folder, which may be the root.
    pub folder_id: Option<Uuid>,
    /// Those whose path begins so.
    pub path_prefix: Option<String>,
    /// Those whose name has this in it, without regard to case.
    pub search: Option<String>,
    /// Those that have all of these.
    pub tags: Vec<String>,
    /// Those with this id of the client's.
    pub custom_id: Option<String>,
}

/// By what files are sorted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FileKey {
    /// When they became visible.
    CreatedAt,
    /// When their record was last changed.
    UpdatedAt,
    /// Their names, without regard to case.
    Name,
    /// Their sizes.
    Size,
}

/// In which order files are listed. Those that are equal in it are in the order of their ids.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FileOrder {
    /// By what.
    pub key: FileKey,
    /// The largest first.
    pub descending: bool,
}

/// A page: the files, and how many there are on all pages.
#[derive(Debug, Clone, PartialEq)]
pub struct FilePage {
    /// The files.
    pub files: Vec<File>,
    /// On all pages.
    pub total: u64,
}

/// At most `limit` files behind the first `offset` of the list.
pub fn list(
    tx: &Tx<'_>,
    workspace_id: Uuid,
    filter: &FileFilter,
    order: FileOrder,
    limit: u32,
    offset: u64,
) -> Result<FilePage, DbError> {
    let hides_deleted = folders::any_deleted(tx, Some(workspace_id))?;
    let total = total(tx, workspace_id, filter, hides_deleted)?;
    if offset >= total {
        return Ok(FilePage { files: Vec::new(), total });
    }
    let rows = u64::from(limit).min(total - offset);
    let from_end = total - offset - rows;
    let is_nearer_to_end = from_end < offset;
    let (skipped, descending) =
        if is_nearer_to_end { (from_end, !order.descending) } else { (offset, order.descending) };
    let mut sql = Sql::default();
    sql.push(concat!("SELECT ", columns_of_file!(), " FROM (SELECT f.id FROM files f"), &[]);
    narrow(&mut sql, workspace_id, filter, hides_deleted);
    sql.push(
        match (order.key, descending) {
            (FileKey::CreatedAt, false) => " ORDER BY f.created_at, f.id",
            (FileKey::CreatedAt, true) => " ORDER BY f.created_at DESC, f.id DESC",
            (FileKey::UpdatedAt, false) => " ORDER BY f.updated_at, f.id",
            (FileKey::UpdatedAt, true) => " ORDER BY f.updated_at DESC, f.id DESC",
            (FileKey::Name, false) => " ORDER BY f.name_folded, f.id",
            (FileKey::Name, true) => " ORDER BY f.name_folded DESC, f.id DESC",
            (FileKey::Size, false) => " ORDER BY f.size_bytes, f.id",
            (FileKey::Size, true) => " ORDER BY f.size_bytes DESC, f.id DESC",
        },
        &[],
    );
    let (rows, skipped) = (i64::try_from(rows).unwrap_or(i64::MAX), i64::try_from(skipped).unwrap_or(i64::MAX));
    sql.push(
        " LIMIT ? OFFSET ?) page JOIN files f ON f.id = page.id JOIN folders d ON d.id = f.folder_id",
        &[&rows, &skipped],
    );
    let (text, values) = sql.finish();
    let mut files = tx.all(text, &values, files::from_row)?;
    // A join promises no order.
    files.sort_by(|a, b| {
        let by_key = match order.key {
            FileKey::CreatedAt => a.created_at.cmp(&b.created_at),
            FileKey::UpdatedAt => a.updated_at.cmp(&b.updated_at),
            FileKey::Name => folded(&a.name).cmp(&folded(&b.name)),
            FileKey::Size => a.size_bytes.cmp(&b.size_bytes),
        };
        let ascending = by_key.then_with(|| a.id.cmp(&b.id));
        if order.descending { ascending.reverse() } else { ascending }
    });
    Ok(FilePage { files, total })
}

fn total(tx: &Tx<'_>, workspace_id: Uuid, filter: &FileFilter, hides_deleted: bool) -> Result<u64, DbError> {
    let has_folder_alone = FileFilter { folder_id: None, ..filter.clone() } == FileFilter::default();
    match filter.folder_id {
        None if has_folder_alone => {
            let counted = usage::find(tx, workspace_id)?.map(|usage| usage.files.count).unwrap_or_default();
            return Ok(u64::try_from(counted).unwrap_or_default());
        }
        Some(folder_id) if has_folder_alone => return folders::files_in(tx, folder_id),
        _ => {}
    }
    let mut sql = Sql::default();
    let has_tags_alone = FileFilter { tags: Vec::new(), ..filter.clone() } == FileFilter::default();
    match filter.tags.first().filter(|_| has_tags_alone && !hides_deleted) {
        // Without a look at the files. `(SELECT 1 ...) = 1` is a look at each row's other tags: of EXISTS, PostgreSQL may make
        // a join, which is a poor one while it has no statistics.
        Some(first) => {
            let workspace = workspace_id.to_string();
            sql.push("SELECT count(*) FROM file_tags f WHERE f.workspace_id = ? AND f.tag = ?", &[&workspace, first]);
            for tag in padded(&filter.tags[1..]) {
                let piece = " AND (SELECT 1 FROM file_tags t WHERE t.workspace_id = ? AND t.tag = ? AND t.file_id = f.file_id) = 1";
                sql.push(piece, &[&workspace, tag]);
            }
        }
        None => {
            sql.push("SELECT count(*) FROM files f", &[]);
            narrow(&mut sql, workspace_id, filter, hides_deleted);
        }
    }
    let (text, values) = sql.finish();
    let counted = tx.optional(text, &values, |row| row.get::<i64>(0))?.unwrap_or_default();
    Ok(u64::try_from(counted).unwrap_or_default())
}

/// The condition on `f`.
fn narrow(sql: &mut Sql, workspace_id: Uuid, filter: &FileFilter, hides_deleted: bool) {
    let workspace = workspace_id.to_string();
    match filter.folder_id {
        Some(folder_id) => sql.push(" WHERE f.folder_id = ?", &[&folder_id.to_string()]),
        None => sql.push(" WHERE f.workspace_id = ?", &[&workspace]),
    };
    if hides_deleted && filter.folder_id.is_none() {
        let piece =
            " AND f.folder_id NOT IN (SELECT id FROM folders WHERE workspace_id = ? AND deleted_at IS NOT NULL)";
        sql.push(piece, &[&workspace]);
    }
    if let Some(custom_id) = &filter.custom_id {
        sql.push(" AND f.custom_id = ?", &[custom_id]);
    }
    for tag in padded(&filter.tags) {
        let piece = " AND f.id IN (SELECT file_id FROM file_tags WHERE workspace_id = ? AND tag = ?)";
        sql.push(piece, &[&workspace, tag]);
    }
    if let Some(prefix) = &filter.path_prefix {
        // Everything in the folders whose paths begin so, and what begins so in the one folder that the prefix ends in.
        let (folder, name) = files::split(prefix);
        sql.push(
            " AND (f.folder_id IN (SELECT id FROM folders WHERE workspace_id = ? AND path >= ? AND path < ?) \
             OR (f.folder_id = (SELECT id FROM folders WHERE workspace_id = ? AND path = ?) AND f.name >= ? AND f.name < ?))",
            &[&workspace, prefix, &behind(prefix), &workspace, &folder, &name, &behind(name)],
        );
    }
    if let Some(search) = &filter.search {
        sql.push(" AND f.name_folded LIKE ? ESCAPE '!'", &[&containing(&folded(search))]);
    }
}

/// As many as a power of two, some of them repeated: each number of conditions is a statement of its own, which is kept
/// prepared.
fn padded(tags: &[String]) -> impl Iterator<Item = &String> {
    let conditions = if tags.is_empty() { 0 } else { tags.len().next_power_of_two() };
    tags.iter().cycle().take(conditions)
}
