//! Files as they are served by their public URLs.

use uuid::Uuid;

use super::row::{TABLE, blob, split};
use crate::db::sql::{DbError, Row, Timestamp, Tx, columns};
use crate::model::BlobRef;

/// The columns of a file that serving it needs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeliverableFile {
    /// Its id.
    pub id: Uuid,
    /// Where its bytes are.
    pub blob: BlobRef,
    /// Number of its bytes.
    pub size_bytes: u64,
    /// MIME type that its bytes have.
    pub mime_type: String,
    /// The MIME type that the uploader named.
    pub declared_type: Option<String>,
    /// `blake3:` and the hash in hexadecimal.
    pub hash: Option<String>,
    /// Last segment of its path.
    pub name: String,
    /// When its bytes were uploaded: they never change.
    pub created_at: Timestamp,
    /// The entity tag that the bucket's store gave it.
    pub entity_tag: Option<String>,
    /// The encoding of a text, where its bytes show it.
    pub charset: Option<String>,
    /// How its bytes are compressed (RFC 9110, section 8.4).
    pub content_encoding: Option<String>,
}

/// The file at this path of the workspace with this number.
pub fn find_served(tx: &Tx<'_>, workspace_no: &str, path: &str) -> Result<Option<DeliverableFile>, DbError> {
    let (folder, name) = split(path);
    tx.optional(
        "SELECT f.id, f.blob_id, f.storage, f.size_bytes, f.mime_type, f.declared_type, f.hash, f.name, f.created_at, \
         f.entity_tag, f.charset, f.content_encoding FROM workspaces w JOIN folders d ON d.workspace_id = w.id AND d.path = ?2 \
         JOIN files f ON f.folder_id = d.id AND f.name = ?3 WHERE w.workspace_no = ?1 AND d.deleted_at IS NULL",
        &[&workspace_no, &folder, &name],
        from_row,
    )
}

fn from_row(row: &Row<'_>) -> Result<DeliverableFile, DbError> {
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
        charset: row.get(10)?,
        content_encoding: row.get(11)?,
    })
}
