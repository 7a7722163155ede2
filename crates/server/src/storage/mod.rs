//! Where the bytes are. A blob is one file of bytes with an opaque id; it never moves and is never renamed.
//!
//! [`LocalStore`] keeps blobs in the data directory. [`PartWriter`] brings one part into its place in a
//! blob and hashes it on the way, [`PartDigests`] compares it with what its sender says of it; [`presign`] makes and
//! checks the URLs that permit sending a part. What hashes of parts make the hash of the file is partway-hash.

mod blob;
mod database_reserve;
mod digests;
mod error;
mod local;
mod part_writer;
pub mod presign;
mod verify;
mod write_gate;
mod writeback;

pub use blob::{Blob, BlobReader};
pub use database_reserve::DatabaseReserve;
pub use digests::{DigestAlgorithm, DigestMismatch, PartDigests};
pub use error::StorageError;
pub use local::{LocalStore, Scanned};
pub use part_writer::{PartWriter, WrittenPart};
pub use verify::{blob_hash, part_is_intact};
pub use write_gate::WriteGate;
