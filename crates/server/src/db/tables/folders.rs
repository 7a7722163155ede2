//! Folders. Invariant: the parent of every folder is there, and `path` is the parent's path and the name. Each workspace has
//! a root folder, whose path is empty and which is never shown.
//!
//! Only folders have paths, so renaming and deleting one changes it and the folders below it, and no file. A folder that
//! was deleted keeps its row, under a path that no folder can have (`//`, its id, `/`, and the path that it had), until the
//! cleaner has taken its files away.

use uuid::Uuid;

use crate::db::sql::Row;
use crate::db::sql::builder::{Sql, containing};
use crate::db::sql::{DbError, Timestamp, Tx, columns, folded};

const TABLE: &str = "folders";

/// The path of a folder, or the one that it had before it was deleted.
pub(super) fn former_path(path: &str) -> &str {
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
    /// The folder it is in, which may be the root.
    pub parent_id: Uuid,
    /// Number of that folder, unless it is the root.
    pub parent_folder_no: Option<String>,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it was last renamed.
    pub updated_at: Timestamp,
    /// Files in it and below it.
    pub total_files: u64,
    /// Their bytes.
    pub total_bytes: u64,
}

/// In which order folders are listed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FolderOrder {
    /// By creation instead of by name.
    pub by_creation: bool,
    /// The last first.
    pub descending: bool,
}

/// The ids of the deleted folders that are to go first, so many as the next parameter says: a step looks at no others,
/// however many there are.
macro_rules! first_deleted {
    () => {
        "SELECT id FROM folders WHERE deleted_at IS NOT NULL ORDER BY workspace_id, id LIMIT "
    };
}
pub(super) use first_deleted;

// Everything below a folder has paths between its path with a slash and its path with the character behind the slash. It is read
// once: both sums come as one text, because a subquery in this place has one value.
const SELECT: &str = "SELECT d.id, d.folder_no, d.workspace_id, d.name, d.path, p.id, p.folder_no, p.path, d.created_at, d.updated_at, \
     d.files_count, d.files_bytes, \
     (SELECT CAST(sum(s.files_count) AS TEXT) || ' ' || CAST(sum(s.files_bytes) AS TEXT) FROM folders s \
     WHERE s.workspace_id = d.workspace_id AND s.path > d.path || '/' AND s.path < d.path || '0') \
     FROM folders d JOIN folders p ON p.id = d.parent_id";

/// Files and bytes in a folder and below it, from the columns of [`SELECT`] that begin with this one.
fn totals(row: &Row<'_>, column: usize) -> Result<(u64, u64), DbError> {
    let (files, bytes): (i64, i64) = (row.get(column)?, row.get(column + 1)?);
    // Nothing where no folder is below it.
    let below: Option<String> = row.get(column + 2)?;
    let below = below.as_deref().unwrap_or("0 0");
    let total = |below: &str, own: i64| u64::try_from(below.parse::<i64>().ok()?.checked_add(own)?).ok();
    let totals =
        below.split_once(' ').and_then(|(of_files, of_bytes)| Some((total(of_files, files)?, total(of_bytes, bytes)?)));
    let problem = || format!("a folder has {files} files, {bytes} bytes, and below it {below:?}");
    totals.ok_or_else(|| DbError::Corrupt { table: TABLE, problem: problem() })
}

fn from_row(row: &Row<'_>) -> Result<Folder, DbError> {
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

/// The root folder of a new workspace.
pub(super) fn insert_root(tx: &Tx<'_>, workspace_id: Uuid, workspace_no: &str, now: Timestamp) -> Result<(), DbError> {
    // The number is none that a folder can have.
    tx.execute(
        "INSERT INTO folders (id, folder_no, workspace_id, parent_id, name, path, created_at, updated_at) \
         VALUES (?1, ?2, ?3, NULL, '', '', ?4, ?4)",
        &[&root(workspace_id).to_string(), &format!("/{workspace_no}"), &workspace_id.to_string(), &now],
    )?;
    Ok(())
}

/// What a file needs to know of its folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FolderRef {
    /// Its id.
    pub id: Uuid,
    /// Its public number.
    pub folder_no: String,
    /// Last segment of its path.
    pub name: String,
}

/// The folder of this path, which is not the root's.
pub fn find_by_path(tx: &Tx<'_>, workspace_id: Uuid, path: &str) -> Result<Option<FolderRef>, DbError> {
    tx.optional(
        "SELECT id, folder_no, name FROM folders WHERE workspace_id = ?1 AND path = ?2 AND deleted_at IS NULL",
        &[&workspace_id.to_string(), &path],
        |row| Ok(FolderRef { id: columns::uuid(TABLE, row, 0)?, folder_no: row.get(1)?, name: row.get(2)? }),
    )
}

/// Id and path of the workspace's folder of this number: nothing is added up.
pub fn find_place(tx: &Tx<'_>, workspace_id: Uuid, folder_no: &str) -> Result<Option<(Uuid, String)>, DbError> {
    // No number has NUL in it, and PostgreSQL no text.
    if folder_no.contains('\0') {
        return Ok(None);
    }
    // The root has a number that nobody can give.
    tx.optional(
        "SELECT id, path FROM folders WHERE folder_no = ?1 AND workspace_id = ?2 AND parent_id IS NOT NULL AND deleted_at IS NULL",
        &[&folder_no, &workspace_id.to_string()],
        |row| Ok((columns::uuid(TABLE, row, 0)?, row.get(1)?)),
    )
}

/// The workspace's folder of this number, with what is below it added up.
pub fn find(tx: &Tx<'_>, workspace_id: Uuid, folder_no: &str) -> Result<Option<Folder>, DbError> {
    // No number has NUL in it, and PostgreSQL no text.
    if folder_no.contains('\0') {
        return Ok(None);
    }
    let mut sql = Sql::default();
    sql.push(SELECT, &[]).push(
        " WHERE d.folder_no = ? AND d.workspace_id = ? AND d.deleted_at IS NULL",
        &[&folder_no, &workspace_id.to_string()],
    );
    let (text, values) = sql.finish();
    tx.optional(text, &values, from_row)
}

/// Which folders are listed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct FolderFilter {
    /// Those directly in this folder, which may be the root.
    pub parent_id: Option<Uuid>,
    /// Those whose name has this in it, without regard to case.
    pub search: Option<String>,
    /// The one at this path; composed (NFC).
    pub path: Option<String>,
}

/// A page: the folders, and how many there are on all pages.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FolderPage {
    /// The folders.
    pub folders: Vec<Folder>,
    /// On all pages.
    pub total: u64,
}

/// At most `limit` folders of a workspace behind the first `offset` of those that pass the filter. The page is found in an
/// index alone; nothing is added up of the folders on other pages.
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
        // It is of this workspace, of which its index knows nothing.
        Some(parent_id) => sql.push("d.parent_id = ?", &[&parent_id.to_string()]),
        // Roots and deleted folders are in none.
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

/// Whether the number is taken.
pub fn is_folder_no_taken(tx: &Tx<'_>, folder_no: &str) -> Result<bool, DbError> {
    tx.exists("SELECT 1 FROM folders WHERE folder_no = ?1", &[&folder_no])
}

/// A folder to be added.
#[derive(Debug)]
pub struct NewFolder<'a> {
    /// The workspace it is in.
    pub workspace_id: Uuid,
    /// The folder it is in, which may be the root.
    pub parent_id: Uuid,
    /// All segments, joined by slashes.
    pub path: &'a str,
    /// The public key whose upload made it.
    pub public_key_id: Option<Uuid>,
}

/// Adds a folder.
pub fn insert(tx: &Tx<'_>, folder: &FolderRef, new: &NewFolder<'_>, now: Timestamp) -> Result<(), DbError> {
    tx.execute(
        "INSERT INTO folders (id, folder_no, workspace_id, parent_id, name, name_folded, path, created_at, updated_at, \
         public_key_id) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?8, ?9)",
        &[
            &folder.id.to_string(),
            &folder.folder_no,
            &new.workspace_id.to_string(),
            &new.parent_id.to_string(),
            &folder.name,
            &folded(&folder.name),
            &new.path,
            &now,
            &new.public_key_id.map(|id| id.to_string()),
        ],
    )?;
    super::usage::change_folders(tx, new.workspace_id, 1)
}

/// How many folders a workspace has, as they are counted: without its root and those that were deleted.
pub fn count_of_workspace(tx: &Tx<'_>, workspace_id: Uuid) -> Result<u64, DbError> {
    let sql = "SELECT folders_count FROM workspaces WHERE id = ?1";
    let counted = tx.optional(sql, &[&workspace_id.to_string()], |row| row.get::<i64>(0))?;
    Ok(u64::try_from(counted.unwrap_or_default()).unwrap_or_default())
}

/// How many folders uploads with a public key made that are still there; no more than `most` are counted.
pub fn count_made_with(tx: &Tx<'_>, public_key_id: Uuid, most: u32) -> Result<u64, DbError> {
    let counted = tx.optional(
        "SELECT count(*) FROM (SELECT 1 AS one FROM folders WHERE public_key_id = ?1 LIMIT ?2) made",
        &[&public_key_id.to_string(), &most],
        |row| columns::size(TABLE, row, 0),
    )?;
    Ok(counted.unwrap_or_default())
}

/// Counts a file that came (1) or went (-1).
pub(super) fn count(tx: &Tx<'_>, id: Uuid, sign: i64, size_bytes: u64) -> Result<(), DbError> {
    tx.execute(
        "UPDATE folders SET files_count = files_count + ?2, files_bytes = files_bytes + ?3 WHERE id = ?1",
        &[&id.to_string(), &sign, &(sign * columns::size_to_sql(size_bytes))],
    )?;
    Ok(())
}

/// How many folders are below a folder, and the length of the longest of their paths and its own, in bytes.
pub fn measure(tx: &Tx<'_>, folder: &Folder) -> Result<(u64, u64), DbError> {
    let measured = tx.optional(
        "SELECT count(*), CAST(coalesce(max(octet_length(path)), 0) AS BIGINT) FROM folders \
         WHERE workspace_id = ?1 AND path > ?2 AND path < ?3",
        &[&folder.workspace_id.to_string(), &format!("{}/", folder.path), &format!("{}0", folder.path)],
        |row| Ok((columns::size(TABLE, row, 0)?, columns::size(TABLE, row, 1)?)),
    )?;
    let (below, longest) = measured.unwrap_or_default();
    Ok((below, longest.max(folder.path.len() as u64)))
}

/// Gives a folder another name and path, and the folders below it theirs. The path must be free; the workspace locked.
pub fn rename(tx: &Tx<'_>, folder: &Folder, name: &str, path: &str, now: Timestamp) -> Result<(), DbError> {
    let characters = i64::try_from(folder.path.chars().count()).unwrap_or(i64::MAX);
    tx.execute(
        "UPDATE folders SET path = CAST(?4 AS TEXT) || substr(path, CAST(CAST(?5 AS BIGINT) AS INTEGER)) \
         WHERE workspace_id = ?1 AND path > ?2 AND path < ?3",
        &[
            &folder.workspace_id.to_string(),
            &format!("{}/", folder.path),
            &format!("{}0", folder.path),
            &path,
            &(characters + 1),
        ],
    )?;
    tx.execute(
        "UPDATE folders SET name = ?2, name_folded = ?3, path = ?4, updated_at = ?5 WHERE id = ?1",
        &[&folder.id.to_string(), &name, &folded(name), &path, &now],
    )?;
    Ok(())
}

/// Deletes a folder with everything below it: nobody sees any of it from now on, and the cleaner takes the files away. The
/// workspace must be locked.
pub fn delete(tx: &Tx<'_>, folder: &Folder, now: Timestamp) -> Result<(), DbError> {
    let deleted = tx.execute(
        "UPDATE folders SET path = '//' || id || '/' || path, parent_id = NULL, deleted_at = ?5 \
         WHERE workspace_id = ?1 AND (id = ?2 OR (path > ?3 AND path < ?4))",
        &[
            &folder.workspace_id.to_string(),
            &folder.id.to_string(),
            &format!("{}/", folder.path),
            &format!("{}0", folder.path),
            &now,
        ],
    )?;
    super::usage::change_folders(tx, folder.workspace_id, -i64::try_from(deleted).unwrap_or(i64::MAX))?;
    super::usage::take_files(tx, folder.workspace_id, folder.total_files, folder.total_bytes)
}

/// Whether folders of the workspace, or of any, were deleted and are still there.
pub fn any_deleted(tx: &Tx<'_>, workspace_id: Option<Uuid>) -> Result<bool, DbError> {
    match workspace_id {
        Some(id) => {
            let sql = "SELECT 1 FROM folders WHERE workspace_id = ?1 AND deleted_at IS NOT NULL LIMIT 1";
            tx.exists(sql, &[&id.to_string()])
        }
        None => tx.exists("SELECT 1 FROM folders WHERE deleted_at IS NOT NULL LIMIT 1", &[]),
    }
}

/// Takes those of the first `limit` deleted folders away that have no files any more.
pub fn forget_deleted(tx: &Tx<'_>, limit: u32) -> Result<(), DbError> {
    tx.execute(
        concat!(
            "DELETE FROM folders WHERE id IN (",
            first_deleted!(),
            "?1) AND NOT EXISTS (SELECT 1 FROM files f WHERE f.folder_id = folders.id)"
        ),
        &[&limit],
    )?;
    Ok(())
}

/// Files directly in a folder, as they are counted.
pub(super) fn files_in(tx: &Tx<'_>, id: Uuid) -> Result<u64, DbError> {
    let counted = tx.optional("SELECT files_count FROM folders WHERE id = ?1", &[&id.to_string()], |row| {
        columns::size(TABLE, row, 0)
    })?;
    Ok(counted.unwrap_or_default())
}
