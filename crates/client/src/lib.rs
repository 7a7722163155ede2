//! Uploads files to Partway and downloads them in parallel parts, with retries, resuming and progress; manages the files and folders of a
//! workspace.
//!
//! ```no_run
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! use partway_client::{Client, Upload};
//!
//! let client = Client::new("http://127.0.0.1:8080", "sk_…")?;
//! let record = Upload::of("video.mp4").folder("uploads/videos").send(&client, &|_| {}).await?;
//! println!("{}", record.url);
//! # Ok(()) }
//! ```
//!
//! ```no_run
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! use partway_client::{Client, Download, Workspace};
//!
//! let client = Client::new("http://127.0.0.1:8080", "sk_…")?;
//! let file = Workspace::of(client.clone()).find_file("uploads/videos/video.mp4").await?;
//! Download::of_file(&file).to_file(&client, "copy.mp4".as_ref(), &|_| {}).await?;
//! # Ok(()) }
//! ```
//!
//! Files are read and written on the disk at the offset of each part. Memory is a few hundred KiB per connection and does not depend on the
//! size of the file.

#![cfg_attr(not(test), warn(clippy::too_many_lines))]

mod blocking;
mod client;
mod connection_error;
mod download;
mod error;
mod files;
mod folders;
pub mod local_files;
mod pages;
mod part_body;
mod part_hashes;
mod part_urls;
mod retry;
mod source;
mod transfer_options;
mod upload;
mod workspace;

pub use client::Client;
pub use download::{Download, DownloadEvent, Downloaded};
pub use error::Error;
pub use files::{FileQuery, FileSort};
pub use folders::{FolderQuery, FolderSort};
pub use partway_api::limits::MAX_PARTS;
pub use partway_api::{
    CreateFolderRequest, DeletedFolder, ErrorCode, FileList, FileRecord, FileRow, Folder, FolderList, PageMeta,
    RenameFileRequest, RenameFolderRequest, UpdateFileRequest,
};
pub use retry::RetryPolicy;
pub use transfer_options::TransferOptions;
pub use upload::{Event, PartHash, SentPart, Upload};
pub use workspace::Workspace;
