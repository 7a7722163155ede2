//! The secrets that receivers of webhooks verify with, as commands show them.

use partway_server::db::{DbError, Timestamp, Tx};
use partway_server::service::webhook::{PreviousSecret, Signer};
use serde_json::json;
use uuid::Uuid;

use crate::{Failure, output};

/// A secret, and the one before it while that signs as well.
pub(super) struct ShownSecret {
    secret: String,
    /// Since when it signs; `None` if it did from the beginning.
    since: Option<Timestamp>,
    previous: Option<PreviousSecret>,
}

impl ShownSecret {
    /// The secret of a webhook, an API key, or a workspace.
    pub(super) fn of(tx: &Tx<'_>, id: Uuid) -> Result<Self, DbError> {
        let signer = Signer::open(tx)?;
        let previous = signer.previous_secret(id, Timestamp::now());
        Ok(Self { secret: signer.secret(id), since: signer.rotated_at(), previous })
    }

    /// The secret alone goes to the standard output, so that scripts can take it; how long which is good goes beside it.
    pub(super) fn print(self, as_json: bool) -> Result<(), Failure> {
        let Self { secret, since, previous } = self;
        if as_json {
            let previous = previous.map(|previous| (previous.secret, previous.until.to_iso8601()));
            let (previous_secret, previous_until) = previous.unzip();
            return Ok(output::json(&json!({"secret": secret, "since": since.map(Timestamp::to_iso8601),
                "previous_secret": previous_secret, "previous_until": previous_until}))?);
        }
        output::line(secret)?;
        if let Some(since) = since {
            output::say(format_args!("It signs since {}.", since.to_iso8601()));
        }
        if let Some(PreviousSecret { secret, until }) = previous {
            let until = until.to_iso8601();
            output::say(format_args!("Until {until} every message is also signed with the secret before: {secret}"));
        }
        Ok(())
    }
}
