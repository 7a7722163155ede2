//! Administration of one database: keys, workspaces, webhooks, secrets and usage.
//!
//! Commands use it next to a running server, or without one. Each call is one transaction (two where something is shown
//! before it is stored), so a running server sees the change with its next query. Calls that delete, revoke or limit
//! something work on a full disk, with the space that the data directory reserves for that.
//!
//! Invariant: a secret that exists has been shown. A key, a webhook or a workspace is drawn, shown, and only then stored.

pub use super::admin_error::AdminError;
use super::key::Keys;
use super::secret::Secrets;
use super::usage::Usage;
use super::webhook::Webhooks;
use super::workspace::Workspaces;
use crate::config::Config;
use crate::db::{DatabaseLocation, Db, DbError};
use crate::process::data_dir::{DataDir, DataDirError};

/// The services that administer a database.
#[derive(Debug, Clone)]
pub struct Admin {
    /// API keys.
    pub keys: Keys,
    /// Workspaces and their limits.
    pub workspaces: Workspaces,
    /// Subscriptions to events, and their outbox.
    pub webhooks: Webhooks,
    /// The secrets of the server itself.
    pub secrets: Secrets,
    /// Bytes of each workspace.
    pub usage: Usage,
}

impl Admin {
    /// The services over the database of the settings.
    ///
    /// # Errors
    /// As [`open_existing`].
    pub fn open(config: &Config) -> Result<Self, OpenError> {
        let db = open_existing(config)?;
        Ok(Self {
            keys: Keys::new(db.clone()),
            workspaces: Workspaces::new(db.clone()),
            webhooks: Webhooks::new(db.clone()),
            secrets: Secrets::new(db.clone()),
            usage: Usage::new(db, config.limits.of_workspace()),
        })
    }
}

/// Why the database of the settings could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The data directory has none.
    #[error(transparent)]
    DataDir(#[from] DataDirError),
    /// It cannot be used.
    #[error("the database {location} cannot be used")]
    Db {
        /// Where it is, without its password.
        location: String,
        /// Why.
        source: DbError,
    },
}

/// Opens the database of the settings without creating it.
///
/// # Errors
/// [`OpenError::DataDir`] when the data directory has no database, [`OpenError::Db`] when the database cannot be used or has
/// another version than this program.
pub fn open_existing(config: &Config) -> Result<Db, OpenError> {
    let location = config.database();
    if let DatabaseLocation::Sqlite(_) = location {
        DataDir::existing_database(&config.storage.data_dir)?;
    }
    Db::open_existing(&location).map_err(|source| OpenError::Db { location: location.to_string(), source })
}
