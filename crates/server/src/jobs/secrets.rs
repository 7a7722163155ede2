//! Follows rotations of secrets by a command next to the server, on any node.
//!
//! Invariant: a server signs with the newest value within two seconds of its commit, and accepts no value after its grace
//! period, even while the database is unavailable.

use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::db::secrets::{self, Secret};
use crate::db::{Db, DbError, Durability};
use crate::error_chain::error_chain;
use crate::service::part_urls::PartUrlSigner;
use crate::service::secret::SecretName;
use crate::service::webhook_signer::WebhookSigner;
use crate::turn::turn;

/// Between two looks, each of which reads three rows by primary key.
const SECRETS_CHECK_INTERVAL: Duration = Duration::from_secs(1);

/// Keeps the signers up to date.
pub(crate) struct SecretsFollower {
    /// The database.
    pub db: Db,
    /// Signs part URLs.
    pub part_url_signer: PartUrlSigner,
    /// Signs requests to webhooks.
    pub signer: WebhookSigner,
}

/// The secrets of the last look.
#[derive(Default)]
struct Known {
    part_urls: Option<Secret>,
    webhooks: Option<Secret>,
    is_failing: bool,
}

impl SecretsFollower {
    /// Runs until `stop`.
    pub(crate) async fn run(self, stop: CancellationToken) {
        let mut known = Known::default();
        loop {
            match turn("job.secrets", self.look(&mut known)).await {
                Some(Ok(())) => known.is_failing = false,
                // Logged once per failure of the database, not every second.
                Some(Err(error)) if !std::mem::replace(&mut known.is_failing, true) => {
                    tracing::warn!(error = %error_chain(&error), "the secrets cannot be read; the known values stay in use");
                }
                Some(Err(_)) | None => {}
            }
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(SECRETS_CHECK_INTERVAL) => {}
            }
        }
    }

    async fn look(&self, known: &mut Known) -> Result<(), DbError> {
        let found = self.db.read(|tx| {
            let find = |name: SecretName| secrets::find(tx, name.as_str());
            Ok((find(SecretName::PartUrls)?, find(SecretName::Webhooks)?, secrets::any_outlived(tx)?))
        });
        let (part_urls, webhooks, any_outlived) = found.await?;
        if let Some(secret) = part_urls.filter(|secret| known.part_urls.as_ref() != Some(secret)) {
            follow_part_urls(&self.part_url_signer, &secret);
            known.part_urls = Some(secret);
        }
        if let Some(secret) = webhooks.filter(|secret| known.webhooks.as_ref() != Some(secret)) {
            self.signer.rotate(secret.clone());
            known.webhooks = Some(secret);
        }
        if any_outlived {
            self.db.write_to_free(Durability::Process, secrets::forget_outlived).await?;
        }
        Ok(())
    }
}

/// Signs part URLs with this secret, and accepts those of its previous value during the grace period.
pub(crate) fn follow_part_urls(part_url_signer: &PartUrlSigner, secret: &Secret) {
    let previous = secret.previous.as_ref().map(|previous| (&previous.value, previous.until.unix_seconds()));
    part_url_signer.rotate(&secret.value, previous);
}
