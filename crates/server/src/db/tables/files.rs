//! Files: what is visible in a workspace. One row per name in a folder; a row's blob belongs to it alone. A file in a folder
//! that was deleted is there for the cleaner alone.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use uuid::Uuid;

use super::folders;
use super::folders::first_deleted;
use super::usage::{self, Counted};
use crate::db::sql::builder::{Sql, pad_to_bucket};
use crate::db::sql::{DbError, Timestamp, Tx, columns, folded};
use crate::db::sql::{Parameter, Row};
use crate::model::{BlobRef, StorageKind};

const TABLE: &str = "files";

/// A file.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct File {
    /// Its id.
    pub id: Uuid,
    /// Its public number: 10 characters.
    pub file_no: String,
    /// The workspace it is in.
    pub workspace_id: Uuid,
    /// Its folder, if it is not at the root.
    pub folder_id: Option<Uuid>,
    /// Number of that folder.
    pub folder_no: Option<String>,
    /// Name of that folder.
    #[serde(default)]
    pub folder_name: Option<String>,
    /// Last segment of its path.
    pub name: String,
    /// Folder and name.
    pub path: String,
    /// Where its bytes are.
    pub blob_id: Uuid,
    /// How many they are.
    pub size_bytes: u64,
    /// MIME type: what the bytes are.
    pub mime_type: String,
    /// The MIME type that the uploader named.
    #[serde(default)]
    pub declared_type: Option<String>,
    /// File extension that goes with it.
    pub format: String,
    /// Width in pixels, of images and video.
    pub width: Option<u32>,
    /// Height in pixels, of images and video.
    pub height: Option<u32>,
    /// `blake3:` and the hash in hexadecimal.
    pub hash: Option<String>,
    /// Tags.
    pub tags: Vec<String>,
    /// The client's own object.
    pub metadata: Option<Map<String, Value>>,
    /// The client's own id.
    pub custom_id: Option<String>,
    /// How it came in.
    pub upload_source: String,
    /// Whether the workspace already held a file of the same hash.
    pub is_duplicate: bool,
    /// When it became visible.
    pub created_at: Timestamp,
    /// When its record was last changed.
    #[serde(default)]
    pub updated_at: Timestamp,
    /// The first of the files that replaced each other under its name.
    #[serde(default)]
    pub origin_id: Uuid,
    /// Where its bytes are.
    #[serde(default)]
    pub storage: StorageKind,
    /// The entity tag that the bucket's store gave it.
    #[serde(default)]
    pub entity_tag: Option<String>,
    /// The key that put it at its path; `None` where nobody knows. No answer shows it, so none that is kept has it.
    #[serde(skip)]
    pub api_key_id: Option<Uuid>,
}

impl File {
    /// Its bytes.
    pub fn blob(&self) -> BlobRef {
        BlobRef { storage: self.storage, id: self.blob_id }
    }

    /// The folder it is in, which may be the root.
    pub(super) fn folder(&self) -> Uuid {
        self.folder_id.unwrap_or_else(|| folders::root(self.workspace_id))
    }
}

/// What serving a file needs to know.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeliverableFile {
    /// Its id.
    pub id: Uuid,
    /// Where its bytes are.
    pub blob: BlobRef,
    /// How many they are.
    pub size_bytes: u64,
    /// MIME type: what the bytes are.
    pub mime_type: String,
    /// The MIME type that the uploader named.
    pub declared_type: Option<String>,
    /// `blake3:` and the hash in hexadecimal.
    pub hash: Option<String>,
    /// Last segment of its path.
    pub name: String,
    /// When its bytes became what they are.
    pub created_at: Timestamp,
    /// The entity tag that the bucket's store gave it.
    pub entity_tag: Option<String>,
}

/// What [`from_row`] reads, in its order, of a file `f` in a folder `d`.
macro_rules! columns_of_file {
    () => {
        "f.id, f.file_no, f.workspace_id, d.id, d.folder_no, d.name, d.path, f.name, f.blob_id, f.storage, f.size_bytes, \
         f.mime_type, f.declared_type, f.format, f.width, f.height, f.hash, f.tags, f.metadata, f.custom_id, \
         f.upload_source, f.is_duplicate, f.created_at, f.updated_at, f.origin_id, f.entity_tag, f.api_key_id"
    };
}
pub(super) use columns_of_file;
/// How many they are.
pub(super) const COLUMNS: usize = 27;

macro_rules! select {
    ($rest:expr) => {
        concat!("SELECT ", columns_of_file!(), " FROM files f JOIN folders d ON d.id = f.folder_id ", $rest)
    };
}

pub(super) fn from_row(row: &Row<'_>) -> Result<File, DbError> {
    let (folder, name): (String, String) = (row.get(6)?, row.get(7)?);
    let is_in_root = folder.is_empty();
    let blob = blob(row, 8)?;
    Ok(File {
        id: columns::uuid(TABLE, row, 0)?,
        file_no: row.get(1)?,
        workspace_id: columns::uuid(TABLE, row, 2)?,
        folder_id: if is_in_root { None } else { Some(columns::uuid(TABLE, row, 3)?) },
        folder_no: if is_in_root { None } else { Some(row.get(4)?) },
        folder_name: if is_in_root { None } else { Some(row.get(5)?) },
        path: join(&folder, &name),
        name,
        blob_id: blob.id,
        storage: blob.storage,
        size_bytes: columns::size(TABLE, row, 10)?,
        mime_type: row.get(11)?,
        declared_type: row.get(12)?,
        format: row.get(13)?,
        width: row.get(14)?,
        height: row.get(15)?,
        hash: row.get(16)?,
        tags: columns::json(TABLE, row, 17)?,
        metadata: columns::optional_json(TABLE, row, 18)?,
        custom_id: row.get(19)?,
        upload_source: row.get(20)?,
        is_duplicate: row.get(21)?,
        created_at: row.get(22)?,
        updated_at: row.get(23)?,
        origin_id: columns::uuid(TABLE, row, 24)?,
        entity_tag: row.get(25)?,
        api_key_id: columns::optional_uuid(TABLE, row, 26)?,
    })
}

/// The path of a name in a folder, which may have been deleted.
pub fn join(folder: &str, name: &str) -> String {
    let folder = folders::former_path(folder);
    if folder.is_empty() { name.to_owned() } else { format!("{folder}/{name}") }
}

/// The folder of a path, empty for the root, and the name.
pub fn split(path: &str) -> (&str, &str) {
    path.rsplit_once('/').unwrap_or(("", path))
}

/// Adds a file; its name must be free.
pub fn insert(tx: &Tx<'_>, file: &File) -> Result<(), DbError> {
    let metadata = file.metadata.as_ref().map(|metadata| columns::to_json(TABLE, metadata)).transpose()?;
    tx.execute(
        "INSERT INTO files (id, file_no, workspace_id, folder_id, name, name_folded, blob_id, size_bytes, mime_type, \
         declared_type, format, width, height, hash, tags, metadata, custom_id, upload_source, is_duplicate, created_at, \
         updated_at, storage, entity_tag, origin_id, api_key_id) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, \
         ?15, ?16, ?17, ?18, ?19, ?20, ?21, ?22, ?23, ?24, ?25)",
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

/// Has a file found by these tags, with what its row says now.
fn insert_tags(tx: &Tx<'_>, id: Uuid, tags: &[String]) -> Result<(), DbError> {
    for tag in tags {
        tx.execute(
            "INSERT INTO file_tags (workspace_id, tag, created_at, file_id, folder_id, name_folded, size_bytes, updated_at) \
             SELECT workspace_id, CAST(?2 AS TEXT), created_at, id, folder_id, name_folded, size_bytes, updated_at \
             FROM files WHERE id = ?1",
            &[&id.to_string(), tag],
        )?;
    }
    Ok(())
}

/// The file is found by these tags no more.
fn delete_tags(tx: &Tx<'_>, file: &File, tags: &[String]) -> Result<(), DbError> {
    if tags.is_empty() {
        return Ok(());
    }
    let mut sql = Sql::default();
    let values: [&dyn Parameter; 3] = [&file.workspace_id.to_string(), &file.created_at, &file.id.to_string()];
    sql.push("DELETE FROM file_tags WHERE workspace_id = ? AND created_at = ? AND file_id = ? AND tag IN (", &values);
    for (index, tag) in pad_to_bucket(tags).enumerate() {
        sql.push(if index == 0 { "?" } else { ", ?" }, &[tag]);
    }
    sql.push(")", &[]);
    let (text, values) = sql.finish();
    tx.execute(text, &values).map(drop)
}

/// Whether the number is taken.
pub fn is_file_no_taken(tx: &Tx<'_>, file_no: &str) -> Result<bool, DbError> {
    tx.exists("SELECT 1 FROM files WHERE file_no = ?1", &[&file_no])
}

/// Whether the workspace holds a file with this hash; with a key, one that was made with it.
pub fn has_hash(tx: &Tx<'_>, workspace_id: Uuid, hash: &str, made_with: Option<Uuid>) -> Result<bool, DbError> {
    let sql = "SELECT 1 FROM files f JOIN folders d ON d.id = f.folder_id WHERE f.workspace_id = ?1 AND f.hash = ?2 \
               AND d.deleted_at IS NULL AND (CAST(?3 AS TEXT) = '' OR f.api_key_id = ?3) LIMIT 1";
    let made_with = made_with.map(|id| id.to_string()).unwrap_or_default();
    tx.exists(sql, &[&workspace_id.to_string(), &hash, &made_with])
}

/// The workspace's file of this number.
pub fn find(tx: &Tx<'_>, workspace_id: Uuid, file_no: &str) -> Result<Option<File>, DbError> {
    // No number has NUL in it, and PostgreSQL no text.
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

/// Bytes of the largest file of the workspace, deleted folders included.
pub fn largest_bytes(tx: &Tx<'_>, workspace_id: Uuid) -> Result<u64, DbError> {
    let sql = "SELECT size_bytes FROM files WHERE workspace_id = ?1 ORDER BY size_bytes DESC, id DESC LIMIT 1";
    let largest = tx.optional(sql, &[&workspace_id.to_string()], |row| columns::size(TABLE, row, 0));
    Ok(largest?.unwrap_or_default())
}

/// Takes a file away. The workspace must be locked.
pub fn delete(tx: &Tx<'_>, file: &File) -> Result<(), DbError> {
    delete_tags(tx, file, &file.tags)?;
    tx.execute("DELETE FROM files WHERE id = ?1", &[&file.id.to_string()])?;
    count(tx, file, -1)
}

/// At most `limit` files of the first `limit` folders that were deleted.
pub fn list_deleted(tx: &Tx<'_>, limit: u32) -> Result<Vec<File>, DbError> {
    let sql = select!(concat!("WHERE f.folder_id IN (", first_deleted!(), "?1) LIMIT ?1"));
    tx.all(sql, &[&limit], from_row)
}

/// Takes a file of a deleted folder away, which is counted no more. False when somebody else has.
pub fn delete_uncounted(tx: &Tx<'_>, file: &File) -> Result<bool, DbError> {
    delete_tags(tx, file, &file.tags)?;
    Ok(tx.execute("DELETE FROM files WHERE id = ?1", &[&file.id.to_string()])? == 1)
}

/// Gives a file that had `former_tags` the tags and the metadata that it has here.
pub fn update(tx: &Tx<'_>, file: &File, former_tags: &[String]) -> Result<(), DbError> {
    let metadata = file.metadata.as_ref().map(|metadata| columns::to_json(TABLE, metadata)).transpose()?;
    tx.execute(
        "UPDATE files SET tags = ?2, metadata = ?3, updated_at = ?4 WHERE id = ?1",
        &[&file.id.to_string(), &columns::to_json(TABLE, &file.tags)?, &metadata, &file.updated_at],
    )?;
    delete_tags(tx, file, former_tags)?;
    insert_tags(tx, file.id, &file.tags)
}

/// Where a file is put, and by whom.
#[derive(Debug, Clone, Copy)]
pub struct NewPlace<'a> {
    /// The folder, which may be the root.
    pub folder_id: Uuid,
    /// Last segment of its path.
    pub name: &'a str,
    /// File extension that goes with it.
    pub format: &'a str,
    /// The key that puts it there.
    pub api_key_id: Uuid,
}

/// Gives a file another name, or moves it to another folder; the name must be free there.
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

/// What a check needs to know of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileToCheck {
    /// Number of its workspace.
    pub workspace_no: String,
    /// Folder and name.
    pub path: String,
    /// `blake3:` and the hash in hexadecimal.
    pub hash: Option<String>,
    /// Where its bytes are.
    pub blob_id: Uuid,
}

/// The file with this id.
pub fn find_stored(tx: &Tx<'_>, id: Uuid) -> Result<Option<FileToCheck>, DbError> {
    tx.optional(
        "SELECT w.workspace_no, d.path, f.name, f.hash, f.blob_id FROM files f JOIN workspaces w ON w.id = f.workspace_id \
         JOIN folders d ON d.id = f.folder_id WHERE f.id = ?1",
        &[&id.to_string()],
        |row| {
            Ok(FileToCheck {
                workspace_no: row.get(0)?,
                path: join(&row.text(1)?, &row.text(2)?),
                hash: row.get(3)?,
                blob_id: columns::uuid(TABLE, row, 4)?,
            })
        },
    )
}

/// What moving a file to another storage needs to know.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MoveCandidate {
    /// Its id.
    pub id: Uuid,
    /// Its workspace.
    pub workspace_id: Uuid,
    /// How many they are.
    pub size_bytes: u64,
    /// MIME type: what the bytes are.
    pub mime_type: String,
    /// The MIME type that the uploader named.
    pub declared_type: Option<String>,
    /// Last segment of its path.
    pub name: String,
    /// What a check needs to know of it.
    pub stored: FileToCheck,
}

/// At most `limit` files of one storage, in the order of their ids, from behind `after` on.
pub fn list_in(tx: &Tx<'_>, storage: StorageKind, after: Uuid, limit: u32) -> Result<Vec<MoveCandidate>, DbError> {
    tx.all(
        "SELECT f.id, f.workspace_id, f.blob_id, f.size_bytes, f.mime_type, f.name, w.workspace_no, d.path, f.hash, f.declared_type \
         FROM files f JOIN workspaces w ON w.id = f.workspace_id JOIN folders d ON d.id = f.folder_id \
         WHERE f.storage = ?1 AND f.id > ?2 ORDER BY f.id LIMIT ?3",
        &[&storage.as_str(), &after.to_string(), &limit],
        |row| {
            Ok(MoveCandidate {
                id: columns::uuid(TABLE, row, 0)?,
                workspace_id: columns::uuid(TABLE, row, 1)?,
                size_bytes: columns::size(TABLE, row, 3)?,
                mime_type: row.get(4)?,
                declared_type: row.get(9)?,
                name: row.get(5)?,
                stored: FileToCheck {
                    workspace_no: row.get(6)?,
                    path: join(&row.text(7)?, &row.text(5)?),
                    hash: row.get(8)?,
                    blob_id: columns::uuid(TABLE, row, 2)?,
                },
            })
        },
    )
}

/// How many files are in one storage, and their bytes.
pub fn amount_in(tx: &Tx<'_>, storage: StorageKind) -> Result<(u64, u64), DbError> {
    let amount = tx.optional(
        "SELECT count(*), CAST(coalesce(sum(size_bytes), 0) AS BIGINT) FROM files WHERE storage = ?1",
        &[&storage.as_str()],
        |row| Ok((columns::size(TABLE, row, 0)?, columns::size(TABLE, row, 1)?)),
    )?;
    Ok(amount.unwrap_or_default())
}

/// Has the file use other bytes, which are the same. A file whose hash was not known has one from then on. False when it
/// does not use `from` any more.
pub fn use_blob(
    tx: &Tx<'_>,
    id: Uuid,
    from: BlobRef,
    to: BlobRef,
    hash: &str,
    entity_tag: Option<&str>,
) -> Result<bool, DbError> {
    let changed = tx.execute(
        "UPDATE files SET blob_id = ?3, storage = ?4, entity_tag = ?6, \
         hash = CASE WHEN hash LIKE 'blake3:%' THEN hash ELSE ?5 END WHERE id = ?1 AND blob_id = ?2",
        &[&id.to_string(), &from.id.to_string(), &to.id.to_string(), &to.storage.as_str(), &hash, &entity_tag],
    )?;
    Ok(changed == 1)
}

/// The file at this path of the workspace with this number.
pub fn find_served(tx: &Tx<'_>, workspace_no: &str, path: &str) -> Result<Option<DeliverableFile>, DbError> {
    let (folder, name) = split(path);
    tx.optional(
        "SELECT f.id, f.blob_id, f.storage, f.size_bytes, f.mime_type, f.declared_type, f.hash, f.name, f.created_at, \
         f.entity_tag FROM workspaces w JOIN folders d ON d.workspace_id = w.id AND d.path = ?2 \
         JOIN files f ON f.folder_id = d.id AND f.name = ?3 WHERE w.workspace_no = ?1 AND d.deleted_at IS NULL",
        &[&workspace_no, &folder, &name],
        served_from_row,
    )
}

fn served_from_row(row: &Row<'_>) -> Result<DeliverableFile, DbError> {
    Ok(DeliverableFile {
        id: columns::uuid(TABLE, row, 0)?,
        blob: blob(row, 1)?,
        size_bytes: columns::size(TABLE, row, 3)?,
        mime_type: row.get(4)?,
        declared_type: row.get(5)?,
        hash: row.get(6)?,
        name: row.get(7)?,
        created_at: row.get(8)?,
        entity_tag: row.get(9)?,
    })
}

/// A blob's id, and its storage in the column behind it.
fn blob(row: &Row<'_>, column: usize) -> Result<BlobRef, DbError> {
    Ok(BlobRef { id: columns::uuid(TABLE, row, column)?, storage: columns::storage(TABLE, row, column + 1)? })
}
