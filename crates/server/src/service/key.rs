//! API keys: creating, listing and revoking them, and identifying their holders.
//!
//! The database has only the SHA-256 of a key. A private key is random and is shown once. A public key is no secret, and start
//! answers it, so it is derived: HMAC-SHA256 of the key's id, keyed by a secret of the database.

use std::io;
use std::time::{Duration, Instant};

use hmac::Mac;
use rand::RngExt;
use rand::distr::Alphanumeric;
use sha2::{Digest, Sha256};
use uuid::Uuid;

use super::admin_error::AdminError;
use super::secret::SecretName;
use super::webhook::WebhookSecret;
use super::workspace::choose;
use crate::db::api_keys::{self, ApiKey, KeyKind, Permissions};
use crate::db::usage::Amount;
use crate::db::workspaces::Workspace;
use crate::db::{Db, DbError, Durability, Timestamp, Tx, sessions};
use crate::hmac_keys::{keyed, to_hex};
use crate::model::WorkspaceLimits;

/// Random characters of a private key after its prefix: 40 of 62, so 238 bits.
const PRIVATE_KEY_CHARS: usize = 40;
/// Bytes of a public key after its prefix, written as hexadecimal digits: 160 bits.
const PUBLIC_KEY_BYTES: usize = 20;
/// Between two looks at the open sessions of a revoked key.
const ENDING_POLL_INTERVAL: Duration = Duration::from_millis(100);

/// The holder of the key that came with a request.
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
    /// Its kind, which decides the operations it may call.
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

/// A new key. Only this value ever has the key itself.
#[derive(Debug, Clone)]
pub struct NewKey {
    /// The row.
    pub stored: ApiKey,
    /// The key.
    pub key: String,
}

/// The keys of one database.
#[derive(Debug, Clone)]
pub struct Keys {
    db: Db,
}

impl Keys {
    /// The keys of this database.
    pub fn new(db: Db) -> Self {
        Self { db }
    }

    /// The holder of `key`; `None` when the key is unknown or revoked. Reads the database every time, so that a revocation by
    /// another process takes effect at once.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn identify(&self, key: &str) -> Result<Option<Identity>, DbError> {
        let key_sha256 = sha256(key);
        let found = self.db.read(move |tx| api_keys::find_by_sha256(tx, &key_sha256)).await?;
        Ok(found.filter(|key| key.revoked_at.is_none()).map(|key| Identity {
            api_key_id: key.id,
            workspace_id: key.workspace_id,
            workspace_no: key.workspace_no,
            limits: key.limits,
            kind: key.kind,
            permissions: key.permissions,
        }))
    }

    /// All keys, revoked ones too, oldest first.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn list(&self) -> Result<Vec<ApiKey>, DbError> {
        self.db.read(api_keys::list).await
    }

    /// Creates a key for the workspace with the number `workspace`; without a number, for the only workspace. `show` is given
    /// the key before it is stored.
    ///
    /// # Errors
    /// [`AdminError::UnknownWorkspace`], [`AdminError::WorkspaceNotNamed`]. [`AdminError::NotShown`] and
    /// [`AdminError::NotStored`]: there is no new key then.
    pub async fn create(
        &self,
        workspace: Option<String>,
        kind: KeyKind,
        permissions: Permissions,
        show: impl FnOnce(&NewKey) -> io::Result<()>,
    ) -> Result<NewKey, AdminError> {
        // Writes the secret of public keys where there is none yet.
        let drawn = self.db.write(Durability::PowerLoss, move |tx| match choose(tx, workspace.as_deref())? {
            Ok(workspace) => draw_key(tx, &workspace, kind, permissions).map(Ok),
            Err(refused) => Ok(Err(refused)),
        });
        let new = drawn.await??;
        show(&new).map_err(|source| {
            let consequence = "no key was made, because it could not be shown";
            AdminError::NotShown { consequence, source }
        })?;
        let stored = new.clone();
        let stored = self.db.write(Durability::PowerLoss, move |tx| store_key(tx, &stored)).await;
        stored.map_err(|source| {
            let consequence = "the key that was shown opens nothing, because it could not be stored";
            AdminError::NotStored { consequence, source }
        })?;
        Ok(new)
    }

    /// Revokes the key given by its id or by itself; revoking it again changes nothing. Unless `keeps_sessions`, its uploads
    /// end: their part URLs are refused from this transaction on, and a running server ends the sessions (`jobs/revoked.rs`).
    /// Works on a full disk.
    ///
    /// # Errors
    /// [`AdminError::UnknownKey`].
    pub async fn revoke(&self, id_or_key: String, keeps_sessions: bool) -> Result<ApiKey, AdminError> {
        let revoke = move |tx: &Tx<'_>| revoke_key(tx, &id_or_key, keeps_sessions);
        self.db.write_to_free(Durability::PowerLoss, revoke).await?.ok_or(AdminError::UnknownKey)
    }

    /// The number of open sessions of a key, once it is 0 or `patience` is over.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn open_sessions(&self, api_key_id: Uuid, patience: Duration) -> Result<u64, DbError> {
        let deadline = Instant::now() + patience;
        loop {
            let open = self.db.read(move |tx| sessions::count_of_key(tx, api_key_id)).await?;
            if open == 0 || Instant::now() >= deadline {
                return Ok(open);
            }
            tokio::time::sleep(ENDING_POLL_INTERVAL).await;
        }
    }

    /// The secret that signs requests to the `webhook_url` of uploads of this key, which is given by its id or by itself.
    ///
    /// # Errors
    /// [`AdminError::UnknownKey`].
    pub async fn webhook_secret(&self, id_or_key: String) -> Result<WebhookSecret, AdminError> {
        // Writes the secret of webhooks where there is none yet.
        let found = self.db.write(Durability::PowerLoss, move |tx| match find_key(tx, &id_or_key)? {
            Some(key) => WebhookSecret::of(tx, key.id).map(Some),
            None => Ok(None),
        });
        found.await?.ok_or(AdminError::UnknownKey)
    }
}

/// Creates a key within a transaction.
///
/// # Errors
/// When the database fails.
pub fn create_key(tx: &Tx<'_>, workspace: &Workspace, kind: KeyKind) -> Result<NewKey, DbError> {
    create(tx, workspace, kind, Permissions::default())
}

/// Creates a public key with further permissions within a transaction.
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

/// A key that opens nothing until it is [stored](store_key).
fn draw_key(tx: &Tx<'_>, workspace: &Workspace, kind: KeyKind, permissions: Permissions) -> Result<NewKey, DbError> {
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
            let random: String =
                rand::rng().sample_iter(Alphanumeric).take(PRIVATE_KEY_CHARS).map(char::from).collect();
            format!("{}{random}", kind.prefix())
        }
        KeyKind::Public => public_key(&public_key_secret(tx)?, stored.id),
    };
    Ok(NewKey { stored, key })
}

/// Stores a key that was drawn. It opens its workspace once the transaction is committed.
fn store_key(tx: &Tx<'_>, new: &NewKey) -> Result<(), DbError> {
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
    format!("{}{}", KeyKind::Public.prefix(), to_hex(&digest[..PUBLIC_KEY_BYTES]))
}

/// [`Keys::revoke`] within a transaction; `None` when there is no such key.
///
/// # Errors
/// When the database fails.
pub fn revoke_key(tx: &Tx<'_>, id_or_key: &str, keeps_sessions: bool) -> Result<Option<ApiKey>, DbError> {
    let Some(key) = find_key(tx, id_or_key)? else { return Ok(None) };
    api_keys::revoke(tx, key.id, keeps_sessions)?;
    api_keys::find(tx, key.id)
}

/// The key given by its id or by itself, revoked or not.
fn find_key(tx: &Tx<'_>, id_or_key: &str) -> Result<Option<ApiKey>, DbError> {
    match Uuid::try_parse(id_or_key) {
        Ok(id) => api_keys::find(tx, id),
        Err(_) => api_keys::find_by_sha256(tx, &sha256(id_or_key)),
    }
}

fn sha256(key: &str) -> [u8; 32] {
    Sha256::digest(key).into()
}
