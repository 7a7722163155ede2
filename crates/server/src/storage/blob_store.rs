//! What every storage can do with blobs. How parts of an upload get into one differs, and is each storage's own:
//! `LocalStore` receives them, `S3Store` presigns URLs for them.

use std::ops::Range;
use std::pin::Pin;

use bytes::Bytes;
use futures_util::Stream;
use futures_util::future::BoxFuture;
use uuid::Uuid;

use super::StorageError;
use crate::model::{ScriptRisk, StorageKind, content_disposition};

/// Bytes on their way.
pub type ByteStream = Pin<Box<dyn Stream<Item = Result<Bytes, StorageError>> + Send>>;

/// Where the bytes of a new blob come from. Any range may be asked for again: what failed is sent again.
pub trait ByteSource: Send + Sync {
    /// The bytes of a range that is within the source.
    fn read(&self, range: Range<u64>) -> BoxFuture<'_, Result<ByteStream, StorageError>>;
}

/// What the storage says of a blob that it has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredBlob {
    /// How many bytes it has.
    pub size_bytes: u64,
    /// The storage's own entity tag, with its quotes, where it has one.
    pub entity_tag: Option<String>,
    /// CRC-64/NVME of the whole blob, in base64, where the storage keeps one.
    pub crc64nvme: Option<String>,
}

/// What a storage that serves blobs itself is to say of one.
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
/// Everything may be repeated. A failed `put_blob` may leave bytes under the id: who gave the id out accounts for it.
pub trait BlobStore: Send + Sync {
    /// Which one it is.
    fn kind(&self) -> StorageKind;

    /// Writes a blob whole. When this returns its bytes survive a power cut, as far as the storage can promise.
    fn put_blob<'s>(
        &'s self,
        blob_id: Uuid,
        size_bytes: u64,
        headers: &'s BlobHeaders,
        source: &'s dyn ByteSource,
    ) -> BoxFuture<'s, Result<(), StorageError>>;

    /// The bytes of a range that is within the blob. A blob that is not there is an error for which `is_missing` is true.
    fn read_blob(&self, blob_id: Uuid, range: Range<u64>) -> BoxFuture<'_, Result<ByteStream, StorageError>>;

    /// What there is of a blob; `None` when it is not there.
    fn find_blob(&self, blob_id: Uuid) -> BoxFuture<'_, Result<Option<StoredBlob>, StorageError>>;

    /// Deletes a blob, and whatever is there of an unfinished upload of it. One that is not there counts as deleted.
    fn delete_blob(&self, blob_id: Uuid) -> BoxFuture<'_, Result<(), StorageError>>;

    /// Everything that is where blobs are.
    fn list_blobs(&self) -> BoxFuture<'_, Result<Vec<Scanned>, StorageError>>;

    /// Whether the storage can be used now.
    fn check(&self) -> BoxFuture<'_, Result<(), StorageError>>;
}

/// What is found where blobs are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Scanned {
    /// A blob.
    Blob(Uuid),
    /// Something that this storage has not made: its path or key.
    Foreign(String),
    /// Something that cannot be read: its path, and why.
    Unreadable(String, String),
}
