//! Keys that clients give to requests, so that repeating one does not do its work again.

use uuid::Uuid;

use crate::db::sql::{DbError, Timestamp, Tx, columns};

const TABLE: &str = "idempotency_keys";

/// What a key was used for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Used {
    /// SHA-256 of the request's body.
    pub request_sha256: [u8; 32],
    /// The session that the request started.
    pub session_id: Uuid,
}

/// What `idempotency_key` was used for by the holder of this API key, since `since`.
pub fn find(tx: &Tx<'_>, api_key_id: Uuid, idempotency_key: &str, since: Timestamp) -> Result<Option<Used>, DbError> {
    tx.optional(
        "SELECT request_sha256, session_id FROM idempotency_keys \
         WHERE api_key_id = ?1 AND idempotency_key = ?2 AND created_at > ?3",
        &[&api_key_id.to_string(), &idempotency_key, &since],
        |row| Ok(Used { request_sha256: row.get(0)?, session_id: columns::uuid(TABLE, row, 1)? }),
    )
}

/// Notes what the key is used for from now on.
pub fn insert(tx: &Tx<'_>, api_key_id: Uuid, idempotency_key: &str, used: &Used) -> Result<(), DbError> {
    tx.execute(
        "INSERT INTO idempotency_keys (api_key_id, idempotency_key, request_sha256, session_id, created_at) \
         VALUES (?1, ?2, ?3, ?4, ?5) ON CONFLICT (api_key_id, idempotency_key) DO UPDATE SET \
         request_sha256 = excluded.request_sha256, session_id = excluded.session_id, created_at = excluded.created_at",
        &[
            &api_key_id.to_string(),
            &idempotency_key,
            &used.request_sha256,
            &used.session_id.to_string(),
            &Timestamp::now(),
        ],
    )?;
    Ok(())
}

/// The key is free again.
pub fn delete(tx: &Tx<'_>, api_key_id: Uuid, idempotency_key: &str) -> Result<(), DbError> {
    tx.execute(
        "DELETE FROM idempotency_keys WHERE api_key_id = ?1 AND idempotency_key = ?2",
        &[&api_key_id.to_string(), &idempotency_key],
    )?;
    Ok(())
}

/// Whether there are keys from before `until`.
pub fn any_before(tx: &Tx<'_>, until: Timestamp) -> Result<bool, DbError> {
    tx.exists("SELECT 1 FROM idempotency_keys WHERE created_at <= ?1 LIMIT 1", &[&until])
}

/// Forgets at most `limit` keys from before `until`.
pub fn forget_before(tx: &Tx<'_>, until: Timestamp, limit: u32) -> Result<(), DbError> {
    tx.execute(
        "DELETE FROM idempotency_keys WHERE (api_key_id, idempotency_key) IN \
         (SELECT api_key_id, idempotency_key FROM idempotency_keys WHERE created_at <= ?1 LIMIT ?2)",
        &[&until, &limit],
    )?;
    Ok(())
}
