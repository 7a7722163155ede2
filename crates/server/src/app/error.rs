//! Errors of the start.

use std::io;
use std::path::PathBuf;

use crate::db::{DbError, TrialError};
use crate::model::StorageKind;
use crate::outgoing::OutgoingUnusable;
use crate::process::data_dir::DataDirError;
use crate::process::single_node;
use crate::storage::StorageError;

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
    /// The records were moved to PostgreSQL.
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
    /// Requests to other hosts are impossible.
    #[error(transparent)]
    Outgoing(#[from] OutgoingUnusable),
    /// Several nodes could share the database, and each would have only its own disk.
    #[error(
        "storage.kind is \"local\" and database.url is a PostgreSQL database, which other nodes could share while each \
         has only its own disk; allowed: storage.kind = \"s3\", or storage.single_node = true when this node is the only one"
    )]
    LocalStorageIsNotShared,
    /// Another node has local storage with the same database.
    #[error(
        "another server with storage.single_node = true and files on its own disk uses the database {0}; allowed: one. Stop it, \
         or give this one another database; if its machine has died, start this one again {seconds} s after that",
        seconds = single_node::LEASE_SECONDS
    )]
    NotSingle(String),
    /// Bytes are in a storage that the settings do not have.
    #[error(
        "the database has files, open uploads or bytes still to be deleted in {0} storage, which the settings do not have; \
         allowed: {hint}; `partway storage migrate` moves the files, and a server that has both storages ends the rest by itself",
        hint = match .0 {
            StorageKind::Local => "the data_dir they are in, and storage.single_node = true with PostgreSQL",
            StorageKind::S3 => "storage.endpoint, storage.bucket and keys",
        }
    )]
    FilesElsewhere(StorageKind),
    /// The path of a public URL is one of the server's own, so that no request says whether a proxy has stripped it.
    #[error(
        "the path {0} of public_url, parts_url or delivery_url begins like a path of the server itself; allowed: a path that \
         begins neither with the number of a workspace nor with /api/v1/multipart, uploads, files or folders"
    )]
    AmbiguousPath(String),
}
