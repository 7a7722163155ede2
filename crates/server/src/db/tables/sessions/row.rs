//! The row of an upload session, and how one is found.

use serde_json::{Map, Value};
use uuid::Uuid;

use super::answer;
use crate::db::sql::{DbError, Row, Timestamp, Tx, columns};
use crate::db::tables::files::File;
use crate::model::{BlobRef, SessionStatus, StorageKind};

pub(super) const TABLE: &str = "sessions";

/// An upload session.
#[derive(Debug, Clone, PartialEq)]
pub struct Session {
    /// Its id.
    pub id: Uuid,
    /// The workspace the file will be in.
    pub workspace_id: Uuid,
    /// The key that started it.
    pub api_key_id: Uuid,
    /// Its state.
    pub status: SessionStatus,
    /// Id that the file will have.
    pub file_id: Uuid,
    /// Where its bytes are.
    pub blob_id: Uuid,
    /// Name of the file, including its random prefix if it has one.
    pub file_name: String,
    /// Folder of the file; empty for the root.
    pub folder: String,
    /// Size of the file.
    pub size_bytes: u64,
    /// Size of every part but the last.
    pub part_size_bytes: u64,
    /// MIME type.
    pub mime_type: String,
    /// Tags.
    pub tags: Vec<String>,
    /// The client's own object.
    pub metadata: Option<Map<String, Value>>,
    /// The client's own id.
    pub custom_id: Option<String>,
    /// When it was started.
    pub created_at: Timestamp,
    /// When it expires.
    pub expires_at: Timestamp,
    /// Storage epoch (`process/storage_epoch.rs`) in which its recorded parts were received or last verified. Empty if they must
    /// be verified. The column is `trusted_boot_id`: migrations are frozen, and in the first of them the boot id alone named an epoch.
    pub verified_in_epoch: String,
    /// `blake3:` and the hash of the whole file in hexadecimal, if the client declared it.
    pub declared_hash: Option<String>,
    /// The file it became.
    pub completed_file: Option<File>,
    /// Where its bytes are.
    pub storage: StorageKind,
    /// Id of the store's multipart upload that takes its parts.
    pub store_upload_id: Option<String>,
    /// URL that is notified of its end.
    pub webhook_url: Option<String>,
    /// Set once its client asked to complete it: the hash of that request, empty without one.
    pub complete_hash: Option<String>,
    /// Life that was asked for, in seconds: arriving parts renew the session by it.
    pub ttl_seconds: u64,
    /// Its end when a part first renewed it: URLs that were to expire then or later are good until its end.
    pub renewed_from: Option<Timestamp>,
}

impl Session {
    /// Its bytes.
    pub fn blob(&self) -> BlobRef {
        BlobRef { storage: self.storage, id: self.blob_id }
    }

    /// Whether a part URL that was to expire at `expires_at` (Unix seconds) is still good at `now`, because parts have renewed the
    /// session since it was signed.
    pub fn renews_url(&self, expires_at: i64, now: Timestamp) -> bool {
        let is_open = self.status == SessionStatus::Uploading && self.expires_at > now;
        is_open && self.renewed_from.is_some_and(|from| expires_at >= from.unix_seconds())
    }
}

/// Columns that [`from_row`] reads.
macro_rules! columns_of_session {
    () => {
        "id, workspace_id, api_key_id, status, file_id, blob_id, file_name, folder, size_bytes, part_size_bytes, \
         mime_type, tags, metadata, custom_id, created_at, expires_at, trusted_boot_id, declared_hash, completed_file, \
         storage, store_upload_id, webhook_url, complete_hash, ttl_seconds, renewed_from"
    };
}
pub(super) use columns_of_session;
/// Number of columns that [`from_row`] reads.
pub(super) const COLUMNS: usize = 25;

fn status(row: &Row<'_>, column: usize) -> Result<SessionStatus, DbError> {
    let text: String = row.get(column)?;
    SessionStatus::parse(&text).ok_or_else(|| DbError::Corrupt { table: TABLE, problem: format!("status {text:?}") })
}

/// Reads a session from the first columns of a row.
pub(super) fn from_row(row: &Row<'_>) -> Result<Session, DbError> {
    Ok(Session {
        id: columns::uuid(TABLE, row, 0)?,
        workspace_id: columns::uuid(TABLE, row, 1)?,
        api_key_id: columns::uuid(TABLE, row, 2)?,
        status: status(row, 3)?,
        file_id: columns::uuid(TABLE, row, 4)?,
        blob_id: columns::uuid(TABLE, row, 5)?,
        file_name: row.get(6)?,
        folder: row.get(7)?,
        size_bytes: columns::size(TABLE, row, 8)?,
        part_size_bytes: columns::size(TABLE, row, 9)?,
        mime_type: row.get(10)?,
        tags: columns::json(TABLE, row, 11)?,
        metadata: columns::optional_json(TABLE, row, 12)?,
        custom_id: row.get(13)?,
        created_at: row.get(14)?,
        expires_at: row.get(15)?,
        verified_in_epoch: row.get(16)?,
        declared_hash: row.get(17)?,
        completed_file: answer::from_column(row, 18)?,
        storage: columns::storage(TABLE, row, 19)?,
        store_upload_id: row.get(20)?,
        webhook_url: row.get(21)?,
        complete_hash: row.get(22)?,
        ttl_seconds: columns::size(TABLE, row, 23)?,
        renewed_from: row.get(24)?,
    })
}

macro_rules! select {
    ($rest:literal) => {
        concat!("SELECT ", columns_of_session!(), " FROM sessions ", $rest)
    };
}

/// The session with this id.
pub fn find(tx: &Tx<'_>, id: Uuid) -> Result<Option<Session>, DbError> {
    tx.optional(select!("WHERE id = ?1"), &[&id.to_string()], from_row)
}

/// The same with a row lock: nobody else changes it until this transaction ends.
pub fn find_locked(tx: &Tx<'_>, id: Uuid) -> Result<Option<Session>, DbError> {
    tx.optional(select!("WHERE id = ?1 /*FOR UPDATE*/"), &[&id.to_string()], from_row)
}

/// The session whose bytes this blob is.
pub fn find_by_blob(tx: &Tx<'_>, blob_id: Uuid) -> Result<Option<Session>, DbError> {
    tx.optional(select!("WHERE blob_id = ?1"), &[&blob_id.to_string()], from_row)
}
