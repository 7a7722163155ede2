//! Secrets of webhooks, and signatures by them (Standard Webhooks 1.0).
//!
//! A secret is not stored. It is the HMAC-SHA256 of the id of its webhook or API key, keyed by a secret of the database, so it
//! can be shown at any time.

use std::sync::{Arc, PoisonError, RwLock};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hmac::Mac;
use uuid::Uuid;

use super::secret::SecretName;
use crate::db::secrets::Secret;
use crate::db::{DbError, Timestamp, Tx};
use crate::hmac_keys::keyed;

/// Prefix of a secret before its base64 (Standard Webhooks 1.0).
const SECRET_PREFIX: &str = "whsec_";
/// Prefix of a signature by HMAC-SHA256 (Standard Webhooks 1.0).
const SIGNATURE_VERSION: &str = "v1";

/// Signs requests to webhooks. Clones share their secret.
#[derive(Clone)]
pub struct WebhookSigner(Arc<RwLock<Secret>>);

crate::opaque_debug::opaque_debug!(WebhookSigner);

/// The secret of a receiver before the last rotation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PreviousSecret {
    /// The secret.
    pub secret: String,
    /// End of the grace period: it signs nothing from then on.
    pub until: Timestamp,
}

impl WebhookSigner {
    /// Reads the secret from the database, which gets one on first use.
    ///
    /// # Errors
    /// When the database fails.
    pub fn open(tx: &Tx<'_>) -> Result<Self, DbError> {
        Ok(Self::new(SecretName::Webhooks.get(tx)?))
    }

    fn new(secret: Secret) -> Self {
        Self(Arc::new(RwLock::new(secret)))
    }

    /// Signs with this secret from now on, and with its previous value until the end of the grace period.
    pub fn rotate(&self, secret: Secret) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = secret;
    }

    fn current(&self) -> Secret {
        self.0.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Time of the last rotation; `None` if there was none.
    pub fn rotated_at(&self) -> Option<Timestamp> {
        self.current().rotated_at
    }

    /// The secret of the webhook, or of the API key whose upload named the URL.
    pub fn secret(&self, id: Uuid) -> String {
        format_secret(&key(&self.current().value, id))
    }

    /// The secret before the last rotation, if it still signs at `now`.
    pub fn previous_secret(&self, id: Uuid, now: Timestamp) -> Option<PreviousSecret> {
        let secret = self.current();
        let previous = secret.previous_at(now)?;
        Some(PreviousSecret { secret: format_secret(&key(&previous.value, id)), until: previous.until })
    }

    /// The value of `webhook-signature` (Standard Webhooks 1.0): a signature of the message's id, the time in Unix seconds and
    /// the body. During the grace period of a rotation there are two, the new one first; a receiver accepts the message if
    /// one of them matches.
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
    format!("{SIGNATURE_VERSION},{}", STANDARD.encode(mac.finalize().into_bytes()))
}

fn key(secret: &[u8; 32], id: Uuid) -> [u8; 32] {
    let mut mac = keyed(secret);
    mac.update(b"partway webhook v1\n");
    mac.update(id.as_bytes());
    mac.finalize().into_bytes().into()
}

fn format_secret(key: &[u8; 32]) -> String {
    format!("{SECRET_PREFIX}{}", STANDARD.encode(key))
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
        let signer = WebhookSigner::new(secret(1));
        let (one, other) = (Uuid::from_u128(1), Uuid::from_u128(2));
        assert_ne!(signer.secret(one), signer.secret(other));
        assert_eq!(signer.secret(one), signer.secret(one));
        let sign = |id, timestamp| signer.sign(id, "m", timestamp, "b");
        assert_ne!(sign(one, 1), sign(one, 2));
        assert_ne!(sign(one, 1), sign(other, 1));
        // A receiver with the secret computes the same signature.
        let receiver = Webhook::new(&signer.secret(one)).unwrap();
        assert_eq!(receiver.sign("m", 1, b"b").unwrap(), sign(one, 1));
    }

    #[test]
    fn a_message_is_signed_with_both_secrets_while_both_are_good() {
        let (signer, id) = (WebhookSigner::new(secret(1)), Uuid::from_u128(1));
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
