//! Downloads of one file by its public URL.
//!
//! ```no_run
//! # async fn example() -> Result<(), partway_client::Error> {
//! use partway_client::{Client, Download, TransferOptions};
//!
//! let client = Client::new("http://127.0.0.1:8080", "sk_…")?;
//! let options = TransferOptions { concurrency: 8, ..TransferOptions::default() };
//! let download = Download::of("http://127.0.0.1:8080/w/video.mp4").options(options);
//! let downloaded = download.to_file(&client, "video.mp4".as_ref(), &|_| {}).await?;
//! println!("{} bytes", downloaded.size_bytes);
//! # Ok(()) }
//! ```
//!
//! Invariant: the target is either as it was before, or the whole file, compared with its hash where that is known. Bytes of two versions
//! are never mixed.

mod events;
mod intake;
mod names;
mod origin;
mod part_file;
mod ranges;
mod run;
mod state;
mod target;
mod transfer;
mod version;

use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use partway_api::{ErrorCode, FileRow};

pub use self::events::DownloadEvent;
use self::intake::{Intake, WriterSink};
use self::origin::Received;
use self::part_file::PartFile;
use self::version::Served;
use crate::blocking::blocking;
use crate::{Client, Error, TransferOptions};

/// The result of a download.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Downloaded {
    /// Size of the file.
    pub size_bytes: u64,
    /// Whether its hash was known and matched.
    pub is_verified: bool,
}

/// A download of one file: its URL, what is known of it, and how it is fetched.
#[derive(Debug, Clone)]
pub struct Download {
    url: String,
    size_bytes: Option<u64>,
    hash: Option<String>,
    overwrite: bool,
    options: TransferOptions,
}

impl Download {
    /// A download of the file served at `url`.
    pub fn of(url: impl Into<String>) -> Self {
        Self { url: url.into(), size_bytes: None, hash: None, overwrite: false, options: TransferOptions::default() }
    }

    /// A download of this file, whose size and hash are known.
    pub fn of_file(file: &FileRow) -> Self {
        Self { size_bytes: Some(file.size), ..Self::of(&file.url).hash(file.hash.clone()) }
    }

    /// The path of the bytes until the file is whole.
    pub fn part_path(target: &Path) -> PathBuf {
        names::with_suffix(target, names::PART_SUFFIX)
    }

    /// Whether an unfinished download to `target` can be resumed.
    pub fn has_begun(target: &Path) -> bool {
        part_file::has_begun(target)
    }

    /// Sets the hash that the file must have: `blake3:` and hexadecimal digits. Other hashes are not compared.
    #[must_use]
    pub fn hash(mut self, hash: Option<String>) -> Self {
        self.hash = hash.filter(|hash| hash.starts_with("blake3:"));
        self
    }

    /// Sets whether an existing file at the target is replaced.
    #[must_use]
    pub fn overwrite(mut self, overwrite: bool) -> Self {
        self.overwrite = overwrite;
        self
    }

    /// Sets how the bytes are transferred.
    #[must_use]
    pub fn options(mut self, options: TransferOptions) -> Self {
        self.options = options;
        self
    }

    /// Downloads the file to `target`, through `target.partway-part` and `target.partway-state` in the same directory.
    ///
    /// # Cancellation
    /// Dropping the future stops the download, as does the end of the process. The same call then resumes it.
    ///
    /// # Errors
    /// When the target exists or cannot be written, when the server refuses or is unreachable for longer than the retries last, when the
    /// file is not the expected one or changes on the server during the download ([`Error::Changed`]), and when the bytes have another
    /// hash ([`Error::WrongBytes`]). After the last two nothing is left, and the same call starts from the beginning. When the URL names a
    /// version (`version_url`) that is no longer there, the server refuses with [`ErrorCode::PreconditionFailed`], and nothing is left.
    pub async fn to_file(
        &self,
        client: &Client,
        target: &Path,
        on_event: &(dyn Fn(DownloadEvent<'_>) + Send + Sync),
    ) -> Result<Downloaded, Error> {
        target::check(target, self.overwrite)?;
        let origin = self.origin(client, on_event)?;
        let served = match self.look(&origin).await {
            Err(error) if error.code() == Some(ErrorCode::PreconditionFailed) => {
                // The version that the URL names does not come back, so what an earlier run received of it is of no use.
                let (path, url) = (target.to_owned(), origin.url.to_string());
                blocking(move || {
                    part_file::remove_remains(&path, &url);
                    Ok(())
                })
                .await?;
                return Err(error);
            }
            served => served?,
        };
        let path = target.to_owned();
        let part = blocking(move || PartFile::open(&path).map(Arc::new)).await?;
        let downloaded = match served {
            Served::InRanges(version) => self.in_ranges(&origin, &part, version).await?,
            Served::Whole { size_bytes } => self.as_a_whole(&origin, &part, size_bytes).await?,
        };
        let overwrite = self.overwrite;
        blocking(move || part.publish(overwrite)).await?;
        Ok(downloaded)
    }

    /// Downloads the file into a writer, from its beginning to its end, over one connection at a time. The hash is compared only after
    /// everything is written.
    ///
    /// # Errors
    /// As [`to_file`](Self::to_file), and [`Error::Output`] when the writer fails. Bytes that were written stay written.
    pub async fn to_writer(
        &self,
        client: &Client,
        writer: impl Write + Send + 'static,
        on_event: &(dyn Fn(DownloadEvent<'_>) + Send + Sync),
    ) -> Result<Downloaded, Error> {
        let origin = self.origin(client, on_event)?;
        let served = self.look(&origin).await?;
        on_event(DownloadEvent::Started { size_bytes: served.size_bytes(), bytes_there: 0 });
        let mut intake = Intake::new(WriterSink::new(writer), 0);
        match &served {
            Served::InRanges(version) => origin.fetch(version, &mut intake, version.size_bytes).await?,
            Served::Whole { .. } => {
                let attempt = async || origin.receive(origin.open_whole().await?, &mut intake, None).await;
                match origin.with_retries(attempt, &|| 0).await? {
                    Received::All => {}
                    // Without ranges a retry would begin with bytes that are written already.
                    Received::Part(error) => return Err(error),
                }
            }
        }
        on_event(DownloadEvent::Completing);
        let size_bytes = intake.next();
        self.check_size(&origin, Some(size_bytes))?;
        let found = match intake.into_sink() {
            Some(sink) => Some(blocking(move || sink.finish()).await?),
            None => None,
        };
        Ok(Downloaded { size_bytes, is_verified: self.check_hash(&origin, found)? })
    }
}
