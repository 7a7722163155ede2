//! The server's own secrets, and rotating them.
//!
//! After a rotation everything is signed with the new value, and, for a grace, what was signed with the value before is still
//! good. Running servers look for a new value every second (`jobs/secrets.rs`).

use crate::db::secrets::{self, Secret};
use crate::db::{DbError, Tx};

/// A secret of the server's own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SecretName {
    /// Signs the URLs of parts that this server receives.
    PartUrls,
    /// The secrets of webhooks are derived from it.
    Webhooks,
    /// Public keys are derived from it.
    PublicKeys,
}

impl SecretName {
    /// Every secret.
    pub const ALL: [Self; 3] = [Self::PartUrls, Self::Webhooks, Self::PublicKeys];

    /// The name that it is stored under and that people use.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::PartUrls => "part-urls",
            Self::Webhooks => "webhooks",
            Self::PublicKeys => "public-keys",
        }
    }

    /// Its purpose, in words.
    pub fn purpose(self) -> &'static str {
        match self {
            Self::PartUrls => "signs the URLs of parts that this server receives",
            Self::Webhooks => "derives the secrets of webhooks",
            Self::PublicKeys => "derives public keys",
        }
    }

    /// The secret, which is made if there is none.
    ///
    /// # Errors
    /// When the database fails.
    pub fn get(self, tx: &Tx<'_>) -> Result<Secret, DbError> {
        secrets::get_or_insert(tx, self.as_str(), rand::random())
    }
}

/// A secret that can be rotated. That of public keys cannot: the keys are in pages of others, and would all be unknown at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rotatable {
    /// [`SecretName::PartUrls`]
    PartUrls,
    /// [`SecretName::Webhooks`]
    Webhooks,
}

impl Rotatable {
    /// Its name.
    pub fn name(self) -> SecretName {
        match self {
            Self::PartUrls => SecretName::PartUrls,
            Self::Webhooks => SecretName::Webhooks,
        }
    }

    /// Gives the secret a new value; the one before stays good for `grace_seconds`. One that was good from an earlier rotation
    /// is not any more.
    ///
    /// # Errors
    /// When the database fails.
    pub fn rotate(self, tx: &Tx<'_>, grace_seconds: u64) -> Result<Secret, DbError> {
        self.name().get(tx)?;
        secrets::rotate(tx, self.name().as_str(), rand::random(), grace_seconds)
    }
}
