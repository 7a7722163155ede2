//! Upload sessions.

use rusqlite::Row;
use serde_json::{Map, Value};
use uuid::Uuid;

use super::files::File;
use super::{DbError, Timestamp, Tx, columns};

const TABLE: &str = "sessions";

/// Where a session stands. Only `Uploading` has a successor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status {
    /// Takes parts and owns its blob. May become any other.
    Uploading,
    /// Its blob belongs to a file now. Final.
    Completed,
    /// The client gave it up; its blob is garbage or gone. Final.
    Aborted,
    /// Its time ran out; its blob is garbage or gone. Final.
    Expired,
}

impl Status {
    fn as_str(self) -> &'static str {
        match self {
            Self::Uploading => "uploading",
            Self::Completed => "completed",
            Self::Aborted => "aborted",
            Self::Expired => "expired",
        }
    }

    fn parse(text: &str) -> Result<Self, DbError> {
        [Self::Uploading, Self::Completed, Self::Aborted, Self::Expired]
            .into_iter()
            .find(|status| status.as_str() == text)
            .ok_or_else(|| DbError::Corrupt { table: TABLE, problem: format!("status {text:?}") })
    }
}

/// An upload session.
#[derive(Debug, Clone, PartialEq)]
pub struct Session {
    /// Its id.
    pub id: Uuid,
    /// The workspace the file will be in.
    pub workspace_id: Uuid,
    /// The key that started it.
    pub api_key_id: Uuid,
    /// Where it stands.
    pub status: Status,
    /// Id of the file to be.
    pub file_id: Uuid,
    /// Where its bytes are.
    pub blob_id: Uuid,
    /// Name of the file, with its random prefix if it was to have one.
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
    /// When it ends by itself.
    pub expires_at: Timestamp,
    /// The boot of the machine in which its recorded parts were received or last verified.
    pub trusted_boot_id: String,
    /// The file it became.
    pub completed_file: Option<File>,
}

macro_rules! select {
    ($rest:literal) => {
        concat!(
            "SELECT id, workspace_id, api_key_id, status, file_id, blob_id, file_name, folder, size_bytes, part_size_bytes, \
             mime_type, tags, metadata, custom_id, created_at, expires_at, trusted_boot_id, completed_file FROM sessions ",
            $rest
        )
    };
}

fn from_row(row: &Row<'_>) -> Result<Session, DbError> {
    Ok(Session {
        id: columns::uuid(TABLE, row, 0)?,
        workspace_id: columns::uuid(TABLE, row, 1)?,
        api_key_id: columns::uuid(TABLE, row, 2)?,
        status: Status::parse(&row.get::<_, String>(3)?)?,
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
        trusted_boot_id: row.get(16)?,
        completed_file: columns::optional_json(TABLE, row, 17)?,
    })
}

/// Adds a session.
pub fn insert(tx: &Tx<'_>, session: &Session) -> Result<(), DbError> {
    let metadata = session.metadata.as_ref().map(|metadata| columns::to_json(TABLE, metadata)).transpose()?;
    tx.execute(
        "INSERT INTO sessions (id, workspace_id, api_key_id, status, file_id, blob_id, file_name, folder, size_bytes, \
         part_size_bytes, mime_type, tags, metadata, custom_id, created_at, expires_at, trusted_boot_id) \
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17)",
        &[
            &session.id.to_string(),
            &session.workspace_id.to_string(),
            &session.api_key_id.to_string(),
            &session.status.as_str(),
            &session.file_id.to_string(),
            &session.blob_id.to_string(),
            &session.file_name,
            &session.folder,
            &columns::size_to_sql(session.size_bytes),
            &columns::size_to_sql(session.part_size_bytes),
            &session.mime_type,
            &columns::to_json(TABLE, &session.tags)?,
            &metadata,
            &session.custom_id,
            &session.created_at,
            &session.expires_at,
            &session.trusted_boot_id,
        ],
    )?;
    Ok(())
}

/// The session with this id.
pub fn find(tx: &Tx<'_>, id: Uuid) -> Result<Option<Session>, DbError> {
    tx.optional(select!("WHERE id = ?1"), &[&id.to_string()], from_row)
}

/// At most `limit` sessions that should have ended by now, in the order of their ids, from behind `after` on.
pub fn list_overdue(tx: &Tx<'_>, now: Timestamp, after: Uuid, limit: u32) -> Result<Vec<Uuid>, DbError> {
    tx.all(
        "SELECT id FROM sessions WHERE status = 'uploading' AND expires_at <= ?1 AND id > ?2 ORDER BY id LIMIT ?3",
        &[&now, &after.to_string(), &limit],
        |row| columns::uuid(TABLE, row, 0),
    )
}

/// Completes the session with the answer that repeating the request will give. False if it was not uploading.
pub fn complete(tx: &Tx<'_>, id: Uuid, file: &File) -> Result<bool, DbError> {
    let changed = tx.execute(
        "UPDATE sessions SET status = 'completed', completed_file = ?2 WHERE id = ?1 AND status = 'uploading'",
        &[&id.to_string(), &columns::to_json(TABLE, file)?],
    )?;
    Ok(changed == 1)
}

/// The session's recorded parts are known to be intact in this boot of the machine.
pub fn set_trusted_boot(tx: &Tx<'_>, id: Uuid, boot_id: &str) -> Result<(), DbError> {
    tx.execute("UPDATE sessions SET trusted_boot_id = ?2 WHERE id = ?1", &[&id.to_string(), &boot_id])?;
    Ok(())
}

/// Ends the session without a file. False if it was not uploading.
pub fn end(tx: &Tx<'_>, id: Uuid, status: Status) -> Result<bool, DbError> {
    let changed = tx.execute(
        "UPDATE sessions SET status = ?2 WHERE id = ?1 AND status = 'uploading'",
        &[&id.to_string(), &status.as_str()],
    )?;
    Ok(changed == 1)
}

/// Takes back a session whose start failed before anybody heard of it.
pub fn delete(tx: &Tx<'_>, id: Uuid) -> Result<(), DbError> {
    tx.execute("DELETE FROM sessions WHERE id = ?1", &[&id.to_string()])?;
    Ok(())
}
