//! API keys. The database has only the SHA-256 of a key.

use uuid::Uuid;

use super::usage::Amount;
use crate::db::sql::Row;
use crate::db::sql::{DbError, Timestamp, Tx, columns};
pub use crate::model::KeyKind;
use crate::model::WorkspaceLimits;

const TABLE: &str = "api_keys";

/// Permissions of a public key, which are set when it is created. A private key may do everything in its workspace and has none of
/// these.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Permissions {
    /// It may replace files of other keys.
    pub may_replace: bool,
    /// Its uploads may name a URL that is notified of them.
    pub may_name_webhooks: bool,
    /// Each of its uploads gets a random prefix, requested or not.
    pub random_prefix: bool,
}

/// An API key, without the key itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ApiKey {
    /// Its id, which is not secret.
    pub id: Uuid,
    /// The workspace it opens.
    pub workspace_id: Uuid,
    /// That workspace's number.
    pub workspace_no: String,
    /// That workspace's own limits.
    pub limits: WorkspaceLimits,
    /// Its kind.
    pub kind: KeyKind,
    /// Permissions beyond its kind, if it is public.
    pub permissions: Permissions,
    /// Its open sessions, each with the full size of its file.
    pub sessions: Amount,
    /// When it was created.
    pub created_at: Timestamp,
    /// When it was revoked, if it was.
    pub revoked_at: Option<Timestamp>,
    /// Whether its open sessions go on after it was revoked.
    pub keeps_sessions: bool,
}

impl ApiKey {
    /// Whether it is a public key.
    pub fn is_public(&self) -> bool {
        self.kind == KeyKind::Public
    }

    /// Whether its uploads may replace files that were made with other keys.
    pub fn may_replace(&self) -> bool {
        self.kind == KeyKind::Private || self.permissions.may_replace
    }
}

macro_rules! select {
    ($rest:literal) => {
        concat!(
            "SELECT k.id, k.workspace_id, w.workspace_no, k.kind, k.created_at, k.revoked_at, w.storage_limit_bytes, \
             w.max_file_bytes, w.max_open_sessions, w.requests_per_second, k.may_replace, k.may_name_webhooks, k.random_prefix, \
             k.sessions_count, k.sessions_bytes, k.keeps_sessions FROM api_keys k JOIN workspaces w ON w.id = k.workspace_id ",
            $rest
        )
    };
}

fn kind(row: &Row<'_>, column: usize) -> Result<KeyKind, DbError> {
    let text = row.text(column)?;
    KeyKind::parse(&text).ok_or_else(|| DbError::Corrupt { table: TABLE, problem: format!("kind {text:?}") })
}

fn from_row(row: &Row<'_>) -> Result<ApiKey, DbError> {
    Ok(ApiKey {
        id: columns::uuid(TABLE, row, 0)?,
        workspace_id: columns::uuid(TABLE, row, 1)?,
        workspace_no: row.get(2)?,
        limits: WorkspaceLimits::from_row(row, 6)?,
        kind: kind(row, 3)?,
        created_at: row.get(4)?,
        revoked_at: row.get(5)?,
        permissions: Permissions {
            may_replace: row.get(10)?,
            may_name_webhooks: row.get(11)?,
            random_prefix: row.get(12)?,
        },
        sessions: Amount::from_row(row, 13)?,
        keeps_sessions: row.get(15)?,
    })
}

/// Adds a key.
pub fn insert(tx: &Tx<'_>, key: &ApiKey, key_sha256: &[u8; 32]) -> Result<(), DbError> {
    tx.execute(
        "INSERT INTO api_keys (id, workspace_id, kind, key_sha256, created_at, may_replace, may_name_webhooks, random_prefix) \
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
        &[
            &key.id.to_string(),
            &key.workspace_id.to_string(),
            &key.kind.as_str(),
            key_sha256,
            &key.created_at,
            &key.permissions.may_replace,
            &key.permissions.may_name_webhooks,
            &key.permissions.random_prefix,
        ],
    )?;
    Ok(())
}

/// The key with this SHA-256, revoked or not.
pub fn find_by_sha256(tx: &Tx<'_>, key_sha256: &[u8; 32]) -> Result<Option<ApiKey>, DbError> {
    tx.optional(select!("WHERE k.key_sha256 = ?1"), &[key_sha256], from_row)
}

/// The key with this id, revoked or not.
pub fn find(tx: &Tx<'_>, id: Uuid) -> Result<Option<ApiKey>, DbError> {
    tx.optional(select!("WHERE k.id = ?1"), &[&id.to_string()], from_row)
}

/// All keys of all workspaces, oldest first.
pub fn list(tx: &Tx<'_>) -> Result<Vec<ApiKey>, DbError> {
    tx.all(select!("ORDER BY k.created_at, k.id"), &[], from_row)
}

/// The oldest public key of the workspace that is not revoked.
pub fn first_public(tx: &Tx<'_>, workspace_id: Uuid) -> Result<Option<ApiKey>, DbError> {
    tx.optional(
        select!("WHERE k.workspace_id = ?1 AND k.kind = 'public' AND k.revoked_at IS NULL ORDER BY k.created_at, k.id LIMIT 1"),
        &[&workspace_id.to_string()],
        from_row,
    )
}

/// Keeps other transactions from opening sessions with public keys, in any workspace. Lock order: after the locks of sessions and of
/// workspaces; a transaction that has it waits for no other lock.
pub fn lock_public_sessions(tx: &Tx<'_>) -> Result<(), DbError> {
    // The row of their secret exists as long as such keys do, and never changes.
    tx.lock("SELECT 1 FROM secrets WHERE name = 'public-keys' /*FOR NO KEY UPDATE*/", &[])
}

/// The open sessions of all public keys.
pub fn public_sessions(tx: &Tx<'_>) -> Result<Amount, DbError> {
    let sql = "SELECT CAST(coalesce(sum(sessions_count), 0) AS BIGINT), CAST(coalesce(sum(sessions_bytes), 0) AS BIGINT) \
               FROM api_keys WHERE kind = 'public'";
    Ok(tx.optional(sql, &[], |row| Amount::from_row(row, 0))?.unwrap_or_default())
}

/// Revokes the key. With `keeps_sessions` its open sessions go on. Revoking it again can end sessions that were kept, and changes
/// nothing else.
pub fn revoke(tx: &Tx<'_>, id: Uuid, keeps_sessions: bool) -> Result<(), DbError> {
    tx.execute(
        "UPDATE api_keys SET keeps_sessions = CASE WHEN revoked_at IS NULL THEN ?3 ELSE keeps_sessions AND ?3 END, \
         revoked_at = coalesce(revoked_at, ?2) WHERE id = ?1",
        &[&id.to_string(), &tx.now()?, &keeps_sessions],
    )?;
    Ok(())
}

/// Whether the key was revoked together with its sessions.
pub fn is_ended(tx: &Tx<'_>, id: Uuid) -> Result<bool, DbError> {
    let sql = "SELECT 1 FROM api_keys WHERE id = ?1 AND revoked_at IS NOT NULL AND NOT keeps_sessions";
    tx.exists(sql, &[&id.to_string()])
}

/// Whether the key of the session was revoked together with its sessions. Two look-ups by primary key: every part request runs
/// this.
pub fn is_session_ended(tx: &Tx<'_>, session_id: Uuid) -> Result<bool, DbError> {
    let sql = "SELECT 1 FROM sessions s JOIN api_keys k ON k.id = s.api_key_id \
               WHERE s.id = ?1 AND k.revoked_at IS NOT NULL AND NOT k.keeps_sessions";
    tx.exists(sql, &[&session_id.to_string()])
}
