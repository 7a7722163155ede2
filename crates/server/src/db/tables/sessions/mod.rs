//! Upload sessions.

mod answer;
mod end;
mod lists;
mod row;
mod store_claims;

use uuid::Uuid;

use self::end::count_one;
pub use self::end::{any_ended_before, complete, delete, end, forget_ended_before};
pub use self::lists::{
    ListedSession, any_of_revoked_keys, count, count_of_key, list, list_blobs_of_public_keys, list_of_revoked_keys,
    list_overdue, list_unverified,
};
use self::row::TABLE;
pub use self::row::{Session, find, find_by_blob, find_locked};
pub use self::store_claims::{Claim, claim, note_claimed_complete, note_complete, release, renew, replace_blob};
use crate::db::sql::{DbError, Timestamp, Tx, columns};
pub use crate::model::SessionStatus as Status;

/// Adds a session.
pub fn insert(tx: &Tx<'_>, session: &Session) -> Result<(), DbError> {
    let metadata = session.metadata.as_ref().map(|metadata| columns::to_json(TABLE, metadata)).transpose()?;
    tx.execute(
        "INSERT INTO sessions (id, workspace_id, api_key_id, status, file_id, blob_id, file_name, folder, size_bytes, \
         part_size_bytes, mime_type, tags, metadata, custom_id, created_at, expires_at, trusted_boot_id, declared_hash, \
         storage, webhook_url, ttl_seconds) \
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18, ?19, ?20, ?21)",
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
            &columns::size_to_sql(session.ttl_seconds),
        ],
    )?;
    count_one(tx, session, 1)
}

/// Replaces the store's multipart upload `before`, which takes the parts, by `now`. False when another node replaced it, or the
/// session has ended.
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

/// Extends the session to `expires_at`, if that is later than it expires now, with a life of at least `ttl_seconds` from then on.
/// False if it is not uploading.
pub fn extend(tx: &Tx<'_>, id: Uuid, expires_at: Timestamp, ttl_seconds: u64) -> Result<bool, DbError> {
    let changed = tx.execute(
        "UPDATE sessions SET expires_at = CASE WHEN expires_at < ?2 THEN ?2 ELSE expires_at END, \
         ttl_seconds = CASE WHEN ttl_seconds < ?3 THEN ?3 ELSE ttl_seconds END WHERE id = ?1 AND status = 'uploading'",
        &[&id.to_string(), &expires_at, &columns::size_to_sql(ttl_seconds)],
    )?;
    Ok(changed == 1)
}

/// Extends a session that is not overdue to `expires_at`, because a part arrives. The present end stays noted the first time. Answers
/// that note; `None` if nothing was changed.
pub fn renew_by_part(tx: &Tx<'_>, id: Uuid, expires_at: Timestamp) -> Result<Option<Timestamp>, DbError> {
    let changed = tx.execute(
        "UPDATE sessions SET renewed_from = coalesce(renewed_from, expires_at), expires_at = ?2 \
         WHERE id = ?1 AND status = 'uploading' AND expires_at > ?3 AND expires_at < ?2",
        &[&id.to_string(), &expires_at, &Timestamp::now()],
    )?;
    if changed == 0 {
        return Ok(None);
    }
    Ok(find(tx, id)?.and_then(|session| session.renewed_from))
}

/// Locks the open sessions of a workspace whose files go to this folder or below it, before the workspace itself is locked.
pub fn lock_below(tx: &Tx<'_>, workspace_id: Uuid, folder: &str) -> Result<(), DbError> {
    tx.lock(
        "SELECT 1 FROM sessions WHERE workspace_id = ?1 AND status = 'uploading' \
         AND (folder = ?2 OR (folder > ?3 AND folder < ?4)) ORDER BY id /*FOR UPDATE*/",
        &[&workspace_id.to_string(), &folder, &format!("{folder}/"), &format!("{folder}0")],
    )
}

/// Moves the open sessions whose files go to the folder `before` or below it, to `now`. The workspace must be locked. A session that is
/// being published in this moment keeps its folder: waiting for it would be a deadlock.
pub fn follow_folder(tx: &Tx<'_>, workspace_id: Uuid, before: &str, now: &str) -> Result<(), DbError> {
    let characters = i64::try_from(before.chars().count()).unwrap_or(i64::MAX);
    tx.execute(
        "UPDATE sessions SET folder = CAST(?5 AS TEXT) || substr(folder, CAST(CAST(?6 AS BIGINT) AS INTEGER)) \
         WHERE id IN (SELECT id FROM sessions WHERE workspace_id = ?1 AND status = 'uploading' \
         AND (folder = ?2 OR (folder > ?3 AND folder < ?4)) /*FOR UPDATE SKIP LOCKED*/)",
        &[&workspace_id.to_string(), &before, &format!("{before}/"), &format!("{before}0"), &now, &(characters + 1)],
    )?;
    Ok(())
}

/// Records that the parts of the session are intact in this storage epoch.
pub fn set_verified_in_epoch(tx: &Tx<'_>, id: Uuid, epoch: &str) -> Result<(), DbError> {
    tx.execute("UPDATE sessions SET trusted_boot_id = ?2 WHERE id = ?1", &[&id.to_string(), &epoch])?;
    Ok(())
}
