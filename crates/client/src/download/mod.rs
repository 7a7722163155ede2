//! Downloading one file by its public URL.
//!
//! Invariant: what is at the target is the file, whole and compared with its hash where that is known, or what was there
//! before. Bytes of two versions are never mixed.

mod intake;
mod origin;
mod part_file;
mod ranges;
mod state;
mod transfer;
mod version;

use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use partway_api::FileRow;
use url::Url;

use self::intake::{Intake, PartSink, WriterSink};
use self::origin::{Origin, Received};
use self::part_file::PartFile;
use self::ranges::Ranges;
use self::transfer::Transfer;
use self::version::{Served, Version};
use crate::blocking::blocking;
use crate::{Client, Error, RetryPolicy};

/// Ranges fetched at once unless told otherwise: as many as parts are sent.
const DEFAULT_CONCURRENCY: usize = 4;
/// A connection that brings nothing for so long is dead.
const DEFAULT_STALL_TIMEOUT: Duration = Duration::from_secs(60);

/// What happens during a download, for whoever shows it.
#[derive(Debug)]
pub enum DownloadEvent<'e> {
    /// What an earlier run left is of another version, or of no use; it is not gone on with.
    StartedAnew,
    /// It is known what is to come; nothing has yet.
    Started {
        /// Size of the file, if the server tells it.
        size_bytes: Option<u64>,
        /// Bytes that an earlier run left.
        bytes_there: u64,
    },
    /// More bytes came and were written.
    Received {
        /// How many.
        bytes: u64,
    },
    /// A request failed and will be tried again.
    Retrying {
        /// Why it failed.
        error: &'e Error,
        /// Bytes counted as received that will come again.
        bytes_lost: u64,
        /// How long until then.
        pause: Duration,
    },
    /// All bytes are there; they are compared and synced.
    Completing,
}

/// What was downloaded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Downloaded {
    /// Size of the file.
    pub size_bytes: u64,
    /// Whether its hash is known and is that of what came.
    pub is_verified: bool,
}

/// A file to be downloaded, and how.
#[derive(Debug, Clone)]
pub struct Download {
    url: String,
    size_bytes: Option<u64>,
    hash: Option<String>,
    overwrite: bool,
    concurrency: usize,
    retry: RetryPolicy,
    stall_timeout: Duration,
}

impl Download {
    /// A download of what is served at `url`.
    pub fn of(url: impl Into<String>) -> Self {
        Self {
            url: url.into(),
            size_bytes: None,
            hash: None,
            overwrite: false,
            concurrency: DEFAULT_CONCURRENCY,
            retry: RetryPolicy::default(),
            stall_timeout: DEFAULT_STALL_TIMEOUT,
        }
    }

    /// A download of this file, of which size and hash are known.
    pub fn of_file(file: &FileRow) -> Self {
        Self { size_bytes: Some(file.size), ..Self::of(&file.url).hash(file.hash.clone()) }
    }

    /// Where the bytes of a file are until it is whole.
    pub fn part_path(target: &Path) -> PathBuf {
        part_file::beside(target, part_file::PART_ENDING)
    }

    /// Whether there are bytes and notes of a download to `target` that was not finished, with which another one can go on.
    pub fn has_begun(target: &Path) -> bool {
        part_file::has_begun(target)
    }

    /// The hash that the file must have: `blake3:` and hexadecimal digits. Others are not compared.
    #[must_use]
    pub fn hash(mut self, hash: Option<String>) -> Self {
        self.hash = hash.filter(|hash| hash.starts_with("blake3:"));
        self
    }

    /// Whether a file that is at the target already is replaced.
    #[must_use]
    pub fn overwrite(mut self, overwrite: bool) -> Self {
        self.overwrite = overwrite;
        self
    }

    /// How many ranges are fetched at once; at least one.
    #[must_use]
    pub fn concurrency(mut self, ranges: usize) -> Self {
        self.concurrency = ranges.max(1);
        self
    }

    /// How requests are tried again.
    #[must_use]
    pub fn retry(mut self, retry: RetryPolicy) -> Self {
        self.retry = retry;
        self
    }

    /// After how long without a byte a connection counts as dead.
    #[must_use]
    pub fn stall_timeout(mut self, stall_timeout: Duration) -> Self {
        self.stall_timeout = stall_timeout;
        self
    }

    /// Downloads the file to `target`, by way of `target.partway-part` and `target.partway-state` beside it. Dropping the
    /// future stops it, and so does whatever ends the process; the same call again then goes on with what is there.
    ///
    /// # Errors
    /// When the target is there already or cannot be written, when the server refuses or cannot be reached for longer
    /// than the retries last, when the file is not the one that is expected or changes on the server meanwhile
    /// ([`Error::Changed`]), and when what came has another hash ([`Error::WrongBytes`]); after the last two nothing is
    /// left of it, and the same call starts anew.
    pub async fn to_file(
        &self,
        client: &Client,
        target: &Path,
        on_event: &(dyn Fn(DownloadEvent<'_>) + Send + Sync),
    ) -> Result<Downloaded, Error> {
        PartFile::check_target(target, self.overwrite)?;
        let origin = self.origin(client, on_event)?;
        let served = self.look(&origin).await?;
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

    /// Downloads the file into a writer, from its beginning to its end, over one connection at a time. Whether the hash is
    /// right is known only when all is written.
    ///
    /// # Errors
    /// As [`to_file`](Self::to_file); and [`Error::Output`] when the writer fails. What was written cannot be taken back.
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
                match origin.patiently(attempt, &|| 0).await? {
                    Received::All => {}
                    // Without ranges it would come from its beginning again, which is written already.
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

    fn origin<'o>(
        &self,
        client: &'o Client,
        on_event: &'o (dyn Fn(DownloadEvent<'_>) + Send + Sync),
    ) -> Result<Origin<'o>, Error> {
        let url = Url::parse(&self.url)
            .map_err(|error| Error::Address { url: self.url.clone(), problem: error.to_string() })?;
        Ok(Origin { client, url, retry: self.retry, stall_timeout: self.stall_timeout, on_event })
    }

    async fn look(&self, origin: &Origin<'_>) -> Result<Served, Error> {
        if self.size_bytes == Some(0) {
            // Stores have several answers to a request for the first byte of an empty object.
            return Ok(Served::Whole { size_bytes: Some(0) });
        }
        let served = origin.look().await?;
        self.check_size(origin, served.size_bytes())?;
        Ok(served)
    }

    async fn in_ranges(
        &self,
        origin: &Origin<'_>,
        part: &Arc<PartFile>,
        version: Version,
    ) -> Result<Downloaded, Error> {
        let (url, size_bytes) = (origin.url.to_string(), version.size_bytes);
        let (file, wanted) = (Arc::clone(part), version.clone());
        let (received, is_anew) = blocking(move || match file.recall(&url, &wanted) {
            Some(received) => Ok((received, false)),
            None => {
                let is_anew = file.has_remains();
                file.begin(&url, &wanted)?;
                Ok((Ranges::default(), is_anew))
            }
        })
        .await?;
        if is_anew {
            (origin.on_event)(DownloadEvent::StartedAnew);
        }
        (origin.on_event)(DownloadEvent::Started { size_bytes: Some(size_bytes), bytes_there: received.total() });
        let with_hash = self.hash.is_some();
        let transfer = Transfer::new(origin, Arc::clone(part), version, received, with_hash, self.concurrency);
        let outcome = transfer.run().await.and_then(|()| {
            (origin.on_event)(DownloadEvent::Completing);
            self.check_hash(origin, transfer.hash())
        });
        match outcome {
            Ok(is_verified) => Ok(Downloaded { size_bytes, is_verified }),
            Err(error) => {
                if transfer.is_empty() || matches!(error, Error::Changed { .. } | Error::WrongBytes { .. }) {
                    part.discard();
                }
                Err(error)
            }
        }
    }

    /// Without ranges nothing can be gone on with: what breaks comes from its beginning again.
    async fn as_a_whole(
        &self,
        origin: &Origin<'_>,
        part: &Arc<PartFile>,
        size_bytes: Option<u64>,
    ) -> Result<Downloaded, Error> {
        (origin.on_event)(DownloadEvent::Started { size_bytes, bytes_there: 0 });
        let came = AtomicU64::new(0);
        let attempt = async || {
            let file = Arc::clone(part);
            blocking(move || file.empty()).await?;
            let response = origin.open_whole().await?;
            let sink = PartSink::new(Arc::clone(part), 0, Arc::new(Mutex::default()), None);
            let mut intake = Intake::new(sink, 0);
            let received = origin.receive(response, &mut intake, None).await?;
            came.store(intake.next(), Ordering::Relaxed);
            match received {
                Received::All => Ok(intake.next()),
                Received::Part(error) => Err(error),
            }
        };
        let compare = async {
            let size_bytes = origin.patiently(attempt, &|| came.swap(0, Ordering::Relaxed)).await?;
            (origin.on_event)(DownloadEvent::Completing);
            self.check_size(origin, Some(size_bytes))?;
            let found = match self.hash {
                Some(_) => Some(hash_of(Arc::clone(part), size_bytes).await?),
                None => None,
            };
            Ok(Downloaded { size_bytes, is_verified: self.check_hash(origin, found)? })
        };
        let outcome = compare.await;
        if outcome.is_err() {
            part.discard();
        }
        outcome
    }

    fn check_size(&self, origin: &Origin<'_>, size_bytes: Option<u64>) -> Result<(), Error> {
        match (self.size_bytes, size_bytes) {
            (Some(expected), Some(found)) if expected != found => Err(origin.changed()),
            _ => Ok(()),
        }
    }

    /// Whether the hash is known and right.
    fn check_hash(&self, origin: &Origin<'_>, found: Option<blake3::Hash>) -> Result<bool, Error> {
        let Some(expected) = &self.hash else { return Ok(false) };
        let found = found.map_or_else(|| "without a hash".to_owned(), |found| format!("blake3:{found}"));
        if found == *expected {
            return Ok(true);
        }
        Err(Error::WrongBytes { url: origin.url.to_string(), found, expected: expected.clone() })
    }
}

async fn hash_of(part: Arc<PartFile>, size_bytes: u64) -> Result<blake3::Hash, Error> {
    blocking(move || {
        let mut hasher = blake3::Hasher::new();
        part.read(0..size_bytes, |bytes| {
            hasher.update(bytes);
        })?;
        Ok(hasher.finalize())
    })
    .await
}
