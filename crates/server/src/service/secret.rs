//! The secrets of the server itself, and their rotation.
//!
//! After a rotation the new value signs. Signatures of the previous value stay valid for a grace period. Running servers
//! check for a new value every second (`jobs/secrets.rs`).

use crate::db::secrets::{self, Secret};
use crate::db::{Db, DbError, Durability, Timestamp, Tx};

/// A secret of the server itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SecretName {
    /// Signs the URLs of parts that this server receives.
    PartUrls,
    /// Key of the HMAC that derives the secrets of webhooks.
    Webhooks,
    /// Key of the HMAC that derives public keys.
    PublicKeys,
}

impl SecretName {
    /// Every secret.
    pub const ALL: [Self; 3] = [Self::PartUrls, Self::Webhooks, Self::PublicKeys];

    /// Its name in the database and on the command line.
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

    /// The secret, which is created on first use.
    ///
    /// # Errors
    /// When the database fails.
    pub fn get(self, tx: &Tx<'_>) -> Result<Secret, DbError> {
        secrets::get_or_insert(tx, self.as_str(), rand::random())
    }
}

/// A secret that can be rotated. That of public keys cannot: web pages contain the keys, and all of them would become invalid
/// at once.
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

    /// Replaces the value within a transaction. The previous value stays valid for `grace_seconds`; one from an earlier
    /// rotation becomes invalid now.
    ///
    /// # Errors
    /// When the database fails.
    pub fn rotate(self, tx: &Tx<'_>, grace_seconds: u64) -> Result<Secret, DbError> {
        self.name().get(tx)?;
        secrets::rotate(tx, self.name().as_str(), rand::random(), grace_seconds)
    }
}

/// The secrets of one database.
#[derive(Debug, Clone)]
pub struct Secrets {
    db: Db,
}

/// When a secret was rotated, without its value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SecretState {
    /// The secret.
    pub name: SecretName,
    /// Time of the last rotation; `None` if there was none.
    pub rotated_at: Option<Timestamp>,
    /// End of the grace period of the previous value, if that is still valid.
    pub previous_until: Option<Timestamp>,
}

impl SecretState {
    fn of(name: SecretName, secret: Option<&Secret>, now: Timestamp) -> Self {
        Self {
            name,
            rotated_at: secret.and_then(|secret| secret.rotated_at),
            previous_until: secret.and_then(|secret| secret.previous_at(now)).map(|previous| previous.until),
        }
    }
}

/// A finished rotation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rotated {
    /// The state after it.
    pub state: SecretState,
    /// Whether it ended the grace period of an earlier rotation.
    pub ended_grace: bool,
}

impl Secrets {
    /// The secrets of this database.
    pub fn new(db: Db) -> Self {
        Self { db }
    }

    /// The state of every secret.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn list(&self) -> Result<Vec<SecretState>, DbError> {
        let listed = self.db.read(|tx| {
            let now = Timestamp::now();
            let state = |name: SecretName| Ok(SecretState::of(name, secrets::find(tx, name.as_str())?.as_ref(), now));
            SecretName::ALL.into_iter().map(state).collect()
        });
        listed.await
    }

    /// Replaces the value of a secret; the previous one stays valid for `grace_seconds`. Works on a full disk.
    ///
    /// # Errors
    /// When the database fails; the secret is the same as before then.
    pub async fn rotate(&self, secret: Rotatable, grace_seconds: u64) -> Result<Rotated, DbError> {
        let rotated = self.db.write_to_free(Durability::PowerLoss, move |tx| {
            let name = secret.name();
            let (before, now) = (secrets::find(tx, name.as_str())?, Timestamp::now());
            let after = secret.rotate(tx, grace_seconds)?;
            let ended_grace = before.is_some_and(|before| before.previous_at(now).is_some());
            let previous_until = after.previous.map(|previous| previous.until);
            Ok(Rotated { state: SecretState { name, rotated_at: after.rotated_at, previous_until }, ended_grace })
        });
        rotated.await
    }
}
