//! What a data directory needs before the first request: secrets, a workspace, and its keys.

use std::io;

use super::key::{self, NewKey};
use super::secret::SecretName;
use super::workspace::create_workspace;
use crate::db::api_keys::KeyKind;
use crate::db::secrets::Secret;
use crate::db::workspaces::{self, Workspace};
use crate::db::{Db, DbError, Durability};
use crate::failpoint;

/// The secrets of a data directory.
#[derive(Clone)]
pub struct ServerSecrets {
    /// Signs part URLs, as it was at the start.
    pub part_urls: Secret,
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
/// `show` shows somebody the keys before they are committed: a process that ends in between has shown keys that open
/// nothing, and the next start makes others. After the commit it could end with keys that nobody has ever seen.
///
/// # Errors
/// When the database fails, or the keys could not be shown; nothing has been made then.
pub async fn bootstrap(
    db: &Db,
    show: impl Fn(&FirstRun) -> io::Result<()> + Clone + Send + 'static,
) -> Result<(ServerSecrets, Option<FirstRun>), DbError> {
    db.write_to_free(Durability::PowerLoss, move |tx| {
        let secrets =
            ServerSecrets { part_urls: SecretName::PartUrls.get(tx)?, public_keys: key::public_key_secret(tx)? };
        if !workspaces::list(tx)?.is_empty() {
            return Ok((secrets, None));
        }
        let workspace = create_workspace(tx, "default")?;
        let private_key = key::create_key(tx, &workspace, KeyKind::Private)?;
        let public_key = key::create_key(tx, &workspace, KeyKind::Public)?;
        let first_run = FirstRun { workspace, private_key, public_key };
        show(&first_run).map_err(|source| DbError::Io { path: "the keys could not be shown".to_owned(), source })?;
        failpoint::hit("bootstrap.shown");
        Ok((secrets, Some(first_run)))
    })
    .await
}
