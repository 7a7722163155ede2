//! Files: what is visible in a workspace. One row per path; a row's blob belongs to it alone.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use uuid::Uuid;

use super::usage::{self, Counted};
use super::value::Row;
use super::{DbError, Timestamp, Tx, columns};
use crate::storage::{BlobRef, StorageKind};

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
    /// Last segment of its path.
    pub name: String,
    /// Folder and name.
    pub path: String,
    /// Where its bytes are.
    pub blob_id: Uuid,
    /// How many they are.
    pub size_bytes: u64,
    /// MIME type.
    pub mime_type: String,
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
    /// Where its bytes are.
    #[serde(default)]
    pub storage: StorageKind,
    /// The entity tag that the bucket's store gave it.
    #[serde(default)]
    pub entity_tag: Option<String>,
}

/// What serving a file needs to know.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServedFile {
    /// Its id.
    pub id: Uuid,
    /// Where its bytes are.
    pub blob: BlobRef,
    /// How many they are.
    pub size_bytes: u64,
    /// MIME type.
    pub mime_type: String,
    /// `blake3:` and the hash in hexadecimal.
    pub hash: Option<String>,
    /// Last segment of its path.
    pub name: String,
    /// When its bytes became what they are.
    pub created_at: Timestamp,
    /// The entity tag that the bucket's store gave it.
    pub entity_tag: Option<String>,
}

/// Adds a file; its path must be free.
pub fn insert(tx: &Tx<'_>, file: &File) -> Result<(), DbError> {
    let metadata = file.metadata.as_ref().map(|metadata| columns::to_json(TABLE, metadata)).transpose()?;
    tx.execute(
        "INSERT INTO files (id, file_no, workspace_id, folder_id, name, path, blob_id, size_bytes, mime_type, format, \
         width, height, hash, tags, metadata, custom_id, upload_source, is_duplicate, created_at, updated_at, storage, \
         entity_tag) \
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18, ?19, ?19, ?20, ?21)",
        &[
            &file.id.to_string(),
            &file.file_no,
            &file.workspace_id.to_string(),
            &file.folder_id.map(|id| id.to_string()),
            &file.name,
            &file.path,
            &file.blob_id.to_string(),
            &columns::size_to_sql(file.size_bytes),
            &file.mime_type,
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
            &file.storage.as_str(),
            &file.entity_tag,
        ],
    )?;
    usage::change(tx, file.workspace_id, Counted::File, 1, file.size_bytes)
}

/// Whether the number is taken.
pub fn is_file_no_taken(tx: &Tx<'_>, file_no: &str) -> Result<bool, DbError> {
    tx.exists("SELECT 1 FROM files WHERE file_no = ?1", &[&file_no])
}

/// Whether the workspace holds a file with this hash.
pub fn has_hash(tx: &Tx<'_>, workspace_id: Uuid, hash: &str) -> Result<bool, DbError> {
    tx.exists("SELECT 1 FROM files WHERE workspace_id = ?1 AND hash = ?2 LIMIT 1", &[&workspace_id.to_string(), &hash])
}

/// Takes the file of this path away and tells what bytes it had: blob and size.
pub fn take_by_path(tx: &Tx<'_>, workspace_id: Uuid, path: &str) -> Result<Option<(BlobRef, u64)>, DbError> {
    let taken = tx.optional(
        "DELETE FROM files WHERE workspace_id = ?1 AND path = ?2 RETURNING blob_id, storage, size_bytes",
        &[&workspace_id.to_string(), &path],
        |row| Ok((blob(row, 0)?, columns::size(TABLE, row, 2)?)),
    )?;
    if let Some((_, size_bytes)) = taken {
        usage::change(tx, workspace_id, Counted::File, -1, size_bytes)?;
    }
    Ok(taken)
}

/// What a check needs to know of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredFile {
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
pub fn find_stored(tx: &Tx<'_>, id: Uuid) -> Result<Option<StoredFile>, DbError> {
    tx.optional(
        "SELECT w.workspace_no, f.path, f.hash, f.blob_id FROM files f JOIN workspaces w ON w.id = f.workspace_id WHERE f.id = ?1",
        &[&id.to_string()],
        |row| {
            Ok(StoredFile {
                workspace_no: row.get(0)?,
                path: row.get(1)?,
                hash: row.get(2)?,
                blob_id: columns::uuid(TABLE, row, 3)?,
            })
        },
    )
}

/// What moving a file to another storage needs to know.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MovedFile {
    /// Its id.
    pub id: Uuid,
    /// Its workspace.
    pub workspace_id: Uuid,
    /// How many they are.
    pub size_bytes: u64,
    /// MIME type.
    pub mime_type: String,
    /// Last segment of its path.
    pub name: String,
    /// What a check needs to know of it.
    pub stored: StoredFile,
}

/// At most `limit` files of one storage, in the order of their ids, from behind `after` on.
pub fn list_in(tx: &Tx<'_>, storage: StorageKind, after: Uuid, limit: u32) -> Result<Vec<MovedFile>, DbError> {
    tx.all(
        "SELECT f.id, f.workspace_id, f.blob_id, f.size_bytes, f.mime_type, f.name, w.workspace_no, f.path, f.hash \
         FROM files f JOIN workspaces w ON w.id = f.workspace_id \
         WHERE f.storage = ?1 AND f.id > ?2 ORDER BY f.id LIMIT ?3",
        &[&storage.as_str(), &after.to_string(), &limit],
        |row| {
            Ok(MovedFile {
                id: columns::uuid(TABLE, row, 0)?,
                workspace_id: columns::uuid(TABLE, row, 1)?,
                size_bytes: columns::size(TABLE, row, 3)?,
                mime_type: row.get(4)?,
                name: row.get(5)?,
                stored: StoredFile {
                    workspace_no: row.get(6)?,
                    path: row.get(7)?,
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
pub fn find_served(tx: &Tx<'_>, workspace_no: &str, path: &str) -> Result<Option<ServedFile>, DbError> {
    tx.optional(
        "SELECT f.id, f.blob_id, f.storage, f.size_bytes, f.mime_type, f.hash, f.name, f.created_at, f.entity_tag \
         FROM files f JOIN workspaces w ON w.id = f.workspace_id WHERE w.workspace_no = ?1 AND f.path = ?2",
        &[&workspace_no, &path],
        served_from_row,
    )
}

fn served_from_row(row: &Row<'_>) -> Result<ServedFile, DbError> {
    Ok(ServedFile {
        id: columns::uuid(TABLE, row, 0)?,
        blob: blob(row, 1)?,
        size_bytes: columns::size(TABLE, row, 3)?,
        mime_type: row.get(4)?,
        hash: row.get(5)?,
        name: row.get(6)?,
        created_at: row.get(7)?,
        entity_tag: row.get(8)?,
    })
}

/// A blob's id, and its storage in the column behind it.
fn blob(row: &Row<'_>, column: usize) -> Result<BlobRef, DbError> {
    Ok(BlobRef { id: columns::uuid(TABLE, row, column)?, storage: columns::storage(TABLE, row, column + 1)? })
}
