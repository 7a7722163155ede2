//! The first start: creates the secrets, a workspace and its keys.

use std::io;

use super::key::{self, NewKey};
use super::secret::SecretName;
use super::workspace::create_workspace;
use crate::db::api_keys::KeyKind;
use crate::db::secrets::Secret;
use crate::db::workspaces::{self, Workspace};
use crate::db::{Db, DbError, Durability};
use crate::failpoint;

/// The secrets that a server reads at its start.
#[derive(Clone)]
pub struct ServerSecrets {
    /// Signs part URLs. Rotations after the start are followed by a job.
    pub part_urls: Secret,
    /// Derives public keys.
    pub public_keys: [u8; 32],
}

crate::opaque_debug::opaque_debug!(ServerSecrets);

/// The result of a first start. Only this value ever has the keys.
#[derive(Debug, Clone)]
pub struct FirstRun {
    /// The workspace.
    pub workspace: Workspace,
    /// Its private key.
    pub private_key: NewKey,
    /// Its public key.
    pub public_key: NewKey,
}

/// Creates the secrets, and in a database without a workspace also a workspace with its keys, which it answers.
///
/// `show` is given the keys before they are committed. If the process ends in between, the keys that were shown open nothing, and
/// the next start creates others. In the other order, keys could exist that nobody has seen.
///
/// # Errors
/// When the database fails, or the keys could not be shown; nothing is created then.
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
