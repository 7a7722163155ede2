//! Values that all modules of the server share. This module imports none of the others.

mod allowed_hosts;
mod blob_ref;
mod category;
mod content_disposition;
mod file_version;
mod key_kind;
mod known_types;
mod limits;
mod lists;
mod served_type;
mod session_status;
mod text_types;
mod timestamp;

pub use allowed_hosts::AllowedHosts;
pub use blob_ref::{BlobRef, S3Delivery, StorageKind};
pub use category::category;
pub use content_disposition::content_disposition;
pub use file_version::FileVersion;
pub use key_kind::KeyKind;
pub use known_types::{UNKNOWN_TYPE, essence, known_type, type_of_extension};
pub use limits::{PublicLimits, WorkspaceLimits};
pub use lists::{FileFilter, FileKey, FileOrder, FolderFilter, FolderOrder};
pub use served_type::{ScriptRisk, content_type, safer_type};
pub use session_status::SessionStatus;
pub use text_types::{is_markup, is_text_type};
pub use timestamp::Timestamp;
