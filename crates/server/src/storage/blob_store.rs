//! The operations on blobs that every storage has. Parts of an upload are each storage's own matter: `LocalStore` receives
//! them, `S3Store` presigns URLs for them.

use std::ops::Range;
use std::pin::Pin;

use bytes::Bytes;
use futures_util::Stream;
use futures_util::future::BoxFuture;
use uuid::Uuid;

use super::StorageError;
use crate::model::{ScriptRisk, StorageKind, content_disposition};

/// Bytes as they come.
pub type ByteStream = Pin<Box<dyn Stream<Item = Result<Bytes, StorageError>> + Send>>;

/// The bytes of a new blob. Any range may be read again, for a retry.
pub trait ByteSource: Send + Sync {
    /// The bytes of a range that is within the source.
    fn read(&self, range: Range<u64>) -> BoxFuture<'_, Result<ByteStream, StorageError>>;
}

/// A blob, as the storage describes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredBlob {
    /// Size in bytes.
    pub size_bytes: u64,
    /// The storage's own entity tag, with its quotes, where it has one.
    pub entity_tag: Option<String>,
    /// CRC-64/NVME of the whole blob, in base64, where the storage keeps one.
    pub crc64nvme: Option<String>,
}

/// Headers with which a storage that serves blobs itself answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BlobHeaders {
    /// `Content-Type`
    pub content_type: String,
    /// `Content-Disposition`
    pub content_disposition: String,
}

impl BlobHeaders {
    /// The headers of a file. A store cannot sandbox a file that a browser could run: such a file is saved and not shown.
    pub fn of_file(name: &str, mime_type: &str) -> Self {
        let as_attachment = ScriptRisk::of(mime_type) >= ScriptRisk::Active;
        Self { content_type: mime_type.to_owned(), content_disposition: content_disposition(name, as_attachment) }
    }
}

/// Blobs: bytes under an id, written once and never changed.
///
/// All methods are idempotent. A failed `put_blob` may leave bytes under the id; the caller, who chose the id, must delete
/// them.
pub trait BlobStore: Send + Sync {
    /// The kind of the storage.
    fn kind(&self) -> StorageKind;

    /// Writes a blob whole. When this returns its bytes survive a power cut, as far as the storage can promise.
    fn put_blob<'s>(
        &'s self,
        blob_id: Uuid,
        size_bytes: u64,
        headers: &'s BlobHeaders,
        source: &'s dyn ByteSource,
    ) -> BoxFuture<'s, Result<(), StorageError>>;

    /// The bytes of a range that is within the blob. For a blob that does not exist, `is_missing` of the error is true.
    fn read_blob(&self, blob_id: Uuid, range: Range<u64>) -> BoxFuture<'_, Result<ByteStream, StorageError>>;

    /// Describes a blob; `None` when it does not exist.
    fn find_blob(&self, blob_id: Uuid) -> BoxFuture<'_, Result<Option<StoredBlob>, StorageError>>;

    /// Deletes a blob, and all that an unfinished upload of it left. A missing one counts as deleted.
    fn delete_blob(&self, blob_id: Uuid) -> BoxFuture<'_, Result<(), StorageError>>;

    /// All entries of the place where blobs are stored.
    fn list_blobs(&self) -> BoxFuture<'_, Result<Vec<Scanned>, StorageError>>;

    /// Whether the storage can be used now.
    fn check(&self) -> BoxFuture<'_, Result<(), StorageError>>;
}

/// An entry of the place where blobs are stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Scanned {
    /// A blob.
    Blob(Uuid),
    /// An entry that this storage did not make: its path or key.
    Foreign(String),
    /// An entry that cannot be read: its path, and the reason.
    Unreadable(String, String),
}
