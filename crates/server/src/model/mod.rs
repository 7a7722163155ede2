//! Values that every room of the server speaks of. They import nothing of it.

mod allowed_hosts;
mod blob_ref;
mod limits;

pub use allowed_hosts::{AllowedHosts, NameServers};
pub use blob_ref::{BlobRef, S3Delivery, StorageKind};
pub use limits::{PublicLimits, WorkspaceLimits};
