//! What every handler can reach: the settings and the services of one server.

use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use crate::config::{Config, StorageSettings};
use crate::data_dir::{DataDir, DataDirError};
use crate::db::{Db, DbError};
use crate::service::bootstrap::{FirstRun, Secrets, bootstrap};
use crate::service::upload::Uploads;
use crate::service::urls::Urls;
use crate::storage::presign::Presigner;
use crate::storage::{DatabaseReserve, LocalStore, WriteGate};
use crate::trust::{self, TrustError};

/// One server's state. Clones share it.
#[derive(Clone)]
pub struct App {
    inner: Arc<Inner>,
}

/// What an [`App`] holds.
pub struct Inner {
    /// The settings.
    pub config: Config,
    /// The records.
    pub db: Db,
    /// The bytes.
    pub store: Arc<LocalStore>,
    /// Room on the disk that is the database's alone.
    pub reserve: Arc<DatabaseReserve>,
    /// The upload sessions.
    pub uploads: Uploads,
    /// Every URL given to clients.
    pub urls: Urls,
    /// The server's own secrets.
    pub secrets: Secrets,
    /// Keeps other servers off the data directory.
    pub data_dir: DataDir,
}

impl std::ops::Deref for App {
    type Target = Inner;

    fn deref(&self) -> &Inner {
        &self.inner
    }
}

/// Why a server could not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The data directory cannot be used.
    #[error(transparent)]
    DataDir(#[from] DataDirError),
    /// The database cannot be used.
    #[error("the database {path} cannot be used")]
    Db {
        /// Its file.
        path: String,
        /// Why.
        source: DbError,
    },
    /// The storage cannot be used.
    #[error("the storage in {path} cannot be used")]
    Storage {
        /// The data directory.
        path: String,
        /// Why.
        source: io::Error,
    },
}

impl App {
    /// Opens the data directory, making what is missing. `FirstRun` when it was new.
    ///
    /// # Errors
    /// When the data directory is in use by another server, or something in it cannot be used.
    pub async fn open(config: Config, listening_on: SocketAddr) -> Result<(Self, Option<FirstRun>), StartError> {
        let data_dir = DataDir::lock(&config.storage.data_dir)?;
        let db_path = data_dir.database();
        let db_failed = |source| StartError::Db { path: db_path.display().to_string(), source };
        let db = Db::open(&db_path).map_err(db_failed)?;
        let (secrets, first_run) = bootstrap(&db).await.map_err(db_failed)?;
        let store = open_store(data_dir.path(), &config.storage)?;
        let gate = Arc::new(WriteGate::new(crate::runtime::write_slots()));
        let reserve = Arc::new(DatabaseReserve::new(data_dir.path()));
        let trust = trust::settle(&db, &data_dir).await.map_err(|error| match error {
            TrustError::Db(source) => db_failed(source),
            TrustError::Io(source) => DataDirError::Unusable { path: data_dir.path().to_owned(), source }.into(),
        })?;
        let uploads = Uploads::new(db.clone(), Arc::clone(&store), gate, Arc::clone(&reserve), trust, &config);
        let urls = Urls::new(&config.http, listening_on, Presigner::new(&secrets.part_urls));
        let inner = Inner { config, db, store, reserve, uploads, urls, secrets, data_dir };
        Ok((Self { inner: Arc::new(inner) }, first_run))
    }
}

fn open_store(data_dir: &Path, settings: &StorageSettings) -> Result<Arc<LocalStore>, StartError> {
    let opened = LocalStore::open(data_dir, settings.reserve, settings.min_free.0);
    opened.map(Arc::new).map_err(|source| StartError::Storage { path: data_dir.display().to_string(), source })
}
