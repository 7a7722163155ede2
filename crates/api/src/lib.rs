//! The wire contract of Partway, shared by server and client: the JSON bodies, the closed set of error codes, the limits, and the plan that
//! cuts a file into parts.
//!
//! The crate depends on serde alone, so that a client compiles nothing that it does not use.

#![cfg_attr(not(test), warn(clippy::too_many_lines))]

pub mod error;
pub mod files;
pub mod folders;
pub mod limits;
pub mod multipart;
pub mod page;
pub mod part_plan;
pub mod record;
#[cfg(feature = "openapi")]
pub mod schema;

pub use error::{ErrorBody, ErrorCode};
pub use files::{
    DeleteFilePreview, FileList, FileResponse, FileRow, RemoteUploadRequest, RenameFileRequest, UpdateFileRequest,
};
pub use folders::{CreateFolderRequest, DeleteFolderPreview, DeletedFolder, Folder, FolderList, RenameFolderRequest};
pub use multipart::{
    CompleteRequest, PartLimits, PartUrl, Policy, ResignRequest, ResignResponse, SessionList, SessionResponse,
    SessionSummary, StartRequest, StartResponse,
};
pub use page::PageMeta;
pub use part_plan::PartPlan;
pub use record::{FileRecord, FileSummary};
