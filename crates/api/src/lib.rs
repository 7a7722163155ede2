//! What Partway says on the wire, in one place for server and client: the JSON bodies, the closed set
//! of error codes, the limits, and the plan that cuts a file into parts.
//!
//! This crate depends on serde alone, so that a client pays for nothing it does not use.

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
    CompleteRequest, PartUrl, Policy, ResignRequest, ResignResponse, SessionList, SessionResponse, SessionSummary,
    StartRequest, StartResponse,
};
pub use page::PageMeta;
pub use part_plan::PartPlan;
pub use record::{FileRecord, FileSummary};
