//! Where the bytes are. A blob is one file of bytes with an opaque id; it never moves and is never renamed.
//!
//! [`LocalStore`] keeps blobs in the data directory. [`PartWriter`] brings one part into its place in a
//! blob and hashes it on the way; [`subtrees`] is the arithmetic that makes hashes of parts into the hash of
//! the file; [`presign`] makes and checks the URLs that permit sending a part.

mod blob;
mod error;
mod local;
mod part_writer;
pub mod presign;
pub mod subtrees;
mod verify;
mod write_gate;
mod writeback;

pub use blob::{Blob, BlobReader};
pub use error::StorageError;
pub use local::LocalStore;
pub use part_writer::PartWriter;
pub use verify::part_is_intact;
pub use write_gate::WriteGate;
