//! Upload sessions.

use serde_json::{Map, Value};
use uuid::Uuid;

use super::files::File;
use super::usage::{self, Counted};
use crate::db::sql::Row;
use crate::db::sql::{DbError, Timestamp, Tx, columns};
use crate::model::{BlobRef, StorageKind};

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
    /// The status as it is stored and shown.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Uploading => "uploading",
            Self::Completed => "completed",
            Self::Aborted => "aborted",
            Self::Expired => "expired",
        }
    }

    /// Every status.
    pub const ALL: [Self; 4] = [Self::Uploading, Self::Completed, Self::Aborted, Self::Expired];

    /// The status that is stored and shown as `text`.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|status| status.as_str() == text)
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
    /// The circumstances (`process/storage_epoch.rs`) under which its recorded parts were received or last verified. Empty: they are to
    /// be verified.
    pub verified_in_epoch: String,
    /// `blake3:` and the hash that the client says the whole file has, if it does.
    pub declared_hash: Option<String>,
    /// The file it became.
    pub completed_file: Option<File>,
    /// Where its bytes are.
    pub storage: StorageKind,
    /// The store's multipart upload that takes its parts.
    pub store_upload_id: Option<String>,
    /// Who is told what becomes of it.
    pub webhook_url: Option<String>,
    /// Set once its client asked to complete it: the hash that came with that, empty without one.
    pub complete_hash: Option<String>,
}

impl Session {
    /// Its bytes.
    pub fn blob(&self) -> BlobRef {
        BlobRef { storage: self.storage, id: self.blob_id }
    }
}

/// What [`from_row`] reads, in its order.
macro_rules! columns_of_session {
    () => {
        "id, workspace_id, api_key_id, status, file_id, blob_id, file_name, folder, size_bytes, part_size_bytes, \
         mime_type, tags, metadata, custom_id, created_at, expires_at, trusted_boot_id, declared_hash, completed_file, \
         storage, store_upload_id, webhook_url, complete_hash"
    };
}

macro_rules! select {
    ($rest:literal) => {
        concat!("SELECT ", columns_of_session!(), " FROM sessions ", $rest)
    };
}

fn status(row: &Row<'_>, column: usize) -> Result<Status, DbError> {
    let text: String = row.get(column)?;
    Status::parse(&text).ok_or_else(|| DbError::Corrupt { table: TABLE, problem: format!("status {text:?}") })
}

fn from_row(row: &Row<'_>) -> Result<Session, DbError> {
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
        completed_file: columns::optional_json(TABLE, row, 18)?,
        storage: columns::storage(TABLE, row, 19)?,
        store_upload_id: row.get(20)?,
        webhook_url: row.get(21)?,
        complete_hash: row.get(22)?,
    })
}

/// Adds a session.
pub fn insert(tx: &Tx<'_>, session: &Session) -> Result<(), DbError> {
    let metadata = session.metadata.as_ref().map(|metadata| columns::to_json(TABLE, metadata)).transpose()?;
    tx.execute(
        "INSERT INTO sessions (id, workspace_id, api_key_id, status, file_id, blob_id, file_name, folder, size_bytes, \
         part_size_bytes, mime_type, tags, metadata, custom_id, created_at, expires_at, trusted_boot_id, declared_hash, \
         storage, webhook_url) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18, ?19, ?20)",
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
            &session.verified_in_epoch,
            &session.declared_hash,
            &session.storage.as_str(),
            &session.webhook_url,
        ],
    )?;
    count_one(tx, session, 1)
}

/// Counts a session that was opened (1) or has ended (-1).
fn count_one(tx: &Tx<'_>, session: &Session, sign: i64) -> Result<(), DbError> {
    usage::change(tx, session.workspace_id, Counted::Session, sign, session.size_bytes)?;
    usage::change_key(tx, session.api_key_id, sign, session.size_bytes)
}

/// The session with this id.
pub fn find(tx: &Tx<'_>, id: Uuid) -> Result<Option<Session>, DbError> {
    tx.optional(select!("WHERE id = ?1"), &[&id.to_string()], from_row)
}

/// The same; nobody else changes it until this transaction ends.
pub fn find_locked(tx: &Tx<'_>, id: Uuid) -> Result<Option<Session>, DbError> {
    tx.optional(select!("WHERE id = ?1 /*FOR UPDATE*/"), &[&id.to_string()], from_row)
}

/// What became of wanting to end a session.
#[derive(Debug, Clone, PartialEq)]
pub enum Claim {
    /// Nobody else may end it until the claim runs out.
    Taken(Box<Session>),
    /// Somebody else has it.
    Busy,
    /// It has ended already.
    Ended(Box<Session>),
    /// There is none.
    Nothing,
}

/// Claims the session for `seconds`.
pub fn claim(tx: &Tx<'_>, id: Uuid, claimant: Uuid, seconds: u64) -> Result<Claim, DbError> {
    let Some(session) = find_locked(tx, id)? else { return Ok(Claim::Nothing) };
    if session.status != Status::Uploading {
        return Ok(Claim::Ended(Box::new(session)));
    }
    let now = tx.now()?;
    let changed = tx.execute(
        "UPDATE sessions SET claimed_by = ?2, claimed_until = ?3 \
         WHERE id = ?1 AND (claimed_by IS NULL OR claimed_by = ?2 OR claimed_until <= ?4)",
        &[&id.to_string(), &claimant.to_string(), &now.plus_seconds(seconds), &now],
    )?;
    Ok(if changed == 1 { Claim::Taken(Box::new(session)) } else { Claim::Busy })
}

/// Notes that completing the session was asked for, with this hash; empty for none.
pub fn note_complete(tx: &Tx<'_>, id: Uuid, hash: &str) -> Result<(), DbError> {
    tx.execute("UPDATE sessions SET complete_hash = ?2 WHERE id = ?1", &[&id.to_string(), &hash]).map(drop)
}

/// The same, if the session is still claimed by this claimant.
pub fn note_claimed_complete(tx: &Tx<'_>, id: Uuid, claimant: Uuid, hash: &str) -> Result<bool, DbError> {
    let changed = tx.execute(
        "UPDATE sessions SET complete_hash = ?3 WHERE id = ?1 AND claimed_by = ?2 AND status = 'uploading'",
        &[&id.to_string(), &claimant.to_string(), &hash],
    )?;
    Ok(changed == 1)
}

/// Renews a claim. False when it is not this claimant's any more.
pub fn renew(tx: &Tx<'_>, id: Uuid, claimant: Uuid, seconds: u64) -> Result<bool, DbError> {
    let changed = tx.execute(
        "UPDATE sessions SET claimed_until = ?3 WHERE id = ?1 AND claimed_by = ?2 AND status = 'uploading'",
        &[&id.to_string(), &claimant.to_string(), &tx.now()?.plus_seconds(seconds)],
    )?;
    Ok(changed == 1)
}

/// Has the session take its parts into another blob, if it is still claimed by this claimant.
pub fn replace_blob(tx: &Tx<'_>, id: Uuid, claimant: Uuid, blob_id: Uuid) -> Result<bool, DbError> {
    let changed = tx.execute(
        "UPDATE sessions SET blob_id = ?3, store_upload_id = NULL, complete_hash = NULL \
         WHERE id = ?1 AND status = 'uploading' AND claimed_by = ?2",
        &[&id.to_string(), &claimant.to_string(), &blob_id.to_string()],
    )?;
    Ok(changed == 1)
}

/// Lets others end the session.
pub fn release(tx: &Tx<'_>, id: Uuid, claimant: Uuid) -> Result<(), DbError> {
    tx.execute(
        "UPDATE sessions SET claimed_by = NULL, claimed_until = 0 WHERE id = ?1 AND claimed_by = ?2",
        &[&id.to_string(), &claimant.to_string()],
    )?;
    Ok(())
}

/// Notes which of the store's multipart uploads takes the parts from now on, in the place of `before`. False when
/// another one took that place, or the session has ended.
pub fn set_store_upload(
    tx: &Tx<'_>,
    id: Uuid,
    blob_id: Uuid,
    before: Option<&str>,
    now: &str,
) -> Result<bool, DbError> {
    let changed = tx.execute(
        "UPDATE sessions SET store_upload_id = ?3 \
         WHERE id = ?1 AND blob_id = ?4 AND status = 'uploading' AND coalesce(store_upload_id, '') = ?2",
        &[&id.to_string(), &before.unwrap_or_default(), &now, &blob_id.to_string()],
    )?;
    Ok(changed == 1)
}

/// The session whose bytes this blob is.
pub fn find_by_blob(tx: &Tx<'_>, blob_id: Uuid) -> Result<Option<Session>, DbError> {
    tx.optional(select!("WHERE blob_id = ?1"), &[&blob_id.to_string()], from_row)
}

/// At most `limit` sessions that should have ended by now, in the order of their ids, from behind `after` on.
pub fn list_overdue(tx: &Tx<'_>, after: Uuid, limit: u32) -> Result<Vec<(Uuid, StorageKind)>, DbError> {
    tx.all(
        "SELECT id, storage FROM sessions WHERE status = 'uploading' AND expires_at <= ?1 AND id > ?2 \
         ORDER BY id LIMIT ?3",
        &[&tx.now()?, &after.to_string(), &limit],
        |row| Ok((columns::uuid(TABLE, row, 0)?, columns::storage(TABLE, row, 1)?)),
    )
}

/// The blobs of all open sessions of public keys whose bytes are on a disk.
pub fn list_blobs_of_public_keys(tx: &Tx<'_>) -> Result<Vec<Uuid>, DbError> {
    tx.all(
        "SELECT s.blob_id FROM api_keys k JOIN sessions s ON s.api_key_id = k.id \
         WHERE k.kind = 'public' AND s.status = 'uploading' AND s.storage = 'local'",
        &[],
        |row| columns::uuid(TABLE, row, 0),
    )
}

/// At most `limit` open sessions of keys that were revoked with all they opened, in the order of their ids, from behind `after`
/// on.
pub fn list_of_revoked_keys(tx: &Tx<'_>, after: Uuid, limit: u32) -> Result<Vec<(Uuid, StorageKind)>, DbError> {
    tx.all(
        "SELECT s.id, s.storage FROM api_keys k JOIN sessions s ON s.api_key_id = k.id \
         WHERE k.revoked_at IS NOT NULL AND NOT k.keeps_sessions AND s.status = 'uploading' AND s.id > ?1 \
         ORDER BY s.id LIMIT ?2",
        &[&after.to_string(), &limit],
        |row| Ok((columns::uuid(TABLE, row, 0)?, columns::storage(TABLE, row, 1)?)),
    )
}

/// Whether there is any of them.
pub fn any_of_revoked_keys(tx: &Tx<'_>) -> Result<bool, DbError> {
    let sql = "SELECT 1 FROM api_keys k WHERE k.revoked_at IS NOT NULL AND NOT k.keeps_sessions AND EXISTS \
               (SELECT 1 FROM sessions s WHERE s.api_key_id = k.id AND s.status = 'uploading') LIMIT 1";
    tx.exists(sql, &[])
}

/// How many open sessions the key has.
pub fn count_of_key(tx: &Tx<'_>, api_key_id: Uuid) -> Result<u64, DbError> {
    let counted = tx.optional(
        "SELECT count(*) FROM sessions WHERE api_key_id = ?1 AND status = 'uploading'",
        &[&api_key_id.to_string()],
        |row| columns::size(TABLE, row, 0),
    )?;
    Ok(counted.unwrap_or_default())
}

/// Open sessions whose parts were received under other circumstances than `boot_id` names, in the order of their
/// ids, from behind `after` on, at most `limit`.
pub fn list_untrusted(tx: &Tx<'_>, boot_id: &str, after: Uuid, limit: u32) -> Result<Vec<Uuid>, DbError> {
    tx.all(
        "SELECT id FROM sessions WHERE status = 'uploading' AND storage = 'local' AND trusted_boot_id <> ?1 AND id > ?2 ORDER BY id LIMIT ?3",
        &[&boot_id, &after.to_string(), &limit],
        |row| columns::uuid(TABLE, row, 0),
    )
}

/// A session in a list.
#[derive(Debug, Clone, PartialEq)]
pub struct ListedSession {
    /// The session.
    pub session: Session,
    /// How many of its parts are recorded. Those of a session that has ended are forgotten.
    pub recorded_parts: u32,
    /// The highest index of a recorded part.
    pub last_recorded_part: Option<u32>,
}

/// One page of a workspace's sessions, newest first; `None` for those of any status.
pub fn list(
    tx: &Tx<'_>,
    workspace_id: Uuid,
    status: Option<Status>,
    limit: u32,
    offset: u64,
) -> Result<Vec<ListedSession>, DbError> {
    macro_rules! list {
        ($condition:literal) => {
            concat!(
                "SELECT ",
                columns_of_session!(),
                ", (SELECT count(*) FROM parts p WHERE p.session_id = s.id), \
                 (SELECT max(part_index) FROM parts p WHERE p.session_id = s.id) \
                 FROM sessions s WHERE workspace_id = ?1 AND ",
                $condition,
                " ORDER BY created_at DESC, id DESC LIMIT ?3 OFFSET ?4"
            )
        };
    }
    let (sql, wanted) = match status {
        Some(status) => (list!("status = ?2"), status.as_str()),
        None => (list!("?2 = ''"), ""),
    };
    let offset = columns::size_to_sql(offset);
    tx.all(sql, &[&workspace_id.to_string(), &wanted, &limit, &offset], |row| {
        Ok(ListedSession { session: from_row(row)?, recorded_parts: row.get(23)?, last_recorded_part: row.get(24)? })
    })
}

/// How many sessions [`list`] has in all.
pub fn count(tx: &Tx<'_>, workspace_id: Uuid, status: Option<Status>) -> Result<u64, DbError> {
    let id = workspace_id.to_string();
    let number = |row: &Row<'_>| columns::size(TABLE, row, 0);
    let counted = match status {
        Some(status) => tx.optional(
            "SELECT count(*) FROM sessions WHERE workspace_id = ?1 AND status = ?2",
            &[&id, &status.as_str()],
            number,
        ),
        None => tx.optional("SELECT count(*) FROM sessions WHERE workspace_id = ?1", &[&id], number),
    };
    Ok(counted?.unwrap_or_default())
}

/// Has the session live until `expires_at`, if that is later than it would. False if it is not uploading.
pub fn extend(tx: &Tx<'_>, id: Uuid, expires_at: Timestamp) -> Result<bool, DbError> {
    let changed = tx.execute(
        "UPDATE sessions SET expires_at = CASE WHEN expires_at < ?2 THEN ?2 ELSE expires_at END \
         WHERE id = ?1 AND status = 'uploading'",
        &[&id.to_string(), &expires_at],
    )?;
    Ok(changed == 1)
}

/// Completes the session with the answer that repeating the request will give. False if it was not uploading.
pub fn complete(tx: &Tx<'_>, session: &Session, file: &File) -> Result<bool, DbError> {
    let changed = tx.execute(
        "UPDATE sessions SET status = 'completed', completed_file = ?2, ended_at = ?3, store_upload_id = ?4, tags = '[]', \
         metadata = NULL, custom_id = NULL, webhook_url = NULL WHERE id = ?1 AND status = 'uploading'",
        &[&session.id.to_string(), &columns::to_json(TABLE, file)?, &Timestamp::now(), &session.store_upload_id],
    )?;
    uncount(tx, session, changed)
}

/// The session's recorded parts are known to be intact under these circumstances.
pub fn set_verified_in_epoch(tx: &Tx<'_>, id: Uuid, boot_id: &str) -> Result<(), DbError> {
    tx.execute("UPDATE sessions SET trusted_boot_id = ?2 WHERE id = ?1", &[&id.to_string(), &boot_id])?;
    Ok(())
}

/// Ends the session without a file. False if it was not uploading.
pub fn end(tx: &Tx<'_>, session: &Session, status: Status) -> Result<bool, DbError> {
    let changed = tx.execute(
        "UPDATE sessions SET status = ?2, ended_at = ?3, tags = '[]', metadata = NULL, custom_id = NULL, webhook_url = NULL \
         WHERE id = ?1 AND status = 'uploading'",
        &[&session.id.to_string(), &status.as_str(), &Timestamp::now()],
    )?;
    uncount(tx, session, changed)
}

/// Whether sessions ended before then that are still remembered.
pub fn any_ended_before(tx: &Tx<'_>, until: Timestamp) -> Result<bool, DbError> {
    tx.exists("SELECT 1 FROM sessions WHERE ended_at <= ?1 LIMIT 1", &[&until])
}

macro_rules! ended_before {
    ($statement:literal) => {
        concat!(
            $statement,
            " IN (SELECT s.id FROM sessions s WHERE s.ended_at <= ?1 \
             AND NOT EXISTS (SELECT 1 FROM ended_sessions e WHERE e.session_id = s.id) \
             AND NOT EXISTS (SELECT 1 FROM parts p WHERE p.session_id = s.id) ORDER BY s.ended_at, s.id LIMIT ?2)"
        )
    };
}

/// Forgets at most `limit` sessions that ended before then and whose parts are forgotten, with the names of the requests that
/// started them. How many.
pub fn forget_ended_before(tx: &Tx<'_>, until: Timestamp, limit: u32) -> Result<usize, DbError> {
    tx.execute(ended_before!("DELETE FROM idempotency_keys WHERE session_id"), &[&until, &limit])?;
    tx.execute(ended_before!("DELETE FROM sessions WHERE id"), &[&until, &limit])
}

/// Takes back a session whose start failed before anybody heard of it.
pub fn delete(tx: &Tx<'_>, session: &Session) -> Result<(), DbError> {
    let changed =
        tx.execute("DELETE FROM sessions WHERE id = ?1 AND status = 'uploading'", &[&session.id.to_string()])?;
    uncount(tx, session, changed).map(drop)
}

/// A session that is no longer open is no longer counted. True when it was one.
fn uncount(tx: &Tx<'_>, session: &Session, changed: usize) -> Result<bool, DbError> {
    if changed == 1 {
        count_one(tx, session, -1)?;
    }
    Ok(changed == 1)
}
