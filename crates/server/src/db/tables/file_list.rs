//! Lists of files: filters, orders, pages.
//!
//! A list is read from the smallest set of files that one condition of its filter names (`IndexScan`), and the others are looked
//! at row by row. A page is found in an index alone, its rows are looked up behind that. The further half of a list is walked
//! from its end: no page is behind more than half of the index. Where nothing but counted sets is asked for, the total is a counter.

use uuid::Uuid;

use super::files::{self, File, columns_of_file};
use super::{folders, usage};
use crate::db::sql::builder::{Sql, containing, pad_to_bucket, prefix_upper_bound};
use crate::db::sql::{DbError, Tx, columns, folded};

/// So many files can be looked up and sorted in some milliseconds.
const FEW: u64 = 1000;

/// Which files are listed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct FileFilter {
    /// Those directly in this folder, which may be the root.
    pub folder_id: Option<Uuid>,
    /// Those whose path begins so; composed (NFC) and not empty.
    pub path_prefix: Option<String>,
    /// The one with this folder and name; composed (NFC).
    pub path: Option<String>,
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
    let list = List::of(tx, workspace_id, filter)?;
    if filter.search.is_some()
        && !list.sources.is_empty()
        && let Some(page) = list.page_of_few(tx, order, limit, offset)?
    {
        return Ok(page);
    }
    let total = list.total(tx)?;
    if offset >= total {
        return Ok(FilePage { files: Vec::new(), total });
    }
    let rows = u64::from(limit).min(total - offset);
    let from_end = total - offset - rows;
    let is_nearer_to_end = from_end < offset;
    let (skipped, descending) =
        if is_nearer_to_end { (from_end, !order.descending) } else { (offset, order.descending) };
    let mut sql = Sql::default();
    sql.push(concat!("SELECT ", columns_of_file!(), " FROM (SELECT page.id FROM ("), &[]);
    list.select(&mut sql, |sql| {
        sql.push("SELECT f.id, ", &[]).push(column(order.key), &[]).push(" AS sort_key", &[]);
    });
    let direction = if descending {
        ") page ORDER BY page.sort_key DESC, page.id DESC"
    } else {
        ") page ORDER BY page.sort_key, page.id"
    };
    sql.push(direction, &[]);
    sql.push(
        " LIMIT ? OFFSET ?) page JOIN files f ON f.id = page.id JOIN folders d ON d.id = f.folder_id",
        &[&columns::size_to_sql(rows), &columns::size_to_sql(skipped)],
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

/// The column of files that a list is sorted by.
fn column(key: FileKey) -> &'static str {
    match key {
        FileKey::CreatedAt => "f.created_at",
        FileKey::UpdatedAt => "f.updated_at",
        FileKey::Name => "f.name_folded",
        FileKey::Size => "f.size_bytes",
    }
}

/// A set of files that an index names, from which a list can be read.
#[derive(Debug, Clone, Copy)]
enum IndexScan<'f> {
    /// All of the workspace, those in deleted folders too.
    Workspace,
    /// Those of a folder.
    Folder(Uuid),
    /// Those of the folders whose paths begin so.
    FoldersBelow(&'f str),
    /// Those of the one folder that the prefix names whole, with a slash at its end.
    FilesOf(Uuid),
    /// Those of the one folder in whose middle the prefix ends, whose names begin with its last segment.
    NamesBelow(&'f str),
    /// The one with this folder and name.
    Path(&'f str),
    /// Those with a tag, those in deleted folders too.
    Tag(&'f str),
    /// Those with an id of the client's, those in deleted folders too.
    CustomId(&'f str),
}

/// A filter, and where to read what passes it.
struct List<'f> {
    workspace_id: Uuid,
    filter: &'f FileFilter,
    hides_deleted: bool,
    /// Disjoint; what passes the filter is in one of them.
    sources: Vec<IndexScan<'f>>,
    /// How many files they have, if that is known.
    count: Option<u64>,
}

impl<'f> List<'f> {
    fn of(tx: &Tx<'_>, workspace_id: Uuid, filter: &'f FileFilter) -> Result<Self, DbError> {
        let hides_deleted = folders::any_deleted(tx, Some(workspace_id))?;
        let list = |sources, count| Self { workspace_id, filter, hides_deleted, sources, count };
        if let Some(path) = &filter.path {
            return Ok(list(vec![IndexScan::Path(path)], None));
        }
        if let Some(custom_id) = &filter.custom_id {
            return Ok(list(vec![IndexScan::CustomId(custom_id)], None));
        }
        let files = usage::find(tx, workspace_id)?.map(|usage| usage.files.count).unwrap_or_default();
        let mut smallest = (vec![IndexScan::Workspace], u64::try_from(files).unwrap_or_default());
        if let Some(folder_id) = filter.folder_id {
            smallest = (vec![IndexScan::Folder(folder_id)], folders::files_in(tx, folder_id)?);
        }
        if let Some(prefix) = &filter.path_prefix {
            let sources = [below_path(tx, workspace_id, prefix)?, directly_in_path(tx, workspace_id, prefix)?];
            let count = sources.iter().map(|(count, _)| count).sum();
            if count <= smallest.1 {
                let sources = sources.into_iter().filter(|(count, _)| *count > 0).map(|(_, source)| source).collect();
                smallest = (sources, count);
            }
        }
        for tag in &filter.tags {
            let count = count_tag(tx, workspace_id, tag, smallest.1.saturating_add(1))?;
            // Of two that are equally large that of the tag has all that is looked at in its index.
            if count <= smallest.1 {
                smallest = (vec![IndexScan::Tag(tag)], count);
            }
        }
        Ok(list(smallest.0, Some(smallest.1)))
    }

    /// The page, if no more than [`FEW`] files pass the filter: one way through their names finds them, and they are counted and
    /// sorted then. Of more, some are met soon in every order.
    fn page_of_few(&self, tx: &Tx<'_>, order: FileOrder, limit: u32, offset: u64) -> Result<Option<FilePage>, DbError> {
        let mut sql = Sql::default();
        sql.push("WITH few AS MATERIALIZED (", &[]);
        self.select(&mut sql, |sql| {
            sql.push("SELECT f.id", &[]);
        });
        sql.push(" LIMIT ?)", &[&columns::size_to_sql(FEW + 1)]);
        // One row even if there is no file, for the number.
        sql.push(concat!(" SELECT ", columns_of_file!(), ", counted.number"), &[]);
        let joins = " FROM (SELECT count(*) AS number FROM few) counted LEFT JOIN few ON 1 = 1 \
                     LEFT JOIN files f ON f.id = few.id LEFT JOIN folders d ON d.id = f.folder_id ORDER BY ";
        sql.push(joins, &[]).push(column(order.key), &[]);
        sql.push(if order.descending { " DESC, f.id DESC" } else { ", f.id" }, &[]);
        sql.push(" LIMIT ? OFFSET ?", &[&i64::from(limit), &columns::size_to_sql(offset)]);
        let (text, values) = sql.finish();
        let rows = tx.all(text, &values, |row| {
            let is_file = row.get::<Option<String>>(0)?.is_some();
            let file = is_file.then(|| files::from_row(row)).transpose()?;
            Ok((file, row.get::<i64>(files::COLUMNS)?))
        })?;
        let Some(total) = rows.first().map(|(_, number)| u64::try_from(*number).unwrap_or_default()) else {
            return Ok(None);
        };
        let files = rows.into_iter().filter_map(|(file, _)| file).collect();
        Ok((total <= FEW).then_some(FilePage { files, total }))
    }

    /// `SELECT` from all sources what passes the filter.
    fn select(&self, sql: &mut Sql, columns: impl Fn(&mut Sql)) {
        for (index, source) in self.sources.iter().enumerate() {
            sql.push(if index == 0 { "" } else { " UNION ALL " }, &[]);
            columns(sql);
            self.push_conditions(sql, source);
        }
    }

    /// How many files pass the filter.
    fn total(&self, tx: &Tx<'_>) -> Result<u64, DbError> {
        if let Some(count) = self.count.filter(|count| *count == 0 || self.passes_all()) {
            return Ok(count);
        }
        let mut total = 0;
        for source in &self.sources {
            let mut sql = Sql::default();
            sql.push("SELECT count(*)", &[]);
            self.push_conditions(&mut sql, source);
            total += count(tx, &sql)?;
        }
        Ok(total)
    }

    /// Whether all that the sources count pass the filter.
    fn passes_all(&self) -> bool {
        // A list by a whole path or by the client's own id is not counted first.
        let FileFilter { folder_id, path_prefix, path: _, search, tags, custom_id: _ } = self.filter;
        let conditions = usize::from(folder_id.is_some()) + usize::from(path_prefix.is_some()) + tags.len();
        let counts_deleted = self.hides_deleted && !tags.is_empty();
        conditions <= 1 && search.is_none() && !counts_deleted
    }

    /// `FROM` a source, with the condition on its rows `f`: what the source itself does not say.
    fn push_conditions(&self, sql: &mut Sql, source: &IndexScan<'_>) {
        let Self { workspace_id, filter, hides_deleted, .. } = self;
        let workspace = workspace_id.to_string();
        match source {
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
        if let Some(folder_id) = filter.folder_id
            && !matches!(source, IndexScan::Folder(_))
        {
            sql.push(" AND f.folder_id = ?", &[&folder_id.to_string()]);
        }
        if let Some(prefix) = &filter.path_prefix
            && !matches!(source, IndexScan::FoldersBelow(_) | IndexScan::FilesOf(_) | IndexScan::NamesBelow(_))
        {
            sql.push(" AND (f.folder_id IN (", &[]);
            push_folders_below(sql, &workspace, prefix).push(") OR f.id IN (SELECT f.id FROM files f WHERE ", &[]);
            push_names_below(sql, &workspace, prefix).push("))", &[]);
        }
        if let Some(custom_id) = &filter.custom_id
            && !matches!(source, IndexScan::CustomId(_))
        {
            sql.push(" AND f.custom_id = ?", &[custom_id]);
        }
        let is_of_live_folders = filter.folder_id.is_some() || filter.path_prefix.is_some() || filter.path.is_some();
        if *hides_deleted && !is_of_live_folders {
            let piece =
                " AND f.folder_id NOT IN (SELECT id FROM folders WHERE workspace_id = ? AND deleted_at IS NOT NULL)";
            sql.push(piece, &[&workspace]);
        }
        let others = filter.tags.iter().filter(|tag| !matches!(source, IndexScan::Tag(read) if read == tag));
        for tag in pad_to_bucket(&others.collect::<Vec<_>>()) {
            // A look at each row's other tags: of EXISTS, PostgreSQL may make a join, which is a poor one while it has no
            // statistics.
            let piece = " AND (SELECT 1 FROM file_tags t WHERE t.workspace_id = ? AND t.tag = ? \
                         AND t.created_at = f.created_at AND t.file_id = f.id) = 1";
            sql.push(piece, &[&workspace, tag]);
        }
        if let Some(search) = &filter.search {
            sql.push(" AND f.name_folded LIKE ? ESCAPE '!'", &[&containing(&folded(search))]);
        }
    }
}

fn push_folders_below<'s>(sql: &'s mut Sql, workspace: &str, prefix: &str) -> &'s mut Sql {
    let piece = "SELECT id FROM folders WHERE workspace_id = ? AND path >= ? AND path < ? AND deleted_at IS NULL";
    sql.push(piece, &[&workspace, &prefix, &prefix_upper_bound(prefix)])
}

fn push_names_below<'s>(sql: &'s mut Sql, workspace: &str, prefix: &str) -> &'s mut Sql {
    let (folder, name) = files::split(prefix);
    sql.push(
        "f.folder_id = (SELECT id FROM folders WHERE workspace_id = ? AND path = ? AND deleted_at IS NULL) \
         AND f.name >= ? AND f.name < ?",
        &[&workspace, &folder, &name, &prefix_upper_bound(name)],
    )
}

/// The files in the folders whose paths begin so, and how many they are.
fn below_path<'f>(tx: &Tx<'_>, workspace_id: Uuid, prefix: &'f str) -> Result<(u64, IndexScan<'f>), DbError> {
    let mut sql = Sql::default();
    sql.push("SELECT CAST(coalesce(sum(files_count), 0) AS BIGINT) FROM folders WHERE id IN (", &[]);
    push_folders_below(&mut sql, &workspace_id.to_string(), prefix).push(")", &[]);
    Ok((count(tx, &sql)?, IndexScan::FoldersBelow(prefix)))
}

/// The files directly in the folder that the prefix ends in, and how many they are: all of them, or those whose names begin so.
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

/// How many files have a tag, those in deleted folders too; not more than `most` are counted.
fn count_tag(tx: &Tx<'_>, workspace_id: Uuid, tag: &str, most: u64) -> Result<u64, DbError> {
    let mut sql = Sql::default();
    let piece = "SELECT count(*) FROM (SELECT 1 FROM file_tags WHERE workspace_id = ? AND tag = ? LIMIT ?) t";
    sql.push(piece, &[&workspace_id.to_string(), &tag, &columns::size_to_sql(most)]);
    count(tx, &sql)
}

/// The number that a query answers.
fn count(tx: &Tx<'_>, sql: &Sql) -> Result<u64, DbError> {
    let (text, values) = sql.finish();
    let counted = tx.optional(text, &values, |row| row.get::<i64>(0))?.unwrap_or_default();
    Ok(u64::try_from(counted).unwrap_or_default())
}
