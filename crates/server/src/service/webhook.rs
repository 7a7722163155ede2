//! Webhooks: subscriptions to the events of a workspace, and the secrets that sign what they are sent.
//!
//! Secrets are not stored: each is derived from the id of what it belongs to by HMAC-SHA256 with a secret of the database,
//! so it can be told again.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hmac::Mac;
use standardwebhooks::{Webhook, WebhookError};
use uuid::Uuid;

use super::event::EventKind;
use crate::db::webhooks;
use crate::db::{DbError, Timestamp, Tx, secrets};
use crate::mac::keyed;

/// Name of the secret from which the others are derived.
const SECRET: &str = "webhooks";
/// How secrets are written (Standard Webhooks 1.0): this, and base64.
const PREFIX: &str = "whsec_";

/// Signs what is sent to webhooks.
#[derive(Clone)]
pub struct Signer([u8; 32]);

impl Signer {
    /// With the secret of the database.
    ///
    /// # Errors
    /// When the database fails.
    pub fn open(tx: &Tx<'_>) -> Result<Self, DbError> {
        secrets::get_or_insert(tx, SECRET, rand::random()).map(Self)
    }

    fn key(&self, id: Uuid) -> [u8; 32] {
        let mut mac = keyed(&self.0);
        mac.update(b"partway webhook v1\n");
        mac.update(id.as_bytes());
        mac.finalize().into_bytes().into()
    }

    /// The secret of a webhook, or, for URLs that come with uploads, of a workspace.
    pub fn secret(&self, id: Uuid) -> String {
        format!("{PREFIX}{}", STANDARD.encode(self.key(id)))
    }

    /// The value of `webhook-signature` (Standard Webhooks 1.0): over the message's id, the time in Unix seconds, and the
    /// body.
    ///
    /// # Errors
    /// Never: the body is text.
    pub fn sign(&self, id: Uuid, message_id: &str, timestamp: i64, body: &str) -> Result<String, WebhookError> {
        Webhook::from_bytes(self.key(id).to_vec())?.sign(message_id, timestamp, body.as_bytes())
    }
}

/// Makes a webhook for these events of a workspace.
///
/// # Errors
/// When the database fails.
pub fn add(tx: &Tx<'_>, workspace_id: Uuid, url: String, events: &[EventKind]) -> Result<webhooks::Webhook, DbError> {
    let events = events.iter().map(|event| event.as_str().to_owned()).collect();
    let webhook = webhooks::Webhook { id: Uuid::now_v7(), workspace_id, url, events, created_at: Timestamp::now() };
    webhooks::insert(tx, &webhook)?;
    Ok(webhook)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_webhook_has_a_secret_of_its_own() {
        let signer = Signer([1; 32]);
        let (one, other) = (Uuid::from_u128(1), Uuid::from_u128(2));
        assert_ne!(signer.secret(one), signer.secret(other));
        assert_eq!(signer.secret(one), signer.secret(one));
        let sign = |id, timestamp| signer.sign(id, "m", timestamp, "b").unwrap();
        assert_ne!(sign(one, 1), sign(one, 2));
        assert_ne!(sign(one, 1), sign(other, 1));
        // Whoever has the secret gets the same.
        let receiver = Webhook::new(&signer.secret(one)).unwrap();
        assert_eq!(receiver.sign("m", 1, b"b").unwrap(), sign(one, 1));
    }
}
