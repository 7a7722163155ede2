//! Errors of storage.
//!
//! `doing` is an infinitive that "the blob" or "the bucket" can follow: "write to", "list the parts in".

use std::fmt;
use std::io;
use std::time::Duration;

use uuid::Uuid;

use crate::model::StorageKind;

/// A failed storage operation.
#[derive(Debug, thiserror::Error)]
pub enum StorageError {
    /// The disk has no free space. The operation left nothing.
    #[error("could not {doing} blob {blob_id}: the disk is full")]
    Full {
        /// The operation.
        doing: &'static str,
        /// The blob.
        blob_id: Uuid,
        /// The system's error.
        source: io::Error,
    },
    /// Any other failure of the system.
    #[error("could not {doing} blob {blob_id}")]
    Io {
        /// The operation.
        doing: &'static str,
        /// The blob.
        blob_id: Uuid,
        /// The system's error.
        source: io::Error,
    },
    /// The directories of blobs cannot be read.
    #[error("the blobs of the data directory cannot be read")]
    DataDir(#[source] io::Error),
    /// The store cannot be reached, or the connection broke.
    #[error("could not {doing} the bucket: the store does not answer")]
    Unavailable {
        /// The operation.
        doing: &'static str,
        /// The error of the connection.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The store refused, or failed.
    #[error("could not {doing} the bucket: the store answered {}", Answered(*status, code, message))]
    Answer {
        /// The operation.
        doing: &'static str,
        /// Status of its answer.
        status: u16,
        /// Its error code (S3 API, error responses).
        code: String,
        /// Its message for people.
        message: String,
        /// Its `Retry-After` (RFC 9110, section 10.2.3).
        retry_after: Option<Duration>,
    },
    /// The store's answer is malformed or not what was requested.
    #[error("could not {doing} the bucket: {problem}")]
    Store {
        /// The operation.
        doing: &'static str,
        /// The problem, as a clause.
        problem: String,
    },
    /// The storage delivered another number of bytes than the blob has.
    #[error("could not read blob {blob_id} in {storage} storage: {came_bytes} bytes came, and it has {size_bytes}")]
    OtherSize {
        /// The storage.
        storage: StorageKind,
        /// The blob.
        blob_id: Uuid,
        /// Bytes that came.
        came_bytes: u64,
        /// Bytes that the blob has.
        size_bytes: u64,
    },
    /// Bytes are in a storage that the settings do not have.
    #[error("there are files in {0} storage, which the settings do not have")]
    NotConfigured(StorageKind),
    /// The task that did it was ended, as happens when the server stops.
    #[error("the storage task was ended")]
    Stopped,
    /// The task that did it panicked, which is a defect of the program.
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
            // `NoSuchBucket` is another error: a store that is starting may not know its buckets yet.
            Self::Answer { status, code, .. } => {
                *status == 404 && matches!(code.as_str(), "NoSuchKey" | "NotFound" | "")
            }
            _ => false,
        }
    }

    /// Whether the store answered with this error code.
    pub fn is_code(&self, wanted: &str) -> bool {
        matches!(self, Self::Answer { code, .. } if code == wanted)
    }

    /// Whether a call of the store failed that does this, as [`Self::Answer`] names it.
    pub fn is_doing(&self, wanted: &str) -> bool {
        matches!(self, Self::Answer { doing, .. } if *doing == wanted)
    }

    /// Whether the store answered that the multipart upload does not exist. Ceph RGW answers that the key does not. An
    /// answer without a code may come from a proxy and proves nothing.
    pub fn is_no_upload(&self) -> bool {
        self.is_code("NoSuchUpload") || self.is_code("NoSuchKey")
    }

    /// Whether the store answered that it failed, and not that it is busy.
    pub fn is_failure_of_store(&self) -> bool {
        matches!(self, Self::Answer { status: 500, .. })
    }

    /// Whether the store has no such call (RFC 9110, sections 15.5.6 and 15.6.2). No permission changes that, and no retry.
    pub fn is_not_implemented(&self) -> bool {
        matches!(self, Self::Answer { status: 405 | 501, .. }) || self.is_code("NotImplemented")
    }

    /// Whether a retry may succeed: the store was unreachable or busy, or failed by itself.
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Unavailable { .. } => true,
            Self::Answer { .. } if self.is_not_implemented() => false,
            Self::Answer { status, code, .. } => {
                matches!(status, 408 | 429 | 500..) || matches!(code.as_str(), "RequestTimeout" | "OperationAborted")
            }
            _ => false,
        }
    }

    pub(super) fn new(doing: &'static str, blob_id: Uuid, source: io::Error) -> Self {
        match source.kind() {
            // EDQUOT: the quota of this user is used up.
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

    /// Drops the URL of the error: its signature is a permission.
    pub(super) fn http(doing: &'static str, error: reqwest::Error) -> Self {
        Self::unavailable(doing, error.without_url())
    }

    /// The store's `Retry-After`.
    pub(super) fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Answer { retry_after, .. } => *retry_after,
            _ => None,
        }
    }

    pub(super) fn store(doing: &'static str, problem: String) -> Self {
        Self::Store { doing, problem }
    }
}

/// `403 AccessDenied: no such key id`, without the parts that the answer did not have.
struct Answered<'a>(u16, &'a str, &'a str);

impl fmt::Display for Answered<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(status, code, message) = self;
        write!(f, "{status}")?;
        if !code.is_empty() {
            write!(f, " {code}")?;
        }
        if !message.is_empty() { write!(f, ": {message}") } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WITH_BLOB: [&str; 10] = [
        "clear",
        "create",
        "delete",
        "look at",
        "open",
        "read",
        "reserve space for",
        "sync the directory of",
        "sync",
        "write to",
    ];
    const WITH_BUCKET: [&str; 15] = [
        "abort an upload in",
        "complete an upload in",
        "delete an object of",
        "fill a blob from",
        "list",
        "list the parts in",
        "list the uploads in",
        "look at an object of",
        "look for a refused part in",
        "open an upload in",
        "read an object of",
        "send a part to",
        "send a preflight request to",
        "set the CORS rules of",
        "write to",
    ];

    #[test]
    fn messages_are_sentences_whatever_the_store_leaves_out() {
        let answer = |code: &str, message: &str| StorageError::Answer {
            doing: "list the parts in",
            status: 403,
            code: code.to_owned(),
            message: message.to_owned(),
            retry_after: None,
        };
        for (code, message, end) in [
            ("AccessDenied", "wrong key", "403 AccessDenied: wrong key"),
            ("AccessDenied", "", "403 AccessDenied"),
            ("", "wrong key", "403: wrong key"),
            ("", "", "403"),
        ] {
            let expected = format!("could not list the parts in the bucket: the store answered {end}");
            assert_eq!(answer(code, message).to_string(), expected);
        }
        let away = StorageError::unavailable("send a part to", "refused");
        assert_eq!(away.to_string(), "could not send a part to the bucket: the store does not answer");
        let id = Uuid::nil();
        let full = StorageError::new("reserve space for", id, io::ErrorKind::StorageFull.into());
        assert_eq!(full.to_string(), format!("could not reserve space for blob {id}: the disk is full"));
    }

    /// An operation that is not listed above has not been read as part of a message.
    #[test]
    fn every_operation_has_been_read_in_its_message() {
        let sources = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("src/storage");
        let mut files = vec![sources];
        let mut found = 0;
        while let Some(path) = files.pop() {
            if path.is_dir() {
                files.extend(std::fs::read_dir(path).unwrap().map(|entry| entry.unwrap().path()));
                continue;
            }
            let text = std::fs::read_to_string(&path).unwrap();
            let product = text.split("#[cfg(test)]").next().unwrap();
            for (maker, known) in [
                ("StorageError::new(", &WITH_BLOB[..]),
                ("Call::new(", &WITH_BUCKET),
                ("StorageError::http(", &WITH_BUCKET),
                ("StorageError::unavailable(", &WITH_BUCKET),
                ("StorageError::store(", &WITH_BUCKET),
            ] {
                for call in product.split(maker).skip(1) {
                    if let Some(literal) = call.trim_start().strip_prefix('"') {
                        let doing = literal.split('"').next().unwrap();
                        let is_known = known.contains(&doing) || doing == "use";
                        assert!(is_known, "{doing:?} in {}", path.display());
                        found += 1;
                    }
                }
            }
        }
        assert!(found > 20, "{found}");
    }
}
