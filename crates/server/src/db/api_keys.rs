//! API keys. Of a key only its SHA-256 is stored.

use uuid::Uuid;

use super::usage::WorkspaceLimits;
use super::value::Row;
use super::{DbError, Timestamp, Tx, columns};

const TABLE: &str = "api_keys";

/// What a key may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyKind {
    /// Everything in its workspace. `sk_…`
    Private,
    /// Start uploads, and work on those it started. Safe in a browser. `pk_…`
    Public,
}

impl KeyKind {
    /// The kind as it is stored and shown.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Private => "private",
            Self::Public => "public",
        }
    }

    /// How keys of this kind begin.
    pub fn prefix(self) -> &'static str {
        match self {
            Self::Private => "sk_",
            Self::Public => "pk_",
        }
    }
}

/// A key, without the key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ApiKey {
    /// Its id, which is no secret.
    pub id: Uuid,
    /// The workspace it opens.
    pub workspace_id: Uuid,
    /// That workspace's number.
    pub workspace_no: String,
    /// That workspace's own limits.
    pub limits: WorkspaceLimits,
    /// What it may do.
    pub kind: KeyKind,
    /// When it was made.
    pub created_at: Timestamp,
    /// Since when it opens nothing any more.
    pub revoked_at: Option<Timestamp>,
}

macro_rules! select {
    ($rest:literal) => {
        concat!(
            "SELECT k.id, k.workspace_id, w.workspace_no, k.kind, k.created_at, k.revoked_at, w.storage_limit_bytes, \
             w.max_file_bytes, w.max_open_sessions, w.requests_per_second FROM api_keys k JOIN workspaces w ON w.id = k.workspace_id ",
            $rest
        )
    };
}

fn from_row(row: &Row<'_>) -> Result<ApiKey, DbError> {
    let kind: String = row.get(3)?;
    Ok(ApiKey {
        id: columns::uuid(TABLE, row, 0)?,
        workspace_id: columns::uuid(TABLE, row, 1)?,
        workspace_no: row.get(2)?,
        limits: WorkspaceLimits::from_row(row, 6)?,
        kind: if kind == "public" { KeyKind::Public } else { KeyKind::Private },
        created_at: row.get(4)?,
        revoked_at: row.get(5)?,
    })
}

/// Adds a key.
pub fn insert(tx: &Tx<'_>, key: &ApiKey, key_sha256: &[u8; 32]) -> Result<(), DbError> {
    tx.execute(
        "INSERT INTO api_keys (id, workspace_id, kind, key_sha256, created_at) VALUES (?1, ?2, ?3, ?4, ?5)",
        &[&key.id.to_string(), &key.workspace_id.to_string(), &key.kind.as_str(), key_sha256, &key.created_at],
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

/// Revokes the key. Revoking it again changes nothing.
pub fn revoke(tx: &Tx<'_>, id: Uuid, now: Timestamp) -> Result<(), DbError> {
    tx.execute("UPDATE api_keys SET revoked_at = ?2 WHERE id = ?1 AND revoked_at IS NULL", &[&id.to_string(), &now])?;
    Ok(())
}
