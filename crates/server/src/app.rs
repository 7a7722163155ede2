//! What every handler can reach: the settings and the services of one server.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use uuid::Uuid;

use crate::config::{BaseUrl, Config};
use crate::db::{DatabaseLocation, Db, DbError, Durability, TrialError, blobs, try_database};
use crate::model::StorageKind;
use crate::outgoing::{Outgoing, OutgoingUnusable};
use crate::process::data_dir::{DataDir, DataDirError};
use crate::process::single_node::{self, NotAlone};
use crate::process::storage_epoch::{self, EpochError};
use crate::rate_limits::RateLimits;
use crate::service::bootstrap::{FirstRun, Secrets, bootstrap};
use crate::service::event::Events;
use crate::service::file::Files;
use crate::service::folder::Folders;
use crate::service::grace::GracePolicy;
use crate::service::part_urls::PartUrlSigner;
use crate::service::readiness::Readiness;
use crate::service::serve::Representations;
use crate::service::upload::{LocalParts, Uploads};
use crate::service::urls::Urls;
use crate::service::webhook::Signer;
use crate::storage::{LocalStore, S3Store, StorageError, Stores, WriteGate, filesystem};

/// One server's state. Clones share it.
#[derive(Clone)]
pub struct App {
    inner: Arc<Inner>,
}

/// What an [`App`] holds.
pub struct Inner {
    /// The settings.
    pub config: Config,
    /// Names this process among all nodes.
    pub node: Uuid,
    /// The records.
    pub db: Db,
    /// The bytes.
    pub stores: Stores,
    /// The upload sessions.
    pub uploads: Uploads,
    /// The files of all workspaces.
    pub files: Files,
    /// Their folders.
    pub folders: Folders,
    /// Their files as URLs serve them.
    pub representations: Representations,
    /// What happens is told through it.
    pub events: Events,
    /// Requests to hosts that the outside named.
    pub outgoing: Outgoing,
    /// Signs what webhooks are sent.
    pub signer: Signer,
    /// What is too much in a second.
    pub rate_limits: RateLimits,
    /// Whether database and storage answer.
    pub readiness: Readiness,
    /// Every URL given to clients.
    pub urls: Arc<Urls>,
    /// The server's own secrets.
    pub secrets: Secrets,
    /// Keeps other servers off the data directory, where it is used.
    pub data_dir: Option<DataDir>,
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
    #[error("the database {location} cannot be used")]
    Db {
        /// Where it is, without its password.
        location: String,
        /// Why.
        source: DbError,
    },
    /// No database can be in the data directory.
    #[error(transparent)]
    NoDirectoryForDatabases(#[from] TrialError),
    /// The records are in PostgreSQL.
    #[error(
        "the records of {} were moved to PostgreSQL: set database.url; or, to go back to how they were then, rename \
         partway.db-migrated to partway.db",
        .0.display()
    )]
    RecordsMoved(PathBuf),
    /// The local storage cannot be used.
    #[error("the storage in {path} cannot be used")]
    Storage {
        /// The data directory.
        path: String,
        /// Why.
        source: io::Error,
    },
    /// The bucket cannot be used.
    #[error("the bucket cannot be used; `partway doctor` says more")]
    Bucket(#[source] StorageError),
    /// Nothing can be asked of others.
    #[error(transparent)]
    Outgoing(#[from] OutgoingUnusable),
    /// Several nodes could share the database, but not the disk.
    #[error(
        "storage.kind is \"local\" and database.url is a PostgreSQL database, which other nodes could share while each \
         has only its own disk; allowed: storage.kind = \"s3\", or storage.single_node = true when this node is the only one"
    )]
    LocalStorageIsNotShared,
    /// Another node has local storage with the same database.
    #[error(
        "another server with storage.single_node = true and files on its own disk uses the database {0}; allowed: one. Stop it, \
         or give this one another database; if its machine has died, start this one again {seconds} s after that",
        seconds = single_node::SECONDS
    )]
    NotSingle(String),
    /// Bytes are where the settings do not say.
    #[error(
        "the database has files, open uploads or bytes still to be deleted in {0} storage, which the settings do not have; \
         allowed: {hint}; files are moved with `partway storage migrate`, the rest goes by itself while a server has both",
        hint = match .0 {
            StorageKind::Local => "the data_dir they are in, and storage.single_node = true with PostgreSQL",
            StorageKind::S3 => "storage.endpoint, storage.bucket and keys",
        }
    )]
    FilesElsewhere(StorageKind),
}

impl App {
    /// Opens database and storage, making what is missing. `FirstRun` when the database was new.
    ///
    /// # Errors
    /// When the data directory is in use by another server, or something cannot be used.
    pub async fn open(config: Config, listening_on: SocketAddr) -> Result<(Self, Option<FirstRun>), StartError> {
        Self::open_showing(config, listening_on, |_, _| Ok(())).await
    }

    /// The same. `show` shows somebody the keys of a first start, and the base of URLs: it is called when everything else
    /// is there, and the keys are made only if it succeeds.
    ///
    /// # Errors
    /// Also when the keys could not be quote_for_message.
    pub async fn open_showing(
        config: Config,
        listening_on: SocketAddr,
        show: impl Fn(&FirstRun, &BaseUrl) -> io::Result<()> + Clone + Send + 'static,
    ) -> Result<(Self, Option<FirstRun>), StartError> {
        let location = config.database();
        let is_file = matches!(location, DatabaseLocation::Sqlite(_));
        let is_local = config.storage.kind == StorageKind::Local;
        if is_local && !is_file && !config.storage.single_node {
            return Err(StartError::LocalStorageIsNotShared);
        }
        let mut data_dir = match is_file || is_local {
            true => Some(DataDir::lock(&config.storage.data_dir)?),
            false => None,
        };
        if let Some(data_dir) = &data_dir {
            match filesystem::doubt(data_dir.path()) {
                Ok(Some(doubt)) => tracing::warn!("{doubt}; docs/OPERATIONS.md says what that means"),
                Ok(None) => {}
                Err(error) => tracing::warn!(%error, "cannot tell which filesystem the data directory is on"),
            }
        }
        if is_file && DataDir::is_migrated(&config.storage.data_dir) {
            return Err(StartError::RecordsMoved(config.storage.data_dir.clone()));
        }
        let db_failed = |source| StartError::Db { location: location.to_string(), source };
        let db = match Db::open(&location) {
            // SQLite says "disk I/O error" of filesystems that lack something: a trial says more.
            Err(error @ DbError::Engine(_)) if is_file => {
                try_database(&config.storage.data_dir)?;
                return Err(db_failed(error));
            }
            opened => opened.map_err(db_failed)?,
        };
        let stores = open_stores(&config, &db, &mut data_dir, db_failed).await?;
        let node = Uuid::new_v4();
        if let Some(data_dir) = data_dir.as_ref().filter(|_| db.is_shared() && stores.local.is_some()) {
            single_node::take(&db, data_dir.path(), node).await.map_err(|error| match error {
                NotAlone::Taken => StartError::NotSingle(location.to_string()),
                NotAlone::Db(source) => db_failed(source),
                NotAlone::Io(source) => DataDirError::Unusable { path: data_dir.path().to_owned(), source }.into(),
            })?;
        }
        let local = match &data_dir {
            Some(data_dir) if stores.local.is_some() => {
                let trust = storage_epoch::establish(&db, data_dir).await.map_err(|error| match error {
                    EpochError::Db(source) => db_failed(source),
                    EpochError::Io(source) => {
                        DataDirError::Unusable { path: data_dir.path().to_owned(), source }.into()
                    }
                })?;
                Some(LocalParts { gate: Arc::new(WriteGate::new(crate::process::runtime::write_slots())), trust })
            }
            _ => None,
        };
        let outgoing = Outgoing::new(&config)?;
        let signer = db.write_to_free(Durability::PowerLoss, Signer::open).await.map_err(db_failed)?;
        // Keys are shown once. Nothing behind this can fail.
        let public = Urls::public_of(&config.http, listening_on);
        let shown = bootstrap(&db, move |first_run| show(first_run, &public)).await;
        let (secrets, first_run) = shown.map_err(db_failed)?;
        let part_url_signer = PartUrlSigner::new(&secrets.part_urls.value);
        crate::jobs::follow_part_urls(&part_url_signer, &secrets.part_urls);
        let urls = Arc::new(Urls::new(&config.http, listening_on, part_url_signer));
        let events = Events::new(Arc::clone(&urls));
        let uploads = Uploads::new(db.clone(), &stores, local, events.clone(), outgoing.clone(), &config);
        let grace = GracePolicy::new(config.storage.url_lifetime.0.as_secs());
        let most_folders = config.limits.workspace_folders.0;
        let files = Files::new(db.clone(), events.clone(), uploads.garbage_bell(), grace, most_folders);
        let folders = Folders::new(db.clone(), uploads.garbage_bell(), most_folders);
        let representations = Representations::new(db.clone(), stores.clone(), &config);
        let rate_limits = RateLimits::new(&config.limits);
        let readiness = Readiness::new(db.clone(), stores.clone());
        let inner = Inner {
            config,
            node,
            db,
            stores,
            uploads,
            files,
            folders,
            representations,
            events,
            outgoing,
            signer,
            rate_limits,
            readiness,
            urls,
            secrets,
            data_dir,
        };
        Ok((Self { inner: Arc::new(inner) }, first_run))
    }
}

/// The storage for new files, and the other one as long as anything is in it.
async fn open_stores(
    config: &Config,
    db: &Db,
    data_dir: &mut Option<DataDir>,
    db_failed: impl Fn(DbError) -> StartError,
) -> Result<Stores, StartError> {
    let settings = &config.storage;
    let in_use = db.read(|tx| Ok((blobs::any_in(tx, StorageKind::Local)?, blobs::any_in(tx, StorageKind::S3)?)));
    let (uses_local, uses_s3) = in_use.await.map_err(db_failed)?;
    let mut stores = Stores { primary: settings.kind, local: None, s3: None };
    if let Some(bucket) = settings.s3() {
        stores.s3 = Some(Arc::new(S3Store::new(&bucket).map_err(StartError::Bucket)?));
    } else if uses_s3 {
        return Err(StartError::FilesElsewhere(StorageKind::S3));
    }
    if settings.kind == StorageKind::Local || uses_local {
        if db.is_shared() && !settings.single_node || !settings.data_dir.is_dir() {
            return Err(StartError::FilesElsewhere(StorageKind::Local));
        }
        let data_dir = match data_dir {
            Some(locked) => locked,
            none => none.insert(DataDir::lock(&settings.data_dir)?),
        };
        let opened = LocalStore::open(data_dir.path(), settings.reserve, settings.min_free.0);
        let failed = |source| StartError::Storage { path: data_dir.path().display().to_string(), source };
        stores.local = Some(Arc::new(opened.map_err(failed)?));
    }
    Ok(stores)
}
