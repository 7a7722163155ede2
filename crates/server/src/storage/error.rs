//! What can go wrong with bytes.

use std::io;

use uuid::Uuid;

use crate::model::StorageKind;

/// A failed storage operation.
#[derive(Debug, thiserror::Error)]
pub enum StorageError {
    /// The disk has no room. Nothing was kept of what was being done.
    #[error("no room on the disk to {doing} blob {blob_id}")]
    Full {
        /// What was being done.
        doing: &'static str,
        /// To which blob.
        blob_id: Uuid,
        /// The system's error.
        source: io::Error,
    },
    /// Any other failure of the system.
    #[error("could not {doing} blob {blob_id}")]
    Io {
        /// What was being done.
        doing: &'static str,
        /// To which blob.
        blob_id: Uuid,
        /// The system's error.
        source: io::Error,
    },
    /// The directories of blobs cannot be read.
    #[error("the blobs of the data directory cannot be read")]
    DataDir(#[source] io::Error),
    /// The store cannot be reached, or the connection broke.
    #[error("the store does not answer to {doing} the bucket")]
    Unavailable {
        /// What was being done.
        doing: &'static str,
        /// What the connection said.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The store refused, or failed.
    #[error("the store answers {status} {code} to {doing} the bucket: {message}")]
    Answer {
        /// What was being done.
        doing: &'static str,
        /// Status of its answer.
        status: u16,
        /// Its error code (S3 API, error responses).
        code: String,
        /// What it says for people.
        message: String,
    },
    /// The store's answer makes no sense.
    #[error("could not {doing} the bucket: {problem}")]
    Store {
        /// What was being done.
        doing: &'static str,
        /// What was wrong.
        problem: String,
    },
    /// Bytes are in a storage that the settings do not have.
    #[error("there are files in {0} storage, but the settings have none")]
    NotConfigured(StorageKind),
    /// The task that did it was ended, as happens when the server stops.
    #[error("the storage task was ended")]
    Stopped,
    /// The task that did it panicked, which is a mistake in the program.
    #[error("a task panicked; the log says where")]
    Panicked,
}

impl From<tokio::task::JoinError> for StorageError {
    fn from(error: tokio::task::JoinError) -> Self {
        if error.is_panic() { Self::Panicked } else { Self::Stopped }
    }
}

impl StorageError {
    /// Whether the blob is not there.
    pub fn is_missing(&self) -> bool {
        match self {
            Self::Io { source, .. } => source.kind() == io::ErrorKind::NotFound,
            // Not so when it is the bucket that is missing: a store that starts may not know it yet.
            Self::Answer { status, code, .. } => {
                *status == 404 && matches!(code.as_str(), "NoSuchKey" | "NotFound" | "")
            }
            _ => false,
        }
    }

    /// Whether it is the store's error of this code.
    pub fn is_code(&self, wanted: &str) -> bool {
        matches!(self, Self::Answer { code, .. } if code == wanted)
    }

    /// Whether the store says that there is no such multipart upload. Ceph RGW says that there is no such key. An answer
    /// without a code is not the store's word: somebody in between may have given it.
    pub fn is_no_upload(&self) -> bool {
        self.is_code("NoSuchUpload") || self.is_code("NoSuchKey")
    }

    /// Whether trying again may help: the store was away, busy, or failed by itself.
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Unavailable { .. } => true,
            Self::Answer { status, code, .. } => {
                matches!(status, 408 | 429 | 500..) || matches!(code.as_str(), "RequestTimeout" | "OperationAborted")
            }
            _ => false,
        }
    }

    pub(super) fn new(doing: &'static str, blob_id: Uuid, source: io::Error) -> Self {
        match source.kind() {
            // EDQUOT: the room that this user may have is used up.
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Self::Full { doing, blob_id, source },
            _ => Self::Io { doing, blob_id, source },
        }
    }

    pub(super) fn unavailable(
        doing: &'static str,
        source: impl Into<Box<dyn std::error::Error + Send + Sync>>,
    ) -> Self {
        Self::Unavailable { doing, source: source.into() }
    }

    /// Without the URL: it has a signature that permits what it was made for.
    pub(super) fn http(doing: &'static str, error: reqwest::Error) -> Self {
        Self::unavailable(doing, error.without_url())
    }

    pub(super) fn store(doing: &'static str, problem: String) -> Self {
        Self::Store { doing, problem }
    }
}
