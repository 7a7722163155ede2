//! Values that every room of the server speaks of. They import nothing of it.

mod blob_ref;
mod limits;

pub use blob_ref::{BlobRef, StorageKind};
pub use limits::{PublicLimits, WorkspaceLimits};
