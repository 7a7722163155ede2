//! Webhooks: subscriptions to the events of a workspace, and the secrets that sign what they are sent.
//!
//! Secrets are not stored: each is derived from the id of what it belongs to by HMAC-SHA256 with a secret of the database,
//! so it can be told again.

use std::sync::{Arc, PoisonError, RwLock};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hmac::Mac;
use uuid::Uuid;

use super::event::EventKind;
use super::secret::SecretName;
use crate::db::secrets::Secret;
use crate::db::webhooks;
use crate::db::{DbError, Timestamp, Tx};
use crate::hmac_keys::keyed;

/// How secrets are written (Standard Webhooks 1.0): this, and base64.
const PREFIX: &str = "whsec_";
/// The kind of signature that goes with secrets of this kind: HMAC-SHA256.
const VERSION: &str = "v1";

/// Signs what is sent to webhooks. Clones share their secret.
#[derive(Clone)]
pub struct Signer(Arc<RwLock<Secret>>);

/// A secret that receivers verify with, and how long it is good.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PreviousSecret {
    /// The secret.
    pub secret: String,
    /// From when on it signs nothing.
    pub until: Timestamp,
}

impl Signer {
    /// With the secret of the database.
    ///
    /// # Errors
    /// When the database fails.
    pub fn open(tx: &Tx<'_>) -> Result<Self, DbError> {
        Ok(Self::new(SecretName::Webhooks.get(tx)?))
    }

    fn new(secret: Secret) -> Self {
        Self(Arc::new(RwLock::new(secret)))
    }

    /// Signs with this secret from now on, and with the one before it for as long as that is good.
    pub fn rotate(&self, secret: Secret) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = secret;
    }

    fn current(&self) -> Secret {
        self.0.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Since when the present secrets are what they are; `None` if they were never rotated.
    pub fn rotated_at(&self) -> Option<Timestamp> {
        self.current().rotated_at
    }

    /// The secret of a webhook; or, for URLs that come with uploads, of the upload's API key.
    pub fn secret(&self, id: Uuid) -> String {
        written(&key(&self.current().value, id))
    }

    /// The same before the last rotation, if it is still good at `now`.
    pub fn previous_secret(&self, id: Uuid, now: Timestamp) -> Option<PreviousSecret> {
        let secret = self.current();
        let previous = secret.previous_at(now)?;
        Some(PreviousSecret { secret: written(&key(&previous.value, id)), until: previous.until })
    }

    /// The value of `webhook-signature` (Standard Webhooks 1.0): over the message's id, the time in Unix seconds, and the
    /// body. After a rotation there are two for a while, the new one first: a receiver takes the message if one fits.
    pub fn sign(&self, id: Uuid, message_id: &str, timestamp: i64, body: &str) -> String {
        let secret = self.current();
        let message = format!("{message_id}.{timestamp}.{body}");
        let signature = signature(&key(&secret.value, id), &message);
        match secret.previous_at(Timestamp::now()) {
            Some(previous) => format!("{signature} {}", self::signature(&key(&previous.value, id), &message)),
            None => signature,
        }
    }
}

fn signature(key: &[u8; 32], message: &str) -> String {
    let mut mac = keyed(key);
    mac.update(message.as_bytes());
    format!("{VERSION},{}", STANDARD.encode(mac.finalize().into_bytes()))
}

fn key(secret: &[u8; 32], id: Uuid) -> [u8; 32] {
    let mut mac = keyed(secret);
    mac.update(b"partway webhook v1\n");
    mac.update(id.as_bytes());
    mac.finalize().into_bytes().into()
}

fn written(key: &[u8; 32]) -> String {
    format!("{PREFIX}{}", STANDARD.encode(key))
}

/// Makes a webhook for these events of a workspace.
///
/// # Errors
/// When the database fails.
pub fn add(tx: &Tx<'_>, workspace_id: Uuid, url: String, events: &[EventKind]) -> Result<webhooks::Webhook, DbError> {
    let webhook = draw(workspace_id, url, events);
    webhooks::insert(tx, &webhook)?;
    Ok(webhook)
}

/// A webhook that is told nothing until it is inserted: whoever draws one can show its secret before.
pub fn draw(workspace_id: Uuid, url: String, events: &[EventKind]) -> webhooks::Webhook {
    let events = events.iter().map(|event| event.as_str().to_owned()).collect();
    webhooks::Webhook {
        id: Uuid::now_v7(),
        workspace_id,
        url,
        events,
        created_at: Timestamp::now(),
        events_forgotten: 0,
    }
}

#[cfg(test)]
mod tests {
    use standardwebhooks::Webhook;

    use super::*;
    use crate::db::secrets::PreviousValue;

    fn secret(byte: u8) -> Secret {
        Secret { value: [byte; 32], rotated_at: None, previous: None }
    }

    #[test]
    fn every_webhook_has_a_secret_of_its_own() {
        let signer = Signer::new(secret(1));
        let (one, other) = (Uuid::from_u128(1), Uuid::from_u128(2));
        assert_ne!(signer.secret(one), signer.secret(other));
        assert_eq!(signer.secret(one), signer.secret(one));
        let sign = |id, timestamp| signer.sign(id, "m", timestamp, "b");
        assert_ne!(sign(one, 1), sign(one, 2));
        assert_ne!(sign(one, 1), sign(other, 1));
        // Whoever has the secret gets the same.
        let receiver = Webhook::new(&signer.secret(one)).unwrap();
        assert_eq!(receiver.sign("m", 1, b"b").unwrap(), sign(one, 1));
    }

    #[test]
    fn a_message_is_signed_with_both_secrets_while_both_are_good() {
        let (signer, id) = (Signer::new(secret(1)), Uuid::from_u128(1));
        let old = signer.secret(id);
        let until = Timestamp::now().plus_seconds(60);
        let previous = |until| Some(PreviousValue { value: [1; 32], until });
        signer.rotate(Secret { previous: previous(until), ..secret(2) });
        let new = signer.secret(id);
        assert_eq!(signer.previous_secret(id, Timestamp::now()), Some(PreviousSecret { secret: old.clone(), until }));
        let expected = [&new, &old].map(|secret| Webhook::new(secret).unwrap().sign("m", 1, b"b").unwrap()).join(" ");
        assert_eq!(signer.sign(id, "m", 1, "b"), expected);
        signer.rotate(Secret { previous: previous(Timestamp::now()), ..secret(2) });
        assert_eq!(signer.sign(id, "m", 1, "b"), Webhook::new(&new).unwrap().sign("m", 1, b"b").unwrap());
        assert_eq!(signer.previous_secret(id, Timestamp::now()), None);
    }
}
