//! Files that are visible in a workspace: one row per name in a folder. A row's blob belongs to it alone. A file in a deleted
//! folder is visible to the cleaner alone.

mod delivery;
mod for_fsck;
mod for_move;
mod row;
mod tags;

use uuid::Uuid;

pub use self::delivery::{DeliverableFile, find_served};
pub use self::for_fsck::{FileToCheck, find_to_check};
pub use self::for_move::{MoveCandidate, amount_in, list_in, use_blob};
use self::row::TABLE;
pub(super) use self::row::{COLUMNS, columns_of_file, from_row};
pub use self::row::{File, join, split};
use self::tags::{delete_tags, insert_tags};
use super::folders::{self, first_deleted};
use super::usage::{self, Counted};
use crate::db::sql::{DbError, Timestamp, Tx, columns, folded};

macro_rules! select {
    ($rest:expr) => {
        concat!("SELECT ", columns_of_file!(), " FROM files f JOIN folders d ON d.id = f.folder_id ", $rest)
    };
}

/// Adds a file; its name must be free.
pub fn insert(tx: &Tx<'_>, file: &File) -> Result<(), DbError> {
    let metadata = file.metadata.as_ref().map(|metadata| columns::to_json(TABLE, metadata)).transpose()?;
    tx.execute(
        "INSERT INTO files (id, file_no, workspace_id, folder_id, name, name_folded, blob_id, size_bytes, mime_type, \
         declared_type, format, width, height, hash, tags, metadata, custom_id, upload_source, is_duplicate, created_at, \
         updated_at, storage, entity_tag, origin_id, api_key_id, charset, content_encoding) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, \
         ?15, ?16, ?17, ?18, ?19, ?20, ?21, ?22, ?23, ?24, ?25, ?26, ?27)",
        &[
            &file.id.to_string(),
            &file.file_no,
            &file.workspace_id.to_string(),
            &file.folder().to_string(),
            &file.name,
            &folded(&file.name),
            &file.blob_id.to_string(),
            &columns::size_to_sql(file.size_bytes),
            &file.mime_type,
            &file.declared_type,
            &file.format,
            &file.width,
            &file.height,
            &file.hash,
            &columns::to_json(TABLE, &file.tags)?,
            &metadata,
            &file.custom_id,
            &file.upload_source,
            &file.is_duplicate,
            &file.created_at,
            &file.updated_at,
            &file.storage.as_str(),
            &file.entity_tag,
            &file.origin_id.to_string(),
            &file.api_key_id.map(|id| id.to_string()),
            &file.charset,
            &file.content_encoding,
        ],
    )?;
    insert_tags(tx, file.id, &file.tags)?;
    count(tx, file, 1)
}

/// Counts a file that came (1) or went (-1).
fn count(tx: &Tx<'_>, file: &File, sign: i64) -> Result<(), DbError> {
    folders::count(tx, file.folder(), sign, file.size_bytes)?;
    usage::change(tx, file.workspace_id, Counted::File, sign, file.size_bytes)
}

/// Whether the number is taken.
pub fn is_file_no_taken(tx: &Tx<'_>, file_no: &str) -> Result<bool, DbError> {
    tx.exists("SELECT 1 FROM files WHERE file_no = ?1", &[&file_no])
}

/// Whether the workspace has a file with this hash; with a key, only among the files that were made with it.
pub fn has_hash(tx: &Tx<'_>, workspace_id: Uuid, hash: &str, made_with: Option<Uuid>) -> Result<bool, DbError> {
    let sql = "SELECT 1 FROM files f JOIN folders d ON d.id = f.folder_id WHERE f.workspace_id = ?1 AND f.hash = ?2 \
               AND d.deleted_at IS NULL AND (CAST(?3 AS TEXT) = '' OR f.api_key_id = ?3) LIMIT 1";
    let made_with = made_with.map(|id| id.to_string()).unwrap_or_default();
    tx.exists(sql, &[&workspace_id.to_string(), &hash, &made_with])
}

/// The workspace's file of this number.
pub fn find(tx: &Tx<'_>, workspace_id: Uuid, file_no: &str) -> Result<Option<File>, DbError> {
    // No file number contains NUL, and PostgreSQL refuses it in a text.
    if file_no.contains('\0') {
        return Ok(None);
    }
    tx.optional(
        select!("WHERE f.file_no = ?1 AND f.workspace_id = ?2 AND d.deleted_at IS NULL"),
        &[&file_no, &workspace_id.to_string()],
        from_row,
    )
}

/// The file of this name in a folder.
pub fn find_in(tx: &Tx<'_>, folder_id: Uuid, name: &str) -> Result<Option<File>, DbError> {
    tx.optional(select!("WHERE f.folder_id = ?1 AND f.name = ?2"), &[&folder_id.to_string(), &name], from_row)
}

/// Size in bytes of the largest file of the workspace, including those in deleted folders.
pub fn largest_bytes(tx: &Tx<'_>, workspace_id: Uuid) -> Result<u64, DbError> {
    let sql = "SELECT size_bytes FROM files WHERE workspace_id = ?1 ORDER BY size_bytes DESC, id DESC LIMIT 1";
    let largest = tx.optional(sql, &[&workspace_id.to_string()], |row| columns::size(TABLE, row, 0));
    Ok(largest?.unwrap_or_default())
}

/// Removes a file. The workspace must be locked.
pub fn delete(tx: &Tx<'_>, file: &File) -> Result<(), DbError> {
    delete_tags(tx, file, &file.tags)?;
    tx.execute("DELETE FROM files WHERE id = ?1", &[&file.id.to_string()])?;
    count(tx, file, -1)
}

/// At most `limit` files of the first `limit` deleted folders.
pub fn list_deleted(tx: &Tx<'_>, limit: u32) -> Result<Vec<File>, DbError> {
    let sql = select!(concat!("WHERE f.folder_id IN (", first_deleted!(), "?1) LIMIT ?1"));
    tx.all(sql, &[&limit], from_row)
}

/// Removes a file of a deleted folder, which no counter includes any more. False when another node has removed it.
pub fn delete_uncounted(tx: &Tx<'_>, file: &File) -> Result<bool, DbError> {
    delete_tags(tx, file, &file.tags)?;
    Ok(tx.execute("DELETE FROM files WHERE id = ?1", &[&file.id.to_string()])? == 1)
}

/// Writes the tags and the metadata of `file`, whose row has `former_tags`.
pub fn update(tx: &Tx<'_>, file: &File, former_tags: &[String]) -> Result<(), DbError> {
    let metadata = file.metadata.as_ref().map(|metadata| columns::to_json(TABLE, metadata)).transpose()?;
    tx.execute(
        "UPDATE files SET tags = ?2, metadata = ?3, updated_at = ?4 WHERE id = ?1",
        &[&file.id.to_string(), &columns::to_json(TABLE, &file.tags)?, &metadata, &file.updated_at],
    )?;
    delete_tags(tx, file, former_tags)?;
    insert_tags(tx, file.id, &file.tags)
}

/// The new place of a file, and the key that puts it there.
#[derive(Debug, Clone, Copy)]
pub struct NewPlace<'a> {
    /// The folder, which may be the root.
    pub folder_id: Uuid,
    /// Last segment of its path.
    pub name: &'a str,
    /// File extension of its type.
    pub format: &'a str,
    /// The key that puts it there.
    pub api_key_id: Uuid,
}

/// Renames a file, or moves it to another folder; the name must be free there.
pub fn rename(tx: &Tx<'_>, file: &File, place: &NewPlace<'_>, now: Timestamp) -> Result<(), DbError> {
    let NewPlace { folder_id: to, name, format, api_key_id } = *place;
    tx.execute(
        "UPDATE files SET folder_id = ?2, name = ?3, name_folded = ?4, format = ?5, updated_at = ?6, api_key_id = ?7 \
         WHERE id = ?1",
        &[&file.id.to_string(), &to.to_string(), &name, &folded(name), &format, &now, &api_key_id.to_string()],
    )?;
    delete_tags(tx, file, &file.tags)?;
    insert_tags(tx, file.id, &file.tags)?;
    if to != file.folder() {
        folders::count(tx, file.folder(), -1, file.size_bytes)?;
        folders::count(tx, to, 1, file.size_bytes)?;
    }
    Ok(())
}
