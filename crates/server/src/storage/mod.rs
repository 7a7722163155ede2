//! Storage of bytes. A blob is bytes under an opaque id; once complete, it is never changed and never renamed.
//!
//! [`BlobStore`] has the operations of every storage. [`LocalStore`] keeps blobs in the data directory, [`S3Store`] in a
//! bucket; [`Stores`] has those of a server. [`BlobWriter`] writes a blob sequentially, [`PartWriter`] writes one part at its
//! offset and hashes it, [`PartDigests`] compares it with the digests of its sender. partway-hash combines hashes of parts
//! into the hash of the file.

mod blob;
mod blob_store;
mod blob_writer;
mod digests;
mod disk_room;
mod error;
pub mod filesystem;
mod late_room;
mod local;
mod local_blobs;
mod local_scan;
mod part_writer;
pub(crate) mod s3;
mod stores;
mod unclaimed;
mod verify;
mod write_gate;
mod writeback;

pub use blob::{Blob, BlobReader};
pub use blob_store::{BlobHeaders, BlobStore, ByteSource, ByteStream, Scanned, StoredBlob};
pub use blob_writer::BlobWriter;
pub use digests::{DigestAlgorithm, DigestMismatch, PartDigests};
pub use disk_room::{DiskState, Promise};
pub use error::StorageError;
pub use local::LocalStore;
pub use part_writer::{PartWriter, WrittenPart};
pub use s3::{
    COMPLETE_TIMEOUT, MAX_STREAM_BYTES, ObjectReader, PROBE_BYTES, PartInStore, S3Settings, S3Store, StoreClock,
    StoreUpload,
};
pub use stores::Stores;
pub use unclaimed::UnclaimedBytes;
pub use verify::{blob_hash, part_is_intact, stream_hash};
pub use write_gate::WriteGate;
