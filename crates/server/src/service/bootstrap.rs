//! What a data directory needs before the first request: secrets, a workspace, and its keys.

use super::key::{self, NewKey};
use super::workspace::create_workspace;
use crate::db::api_keys::KeyKind;
use crate::db::workspaces::{self, Workspace};
use crate::db::{Db, DbError, Durability, secrets};

/// Name of the secret that signs part URLs.
const PART_URL_SECRET: &str = "part-urls";

/// The secrets of a data directory.
#[derive(Clone)]
pub struct Secrets {
    /// Signs part URLs.
    pub part_urls: [u8; 32],
    /// Public keys are derived from it.
    pub public_keys: [u8; 32],
}

/// What the first start made. The keys are not known again later.
#[derive(Debug, Clone)]
pub struct FirstRun {
    /// The workspace.
    pub workspace: Workspace,
    /// Its private key.
    pub private_key: NewKey,
    /// Its public key.
    pub public_key: NewKey,
}

/// Makes what is missing. `FirstRun` only when there was no workspace.
///
/// # Errors
/// When the database fails.
pub async fn bootstrap(db: &Db) -> Result<(Secrets, Option<FirstRun>), DbError> {
    db.write_to_free(Durability::PowerLoss, |tx| {
        let secrets = Secrets {
            part_urls: secrets::get_or_insert(tx, PART_URL_SECRET, rand::random())?,
            public_keys: key::public_key_secret(tx)?,
        };
        if !workspaces::list(tx)?.is_empty() {
            return Ok((secrets, None));
        }
        let workspace = create_workspace(tx, "default")?;
        let private_key = key::create_key(tx, &workspace, KeyKind::Private)?;
        let public_key = key::create_key(tx, &workspace, KeyKind::Public)?;
        Ok((secrets, Some(FirstRun { workspace, private_key, public_key })))
    })
    .await
}
