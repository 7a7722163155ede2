//! Output of the secrets that receivers of webhooks verify with.

use partway_server::db::Timestamp;
use partway_server::service::webhook::WebhookSecret;
use partway_server::service::webhook_signer::PreviousSecret;
use serde_json::json;

use crate::{Failure, output};

/// Prints the secret alone to standard output, so that scripts can read it, and its validity to standard error.
pub(super) fn print_webhook_secret(found: WebhookSecret, as_json: bool) -> Result<(), Failure> {
    let WebhookSecret { secret, rotated_at, previous } = found;
    if as_json {
        let previous = previous.map(|previous| (previous.secret, previous.until.to_iso8601()));
        let (previous_secret, previous_until) = previous.unzip();
        return Ok(output::json(&json!({"secret": secret, "since": rotated_at.map(Timestamp::to_iso8601),
            "previous_secret": previous_secret, "previous_until": previous_until}))?);
    }
    output::line(secret)?;
    if let Some(rotated_at) = rotated_at {
        output::say(format_args!("This secret has signed since {}.", rotated_at.to_iso8601()));
    }
    if let Some(PreviousSecret { secret, until }) = previous {
        let until = until.to_iso8601();
        output::say(format_args!("Until {until} every message is also signed with the previous secret: {secret}"));
    }
    Ok(())
}
