//! API keys: making them, and telling who holds one.
//!
//! Of a key only its SHA-256 is stored. A private key is random and known only to whoever was shown it. A
//! public key is no secret and start must answer it, so it is derived from the key's id by HMAC-SHA256 with a
//! secret of the database: it can be told again although it is not stored.

use hmac::Mac;
use rand::RngExt;
use rand::distr::Alphanumeric;
use sha2::{Digest, Sha256};
use uuid::Uuid;

use super::secret::SecretName;
use crate::db::api_keys::{self, ApiKey, KeyKind, Permissions};
use crate::db::usage::Amount;
use crate::db::workspaces::Workspace;
use crate::db::{Db, DbError, Timestamp, Tx};
use crate::hmac_keys::{keyed, to_hex};
use crate::model::WorkspaceLimits;

/// Characters of a private key behind its prefix: 40 of 62, so 238 bits.
const PRIVATE_CHARS: usize = 40;
/// Bytes of a public key behind its prefix, written as hexadecimal digits: 160 bits.
const PUBLIC_BYTES: usize = 20;

/// Whoever sent a request: the holder of a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// The key.
    pub api_key_id: Uuid,
    /// Its workspace.
    pub workspace_id: Uuid,
    /// That workspace's number.
    pub workspace_no: String,
    /// That workspace's own limits.
    pub limits: WorkspaceLimits,
    /// What it may do.
    pub kind: KeyKind,
    /// Permissions beyond its kind, if it is public.
    pub permissions: Permissions,
}

impl Identity {
    /// Whether the key is one that strangers may have.
    pub fn is_public(&self) -> bool {
        self.kind == KeyKind::Public
    }
}

/// A key that was just made, and the only time it is known.
#[derive(Debug, Clone)]
pub struct NewKey {
    /// What was stored.
    pub stored: ApiKey,
    /// The key itself.
    pub key: String,
}

/// Makes a key for the workspace.
///
/// # Errors
/// When the database fails.
pub fn create_key(tx: &Tx<'_>, workspace: &Workspace, kind: KeyKind) -> Result<NewKey, DbError> {
    create(tx, workspace, kind, Permissions::default())
}

/// Makes a public key for the workspace, which may do more than others.
///
/// # Errors
/// When the database fails.
pub fn create_public_key(tx: &Tx<'_>, workspace: &Workspace, permissions: Permissions) -> Result<NewKey, DbError> {
    create(tx, workspace, KeyKind::Public, permissions)
}

fn create(tx: &Tx<'_>, workspace: &Workspace, kind: KeyKind, permissions: Permissions) -> Result<NewKey, DbError> {
    let new = draw_key(tx, workspace, kind, permissions)?;
    store_key(tx, &new)?;
    Ok(new)
}

/// A key for the workspace that opens nothing until it is [stored](store_key): whoever draws one can show it before.
///
/// # Errors
/// When the database fails.
pub fn draw_key(
    tx: &Tx<'_>,
    workspace: &Workspace,
    kind: KeyKind,
    permissions: Permissions,
) -> Result<NewKey, DbError> {
    let stored = ApiKey {
        id: Uuid::now_v7(),
        workspace_id: workspace.id,
        workspace_no: workspace.workspace_no.clone(),
        limits: WorkspaceLimits::default(),
        kind,
        permissions,
        sessions: Amount::default(),
        created_at: Timestamp::now(),
        revoked_at: None,
        keeps_sessions: false,
    };
    let key = match kind {
        KeyKind::Private => {
            let random: String = rand::rng().sample_iter(Alphanumeric).take(PRIVATE_CHARS).map(char::from).collect();
            format!("{}{random}", kind.prefix())
        }
        KeyKind::Public => public_key(&public_key_secret(tx)?, stored.id),
    };
    Ok(NewKey { stored, key })
}

/// Stores a key that was drawn: it opens its workspace from this transaction on.
///
/// # Errors
/// When the database fails.
pub fn store_key(tx: &Tx<'_>, new: &NewKey) -> Result<(), DbError> {
    api_keys::insert(tx, &new.stored, &sha256(&new.key))
}

/// The secret from which public keys are derived.
///
/// # Errors
/// When the database fails.
pub fn public_key_secret(tx: &Tx<'_>) -> Result<[u8; 32], DbError> {
    SecretName::PublicKeys.get(tx).map(|secret| secret.value)
}

/// The public key with this id.
pub fn public_key(secret: &[u8; 32], api_key_id: Uuid) -> String {
    let mut mac = keyed(secret);
    mac.update(b"partway public key v1\n");
    mac.update(api_key_id.as_bytes());
    let digest = mac.finalize().into_bytes();
    format!("{}{}", KeyKind::Public.prefix(), to_hex(&digest[..PUBLIC_BYTES]))
}

/// Who holds `key`; `None` when nobody does, or it is revoked. Asks the database every time, so that a
/// revocation by another process counts at once.
///
/// # Errors
/// When the database fails.
pub async fn identify(db: &Db, key: &str) -> Result<Option<Identity>, DbError> {
    let key_sha256 = sha256(key);
    let found = db.read(move |tx| api_keys::find_by_sha256(tx, &key_sha256)).await?;
    Ok(found.filter(|key| key.revoked_at.is_none()).map(|key| Identity {
        api_key_id: key.id,
        workspace_id: key.workspace_id,
        workspace_no: key.workspace_no,
        limits: key.limits,
        kind: key.kind,
        permissions: key.permissions,
    }))
}

/// Revokes the key that is given by its id or as itself; `None` when there is none. Without `keeps_sessions` its uploads end
/// with it: its part URLs are refused from this transaction on, and a running server ends its sessions (`upload/revoked.rs`).
///
/// # Errors
/// When the database fails.
pub fn revoke_key(tx: &Tx<'_>, id_or_key: &str, keeps_sessions: bool) -> Result<Option<ApiKey>, DbError> {
    let Some(key) = find_key(tx, id_or_key)? else { return Ok(None) };
    api_keys::revoke(tx, key.id, keeps_sessions)?;
    api_keys::find(tx, key.id)
}

/// The key that is given by its id or as itself, revoked or not.
///
/// # Errors
/// When the database fails.
pub fn find_key(tx: &Tx<'_>, id_or_key: &str) -> Result<Option<ApiKey>, DbError> {
    match Uuid::try_parse(id_or_key) {
        Ok(id) => api_keys::find(tx, id),
        Err(_) => api_keys::find_by_sha256(tx, &sha256(id_or_key)),
    }
}

fn sha256(key: &str) -> [u8; 32] {
    Sha256::digest(key).into()
}
