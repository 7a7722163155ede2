//! Lists of sessions, for clients and for jobs.

use uuid::Uuid;

use super::row::{COLUMNS, Session, TABLE, columns_of_session, from_row};
use crate::db::sql::{DbError, Row, Tx, columns};
use crate::model::{SessionStatus, StorageKind};

/// A session in a list.
#[derive(Debug, Clone, PartialEq)]
pub struct ListedSession {
    /// The session.
    pub session: Session,
    /// Number of its recorded parts. Those of an ended session are deleted.
    pub recorded_parts: u32,
    /// Highest index of a recorded part.
    pub last_recorded_part: Option<u32>,
}

/// One page of a workspace's sessions, newest first. `status: None` lists all.
pub fn list(
    tx: &Tx<'_>,
    workspace_id: Uuid,
    status: Option<SessionStatus>,
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
        Ok(ListedSession {
            session: from_row(row)?,
            recorded_parts: row.get(COLUMNS)?,
            last_recorded_part: row.get(COLUMNS + 1)?,
        })
    })
}

/// Number of sessions on all pages of [`list`].
pub fn count(tx: &Tx<'_>, workspace_id: Uuid, status: Option<SessionStatus>) -> Result<u64, DbError> {
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

/// At most `limit` open sessions that have expired, with ids greater than `after`, ordered by id.
pub fn list_overdue(tx: &Tx<'_>, after: Uuid, limit: u32) -> Result<Vec<(Uuid, StorageKind)>, DbError> {
    tx.all(
        "SELECT id, storage FROM sessions WHERE status = 'uploading' AND expires_at <= ?1 AND id > ?2 \
         ORDER BY id LIMIT ?3",
        &[&tx.now()?, &after.to_string(), &limit],
        |row| Ok((columns::uuid(TABLE, row, 0)?, columns::storage(TABLE, row, 1)?)),
    )
}

/// Blobs of all open sessions of public keys on local storage.
pub fn list_blobs_of_public_keys(tx: &Tx<'_>) -> Result<Vec<Uuid>, DbError> {
    tx.all(
        "SELECT s.blob_id FROM api_keys k JOIN sessions s ON s.api_key_id = k.id \
         WHERE k.kind = 'public' AND s.status = 'uploading' AND s.storage = 'local'",
        &[],
        |row| columns::uuid(TABLE, row, 0),
    )
}

/// At most `limit` open sessions of keys that were revoked together with their sessions, with ids greater than `after`, ordered
/// by id.
pub fn list_of_revoked_keys(tx: &Tx<'_>, after: Uuid, limit: u32) -> Result<Vec<(Uuid, StorageKind)>, DbError> {
    tx.all(
        "SELECT s.id, s.storage FROM api_keys k JOIN sessions s ON s.api_key_id = k.id \
         WHERE k.revoked_at IS NOT NULL AND NOT k.keeps_sessions AND s.status = 'uploading' AND s.id > ?1 \
         ORDER BY s.id LIMIT ?2",
        &[&after.to_string(), &limit],
        |row| Ok((columns::uuid(TABLE, row, 0)?, columns::storage(TABLE, row, 1)?)),
    )
}

/// Whether [`list_of_revoked_keys`] would list any session.
pub fn any_of_revoked_keys(tx: &Tx<'_>) -> Result<bool, DbError> {
    let sql = "SELECT 1 FROM api_keys k WHERE k.revoked_at IS NOT NULL AND NOT k.keeps_sessions AND EXISTS \
               (SELECT 1 FROM sessions s WHERE s.api_key_id = k.id AND s.status = 'uploading') LIMIT 1";
    tx.exists(sql, &[])
}

/// Number of open sessions of a key.
pub fn count_of_key(tx: &Tx<'_>, api_key_id: Uuid) -> Result<u64, DbError> {
    let counted = tx.optional(
        "SELECT count(*) FROM sessions WHERE api_key_id = ?1 AND status = 'uploading'",
        &[&api_key_id.to_string()],
        |row| columns::size(TABLE, row, 0),
    )?;
    Ok(counted.unwrap_or_default())
}

/// At most `limit` open sessions on local storage whose parts were not verified in the storage epoch `epoch`, with ids greater
/// than `after`, ordered by id.
pub fn list_unverified(tx: &Tx<'_>, epoch: &str, after: Uuid, limit: u32) -> Result<Vec<Uuid>, DbError> {
    tx.all(
        "SELECT id FROM sessions WHERE status = 'uploading' AND storage = 'local' AND trusted_boot_id <> ?1 AND id > ?2 ORDER BY id LIMIT ?3",
        &[&epoch, &after.to_string(), &limit],
        |row| columns::uuid(TABLE, row, 0),
    )
}
