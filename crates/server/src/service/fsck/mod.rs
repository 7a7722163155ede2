//! Compares the database with the storages, in both directions, next to a running server or without one.
//!
//! Invariants: a check changes nothing. A repair never loses a byte that somebody may want: a blob without an owner is handed
//! to the cleaner, a damaged session is marked so that its parts are verified before they are trusted, counters are counted
//! again. A file whose bytes are missing or wrong is only reported.
//!
//! A running server changes both sides during a check. It inserts a row before it makes the blob, and deletes the blob before
//! the row. A suspicion is therefore checked a second time, and is a finding only if it is confirmed.

mod blobs;
mod counters;
mod files;
mod report;
mod sessions;

use std::collections::HashSet;
use std::sync::Arc;

pub use report::{Finding, FsckError, Outcome, Problem, Report};

use crate::config::Config;
use crate::db::blobs::Owner;
use crate::db::{Db, usage};
use crate::model::{BlobRef, StorageKind};
use crate::storage::{LocalStore, S3Store, StorageError, Stores};

/// A check of one database and its storages.
#[derive(Debug)]
pub struct Fsck {
    /// The database.
    pub db: Db,
    /// The storages.
    pub stores: Stores,
    /// Reads all bytes and compares them with their hashes.
    pub deep: bool,
    /// Repairs findings where that is safe.
    pub repair: bool,
    /// No server runs. Sessions are repaired only then, because a server keeps the state of open ones in memory.
    pub alone: bool,
}

/// Called with the number of bytes read since the last call.
pub type OnRead<'f> = &'f (dyn Fn(u64) + Send + Sync);

impl Fsck {
    /// Checks everything, and repairs what `repair` and `alone` allow.
    ///
    /// # Errors
    /// When the database or a storage cannot be listed. A single blob that cannot be read is a finding.
    pub async fn run(&self, on_read: OnRead<'_>) -> Result<Report, FsckError> {
        let mut report = Report::default();
        self.check_database(&mut report).await?;
        // Blobs are listed before rows: a blob that exists had its row before.
        let found = self.scan(&mut report).await?;
        let owned = self.db.read(crate::db::blobs::list).await?;
        report.blobs = found.len() as u64;
        let known: HashSet<BlobRef> = owned.iter().map(|blob| blob.blob).collect();
        for blob in found.difference(&known) {
            self.check_orphan(*blob, &mut report).await?;
        }
        for blob in owned {
            match blob.owner {
                Owner::Garbage => report.garbage += 1,
                Owner::File(id) => {
                    report.files += 1;
                    self.check_file(id, &blob, &mut report, on_read).await?;
                }
                Owner::Session(id) => {
                    report.sessions += 1;
                    self.check_session(id, &blob, &mut report, on_read).await?;
                }
            }
        }
        for usage in self.db.read(usage::list).await? {
            self.check_counters(usage, &mut report).await?;
        }
        Ok(report)
    }

    async fn check_database(&self, report: &mut Report) -> Result<(), FsckError> {
        let deep = self.deep;
        for problem in self.db.read(move |tx| tx.integrity_problems(deep)).await? {
            report.add(Problem::Database, "partway.db", problem, Outcome::Left);
        }
        Ok(())
    }
}

/// The storages that the settings name or the database uses. Creates nothing.
///
/// # Errors
/// When the database cannot be read, or the settings of the bucket are invalid.
pub async fn existing_stores(config: &Config, db: &Db) -> Result<Stores, FsckError> {
    let kind = config.storage.kind;
    let uses_local =
        kind == StorageKind::Local || db.read(|tx| crate::db::blobs::any_in(tx, StorageKind::Local)).await?;
    let local = uses_local.then(|| Arc::new(LocalStore::existing(&config.storage.data_dir)));
    let s3 = config.storage.s3().map(|bucket| S3Store::new(&bucket)).transpose()?.map(Arc::new);
    Ok(Stores { primary: kind, local, s3 })
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, StorageError> {
    tokio::task::spawn_blocking(work).await.map_err(StorageError::from)
}
