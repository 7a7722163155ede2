//! Idempotency keys and the sessions they started. `service/upload/session/new_session.rs` compares requests with them.

use uuid::Uuid;

use crate::db::sql::{DbError, Timestamp, Tx, columns};

const TABLE: &str = "idempotency_keys";

/// The request for which a key was used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IdempotentRequest {
    /// SHA-256 of the request's body.
    pub request_sha256: [u8; 32],
    /// The session that the request started.
    pub session_id: Uuid,
}

/// The request for which `idempotency_key` was used with this API key after `since`.
pub fn find(
    tx: &Tx<'_>,
    api_key_id: Uuid,
    idempotency_key: &str,
    since: Timestamp,
) -> Result<Option<IdempotentRequest>, DbError> {
    tx.optional(
        "SELECT request_sha256, session_id FROM idempotency_keys \
         WHERE api_key_id = ?1 AND idempotency_key = ?2 AND created_at > ?3",
        &[&api_key_id.to_string(), &idempotency_key, &since],
        |row| Ok(IdempotentRequest { request_sha256: row.get(0)?, session_id: columns::uuid(TABLE, row, 1)? }),
    )
}

/// Records the request for which the key is used.
pub fn insert(tx: &Tx<'_>, api_key_id: Uuid, idempotency_key: &str, used: &IdempotentRequest) -> Result<(), DbError> {
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

/// Frees the key.
pub fn delete(tx: &Tx<'_>, api_key_id: Uuid, idempotency_key: &str) -> Result<(), DbError> {
    tx.execute(
        "DELETE FROM idempotency_keys WHERE api_key_id = ?1 AND idempotency_key = ?2",
        &[&api_key_id.to_string(), &idempotency_key],
    )?;
    Ok(())
}

/// Whether there are keys of `until` or before.
pub fn any_before(tx: &Tx<'_>, until: Timestamp) -> Result<bool, DbError> {
    tx.exists("SELECT 1 FROM idempotency_keys WHERE created_at <= ?1 LIMIT 1", &[&until])
}

/// Deletes at most `limit` keys of `until` or before.
pub fn forget_before(tx: &Tx<'_>, until: Timestamp, limit: u32) -> Result<(), DbError> {
    tx.execute(
        "DELETE FROM idempotency_keys WHERE (api_key_id, idempotency_key) IN \
         (SELECT api_key_id, idempotency_key FROM idempotency_keys WHERE created_at <= ?1 LIMIT ?2)",
        &[&until, &limit],
    )?;
    Ok(())
}
