//! Uploads files to Partway: parts in parallel, retries, resuming, progress.
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
//! A file is read straight from the disk, at the offset of each part, never whole. Memory is a few hundred KiB a
//! connection, whatever the size of the file.

mod client;
mod error;
mod part_body;
mod part_hashes;
mod part_urls;
mod retry;
mod source;
mod upload;

pub use client::Client;
pub use error::Error;
pub use partway_api::{ErrorCode, FileRecord};
pub use retry::RetryPolicy;
pub use upload::{Event, Upload};
