//! Kinds of storage, and references to blobs.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// A kind of storage.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum StorageKind {
    /// Files of the data directory.
    #[default]
    Local,
    /// Objects of a bucket.
    S3,
}

impl StorageKind {
    /// The kind, as in the database and in settings.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Local => "local",
            Self::S3 => "s3",
        }
    }

    /// Every kind.
    pub const ALL: [Self; 2] = [Self::Local, Self::S3];

    /// Reads [`as_str`](Self::as_str).
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == text)
    }
}

impl std::fmt::Display for StorageKind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A blob and its storage.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct BlobRef {
    /// Its storage.
    pub storage: StorageKind,
    /// Its id in the storage.
    pub id: Uuid,
}

/// How files of a bucket are served.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum S3Delivery {
    /// By a redirect to the store's own presigned URL: the bytes do not pass the server.
    Redirect,
    /// Through the server.
    Stream,
}
