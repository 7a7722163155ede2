//! Values that all modules of the server share. This module imports none of the others.

mod allowed_hosts;
mod blob_ref;
mod content_disposition;
mod limits;
mod script_risk;

pub use allowed_hosts::AllowedHosts;
pub use blob_ref::{BlobRef, S3Delivery, StorageKind};
pub use content_disposition::content_disposition;
pub use limits::{PublicLimits, WorkspaceLimits};
pub use script_risk::{ScriptRisk, safer_type};
