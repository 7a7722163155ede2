//! The row of a file.

use serde_json::{Map, Value};
use uuid::Uuid;

use crate::db::sql::{DbError, Row, Timestamp, columns};
use crate::db::tables::folders;
use crate::model::{BlobRef, StorageKind};

pub(super) const TABLE: &str = "files";

/// A file.
#[derive(Debug, Clone, PartialEq)]
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
    pub folder_name: Option<String>,
    /// Last segment of its path.
    pub name: String,
    /// Folder and name.
    pub path: String,
    /// Where its bytes are.
    pub blob_id: Uuid,
    /// Number of its bytes.
    pub size_bytes: u64,
    /// MIME type that its bytes have.
    pub mime_type: String,
    /// The MIME type that the uploader named.
    pub declared_type: Option<String>,
    /// File extension of its type.
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
    /// When its row was last changed.
    pub updated_at: Timestamp,
    /// The first of the files that replaced each other under its name.
    pub origin_id: Uuid,
    /// Where its bytes are.
    pub storage: StorageKind,
    /// The entity tag that the bucket's store gave it.
    pub entity_tag: Option<String>,
    /// The key that put it at its path, if that is known. No answer shows it.
    pub api_key_id: Option<Uuid>,
    /// The encoding of a text, where its bytes show it. No answer shows it.
    pub charset: Option<String>,
    /// How its bytes are compressed for delivery (RFC 9110, section 8.4). No answer shows it.
    pub content_encoding: Option<String>,
}

impl File {
    /// Its bytes.
    pub fn blob(&self) -> BlobRef {
        BlobRef { storage: self.storage, id: self.blob_id }
    }

    /// The folder it is in, which may be the root.
    pub(in crate::db::tables) fn folder(&self) -> Uuid {
        self.folder_id.unwrap_or_else(|| folders::root(self.workspace_id))
    }
}

/// Columns that [`from_row`] reads, of a file `f` in a folder `d`.
macro_rules! columns_of_file {
    () => {
        "f.id, f.file_no, f.workspace_id, d.id, d.folder_no, d.name, d.path, f.name, f.blob_id, f.storage, f.size_bytes, \
         f.mime_type, f.declared_type, f.format, f.width, f.height, f.hash, f.tags, f.metadata, f.custom_id, \
         f.upload_source, f.is_duplicate, f.created_at, f.updated_at, f.origin_id, f.entity_tag, f.api_key_id, \
         f.charset, f.content_encoding"
    };
}
pub(in crate::db::tables) use columns_of_file;
/// Number of columns that [`from_row`] reads.
pub(in crate::db::tables) const COLUMNS: usize = 29;

/// Reads a file from the first columns of a row.
pub(in crate::db::tables) fn from_row(row: &Row<'_>) -> Result<File, DbError> {
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
        charset: row.get(27)?,
        content_encoding: row.get(28)?,
    })
}

/// Path of a name in a folder, which may have been deleted.
pub fn join(folder: &str, name: &str) -> String {
    let folder = folders::former_path(folder);
    if folder.is_empty() { name.to_owned() } else { format!("{folder}/{name}") }
}

/// Splits a path into the folder, empty for the root, and the name.
pub fn split(path: &str) -> (&str, &str) {
    path.rsplit_once('/').unwrap_or(("", path))
}

/// A blob from its id and, in the next column, its storage.
pub(super) fn blob(row: &Row<'_>, column: usize) -> Result<BlobRef, DbError> {
    Ok(BlobRef { id: columns::uuid(TABLE, row, column)?, storage: columns::storage(TABLE, row, column + 1)? })
}
