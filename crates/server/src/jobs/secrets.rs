//! Takes up secrets that were rotated by a command beside the server, on whichever node that was.
//!
//! Invariant: a server signs with the newest value a second or two after it is in the database, and takes no value whose time
//! is over, even if the database is away.

use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::db::secrets::{self, Secret};
use crate::db::{Db, DbError, Durability};
use crate::service::part_urls::PartUrlSigner;
use crate::service::secret::SecretName;
use crate::service::webhook_signer::WebhookSigner;
use crate::turn::turn;

/// Between two looks: three rows by primary key.
const INTERVAL: Duration = Duration::from_secs(1);

/// Keeps what signs up to date.
pub struct SecretsFollower {
    /// The records.
    pub db: Db,
    /// Signs part URLs.
    pub part_url_signer: PartUrlSigner,
    /// Signs what webhooks are sent.
    pub signer: WebhookSigner,
}

/// The secrets found at the last look.
#[derive(Default)]
struct Known {
    part_urls: Option<Secret>,
    webhooks: Option<Secret>,
    is_failing: bool,
}

impl SecretsFollower {
    /// Runs until `stop`.
    pub async fn run(self, stop: CancellationToken) {
        let mut known = Known::default();
        loop {
            match turn("job.secrets", self.look(&mut known)).await {
                Some(Ok(())) => known.is_failing = false,
                // Said once, not every second for as long as the database is away.
                Some(Err(error)) if !std::mem::replace(&mut known.is_failing, true) => {
                    tracing::warn!(error = %crate::error_chain::error_chain(&error), "the secrets cannot be read; the known ones stay in use");
                }
                Some(Err(_)) | None => {}
            }
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(INTERVAL) => {}
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

/// Has part URLs signed with this secret, and those of the one before it taken for as long as that is good.
pub(crate) fn follow_part_urls(part_url_signer: &PartUrlSigner, secret: &Secret) {
    let previous = secret.previous.as_ref().map(|previous| (&previous.value, previous.until.unix_seconds()));
    part_url_signer.rotate(&secret.value, previous);
}
