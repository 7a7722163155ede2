//! The settings of a server: one struct per concern, each setting declared once with its key, its default
//! and its documentation. docs/CONFIG.md is generated from the same declarations.
//!
//! A setting is taken from the first of: the command line, the environment (`PARTWAY_` and the key in
//! capitals, dots as underscores), the configuration file, its default. Every problem is reported at once.

mod database;
mod delivery;
mod http;
mod limits;
mod log;
mod metrics;
mod outgoing;
mod section;
mod service_link;
mod source;
mod storage;
mod value;
mod webhooks;

use std::path::PathBuf;

use crate::db::DatabaseLocation;
use crate::process::data_dir::DataDir;

pub use database::DatabaseSettings;
pub use delivery::DeliverySettings;
pub use http::HttpSettings;
pub use limits::LimitSettings;
pub use log::{LogFormat, LogSettings};
pub use metrics::MetricsSettings;
pub use outgoing::OutgoingSettings;
pub use section::SettingDoc;
pub use source::{ConfigError, Problem, SettingsReader};
pub use storage::StorageSettings;
pub use value::{
    Age, BaseUrl, ByteRate, Bytes, Connections, Count, DatabaseUrl, Endpoint, KeyPrefix, NameServers, Networks,
    Percent, Retention, Seconds, Secret, Setting, print_bytes, print_duration,
};
pub use webhooks::WebhookSettings;

/// All settings of a server.
#[derive(Debug, Clone)]
pub struct Config {
    /// Addresses of the server, and its connections.
    pub http: HttpSettings,
    /// The database.
    pub database: DatabaseSettings,
    /// The storage.
    pub storage: StorageSettings,
    /// Limits.
    pub limits: LimitSettings,
    /// Requests of the server.
    pub outgoing: OutgoingSettings,
    /// Webhooks.
    pub webhooks: WebhookSettings,
    /// Serving files.
    pub delivery: DeliverySettings,
    /// Metrics.
    pub metrics: MetricsSettings,
    /// The log.
    pub log: LogSettings,
}

impl Config {
    /// Reads all settings from `source`.
    ///
    /// # Errors
    /// [`ConfigError`] with every unknown key and every bad value, not only the first.
    pub fn read(mut source: SettingsReader) -> Result<Self, ConfigError> {
        let mut config = Self {
            http: HttpSettings::read(&mut source),
            database: DatabaseSettings::read(&mut source),
            storage: StorageSettings::read(&mut source),
            limits: LimitSettings::read(&mut source),
            outgoing: OutgoingSettings::read(&mut source),
            webhooks: WebhookSettings::read(&mut source),
            delivery: DeliverySettings::read(&mut source),
            metrics: MetricsSettings::read(&mut source),
            log: LogSettings::read(&mut source),
        };
        config.database.resolve(&mut source);
        config.storage.resolve(&mut source);
        source.finish(&Self::keys())?;
        Ok(config)
    }

    /// All defaults, with another data directory: for tests and tools.
    pub fn with_data_dir(data_dir: impl Into<PathBuf>) -> Self {
        Self {
            http: HttpSettings::default(),
            database: DatabaseSettings::default(),
            storage: StorageSettings { data_dir: data_dir.into(), ..StorageSettings::default() },
            limits: LimitSettings::default(),
            outgoing: OutgoingSettings::default(),
            webhooks: WebhookSettings::default(),
            delivery: DeliverySettings::default(),
            metrics: MetricsSettings::default(),
            log: LogSettings::default(),
        }
    }

    /// The documentation of every setting, by concern, in the order of docs/CONFIG.md.
    pub fn documentation() -> [(&'static str, &'static [SettingDoc]); 9] {
        [
            (HttpSettings::ABOUT, HttpSettings::SETTINGS),
            (DatabaseSettings::ABOUT, DatabaseSettings::SETTINGS),
            (StorageSettings::ABOUT, StorageSettings::SETTINGS),
            (LimitSettings::ABOUT, LimitSettings::SETTINGS),
            (OutgoingSettings::ABOUT, OutgoingSettings::SETTINGS),
            (WebhookSettings::ABOUT, WebhookSettings::SETTINGS),
            (DeliverySettings::ABOUT, DeliverySettings::SETTINGS),
            (MetricsSettings::ABOUT, MetricsSettings::SETTINGS),
            (LogSettings::ABOUT, LogSettings::SETTINGS),
        ]
    }

    /// The location of the database.
    pub fn database(&self) -> DatabaseLocation {
        match &self.database.url {
            Some(url) => {
                let url = url.as_str().to_owned();
                DatabaseLocation::Postgres { url, max_connections: self.database.max_connections }
            }
            None => DatabaseLocation::Sqlite(DataDir::database_in(&self.storage.data_dir)),
        }
    }

    fn keys() -> Vec<&'static str> {
        Self::documentation().iter().flat_map(|(_, settings)| settings.iter().map(|setting| setting.key)).collect()
    }
}
