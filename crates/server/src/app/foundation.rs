//! The ground that services stand on: database, storage and data directory, opened and claimed.

use std::sync::Arc;

use uuid::Uuid;

use super::StartError;
use crate::config::{BaseUrl, Config};
use crate::db::{DatabaseLocation, Db, DbError, blobs, try_database, workspaces};
use crate::model::StorageKind;
use crate::process::data_dir::{DataDir, DataDirError};
use crate::process::runtime;
use crate::process::single_node::{self, NotAlone};
use crate::process::storage_epoch::{self, EpochError};
use crate::service::upload::LocalParts;
use crate::service::urls::is_own;
use crate::storage::{LocalStore, S3Store, Stores, WriteGate, filesystem};

/// Everything that is open before the first service.
pub(super) struct Foundation {
    pub(super) node: Uuid,
    pub(super) db: Db,
    pub(super) stores: Stores,
    /// For uploads to local storage, where it is used.
    pub(super) local: Option<LocalParts>,
    pub(super) data_dir: Option<DataDir>,
}

impl StartError {
    /// A failure of the configured database.
    pub(super) fn db(config: &Config, source: DbError) -> Self {
        Self::Db { location: config.database().to_string(), source }
    }
}

impl Foundation {
    /// Opens in this order: a directory is locked before anything in it is opened, and a database is claimed before
    /// anything in it is changed.
    pub(super) async fn open(config: &Config) -> Result<Self, StartError> {
        let is_file = matches!(config.database(), DatabaseLocation::Sqlite(_));
        let mut data_dir = lock_data_dir(config, is_file)?;
        let db = open_database(config, is_file)?;
        let stores = open_stores(config, &db, &mut data_dir).await?;
        let node = Uuid::new_v4();
        let local_dir = data_dir.as_ref().filter(|_| stores.local.is_some());
        if let Some(data_dir) = local_dir.filter(|_| db.is_shared()) {
            claim_single_node(config, &db, data_dir, node).await?;
        }
        let local = match local_dir {
            Some(data_dir) => Some(open_local_parts(config, &db, data_dir).await?),
            None => None,
        };
        Ok(Self { node, db, stores, local, data_dir })
    }
}

/// Checks the settings that depend on each other. Opens nothing.
pub(super) fn check_settings(config: &Config) -> Result<(), StartError> {
    let settings = &config.storage;
    let is_file = matches!(config.database(), DatabaseLocation::Sqlite(_));
    let is_local = settings.kind == StorageKind::Local;
    if is_local && !is_file && !settings.single_node { Err(StartError::LocalStorageIsNotShared) } else { Ok(()) }
}

/// Refuses public URLs whose path may be one of a request: `middleware/base_path.rs` could not tell whether to strip it.
pub(super) async fn check_paths(config: &Config, db: &Db) -> Result<(), StartError> {
    let urls = [&config.http.public_url, &config.http.parts_url, &config.http.delivery_url];
    for path in urls.into_iter().flatten().map(BaseUrl::path).filter(|path| is_own(&format!("{path}/"))) {
        let first = path.split('/').nth(1).unwrap_or_default().to_owned();
        let is_taken = first == "api" || {
            let found = db.read(move |tx| workspaces::find_by_no(tx, &first)).await;
            found.map_err(|source| StartError::db(config, source))?.is_some()
        };
        if is_taken {
            return Err(StartError::AmbiguousPath(path.to_owned()));
        }
    }
    Ok(())
}

/// Locks the data directory if database or files are in it.
fn lock_data_dir(config: &Config, is_file: bool) -> Result<Option<DataDir>, StartError> {
    let settings = &config.storage;
    let is_local = settings.kind == StorageKind::Local;
    check_settings(config)?;
    if !is_file && !is_local {
        return Ok(None);
    }
    let data_dir = DataDir::lock(&settings.data_dir)?;
    match filesystem::doubt(data_dir.path()) {
        Ok(Some(doubt)) => tracing::warn!("{doubt}; docs/OPERATIONS.md says what that means"),
        Ok(None) => {}
        Err(error) => tracing::warn!(%error, "cannot tell which filesystem the data directory is on"),
    }
    Ok(Some(data_dir))
}

fn open_database(config: &Config, is_file: bool) -> Result<Db, StartError> {
    let data_dir = &config.storage.data_dir;
    if is_file && DataDir::is_migrated(data_dir) {
        return Err(StartError::RecordsMoved(data_dir.clone()));
    }
    match Db::open(&config.database()) {
        // SQLite reports "disk I/O error" on filesystems that lack a feature: a trial finds which one.
        Err(error @ DbError::Engine(_)) if is_file => {
            try_database(data_dir)?;
            Err(StartError::db(config, error))
        }
        opened => opened.map_err(|error| StartError::db(config, error)),
    }
}

async fn claim_single_node(config: &Config, db: &Db, data_dir: &DataDir, node: Uuid) -> Result<(), StartError> {
    single_node::take(db, data_dir.path(), node).await.map_err(|error| match error {
        NotAlone::Taken => StartError::NotSingle(config.database().to_string()),
        NotAlone::Db(source) => StartError::db(config, source),
        NotAlone::Io(source) => DataDirError::Unusable { path: data_dir.path().to_owned(), source }.into(),
    })
}

async fn open_local_parts(config: &Config, db: &Db, data_dir: &DataDir) -> Result<LocalParts, StartError> {
    let storage_epoch = storage_epoch::establish(db, data_dir).await.map_err(|error| match error {
        EpochError::Db(source) => StartError::db(config, source),
        EpochError::Io(source) => DataDirError::Unusable { path: data_dir.path().to_owned(), source }.into(),
    })?;
    Ok(LocalParts { gate: Arc::new(WriteGate::new(runtime::write_slots())), storage_epoch })
}

/// Opens the storage for new files, and the other one while anything is in it.
async fn open_stores(config: &Config, db: &Db, data_dir: &mut Option<DataDir>) -> Result<Stores, StartError> {
    let settings = &config.storage;
    let in_use = db.read(|tx| Ok((blobs::any_in(tx, StorageKind::Local)?, blobs::any_in(tx, StorageKind::S3)?)));
    let (uses_local, uses_s3) = in_use.await.map_err(|error| StartError::db(config, error))?;
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
        let opened = LocalStore::open(data_dir.path(), settings.reserve, settings.min_free_bytes);
        let failed = |source| StartError::Storage { path: data_dir.path().display().to_string(), source };
        stores.local = Some(Arc::new(opened.map_err(failed)?));
    }
    Ok(stores)
}
