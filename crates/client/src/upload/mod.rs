//! Uploads of one file.
//!
//! ```no_run
//! # async fn example() -> Result<(), partway_client::Error> {
//! use partway_client::{Client, Event, TransferOptions, Upload};
//!
//! let client = Client::new("http://127.0.0.1:8080", "sk_…")?;
//! let options = TransferOptions { concurrency: 8, ..TransferOptions::default() };
//! let upload = Upload::of("video.mp4").folder("uploads").options(options);
//! let record = upload
//!     .send(&client, &|event| {
//!         if let Event::Retrying { error, pause, .. } = event {
//!             eprintln!("{error}; retrying in {} s", pause.as_secs());
//!         }
//!     })
//!     .await?;
//! println!("{}", record.url);
//! # Ok(()) }
//! ```
//!
//! Invariant: a file is completed only from parts of this file. Where the server compares the hash of the whole file, a
//! mismatch shows. Where it compares none, as with parts in an S3 store, a part of an earlier run counts only if the hash of the bytes
//! sent then equals that of the file's bytes now, and the store still has the part under the ETag that it answered then. Other parts
//! are sent again, and completing names the ETags of this client's PUTs.

mod events;
mod pace;
mod send_part;
mod session;
mod time_limit;
mod transfer;
mod watch;

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use partway_api::{FileRecord, StartRequest};
use serde_json::{Map, Value};

use self::events::retrying;
pub use self::events::{Event, PartHash, SentPart};
use self::pace::Pace;
use self::transfer::Transfer;
use crate::blocking::blocking;
use crate::source::Source;
use crate::{Client, Error, TransferOptions};

/// Lifetime requested for a session and its URLs; both are renewed while parts are sent.
const SESSION_TTL: Duration = Duration::from_secs(24 * 60 * 60);
/// The slowest line that an upload expects, in bytes per second and connection.
const DEFAULT_SLOWEST_RATE: u64 = 4 * 1024;
/// Parts of an earlier run that are read at the same time, to hash them.
const MAX_CONCURRENT_READS: usize = 2;

/// An upload of one file: what is uploaded, under which name, and how it is sent.
#[derive(Debug, Clone)]
pub struct Upload {
    path: PathBuf,
    name: Option<String>,
    folder: Option<String>,
    tags: Vec<String>,
    metadata: Option<Map<String, Value>>,
    custom_id: Option<String>,
    random_prefix: bool,
    options: TransferOptions,
    digests: bool,
    slowest_rate: u64,
    session_id: Option<String>,
    may_start_again: bool,
    sent_parts: HashMap<u32, SentPart>,
    idempotency_key: Option<String>,
    part_size: Option<u64>,
}

impl Upload {
    /// An upload of the file at `path`, under its own name.
    pub fn of(path: impl Into<PathBuf>) -> Self {
        Self {
            path: path.into(),
            name: None,
            folder: None,
            tags: Vec::new(),
            metadata: None,
            custom_id: None,
            random_prefix: false,
            options: TransferOptions::default(),
            digests: true,
            slowest_rate: DEFAULT_SLOWEST_RATE,
            session_id: None,
            may_start_again: false,
            sent_parts: HashMap::new(),
            idempotency_key: None,
            part_size: None,
        }
    }

    /// Sets the name in the workspace; the file's own by default.
    #[must_use]
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.name = Some(name.into());
        self
    }

    /// Sets the folder in the workspace; the root by default. Missing folders are created.
    #[must_use]
    pub fn folder(mut self, folder: impl Into<String>) -> Self {
        self.folder = Some(folder.into());
        self
    }

    /// Sets the tags.
    #[must_use]
    pub fn tags(mut self, tags: Vec<String>) -> Self {
        self.tags = tags;
        self
    }

    /// Sets the metadata; an empty object counts as none.
    #[must_use]
    pub fn metadata(mut self, metadata: Map<String, Value>) -> Self {
        self.metadata = Some(metadata).filter(|metadata| !metadata.is_empty());
        self
    }

    /// Sets the file's id in your own system.
    #[must_use]
    pub fn custom_id(mut self, custom_id: impl Into<String>) -> Self {
        self.custom_id = Some(custom_id.into());
        self
    }

    /// Sets whether the server puts eight random characters in front of the name.
    #[must_use]
    pub fn random_prefix(mut self, random_prefix: bool) -> Self {
        self.random_prefix = random_prefix;
        self
    }

    /// Sets whether each part is sent with its SHA-256, which the server compares; on by default.
    #[must_use]
    pub fn digests(mut self, digests: bool) -> Self {
        self.digests = digests;
        self
    }

    /// Sets how the bytes are transferred. Bytes in local buffers get additional time beyond `stall_timeout`, at the slowest rate.
    #[must_use]
    pub fn options(mut self, options: TransferOptions) -> Self {
        self.options = options;
        self
    }

    /// Sets the slowest line to expect, in bytes per second and connection; at least 1.
    #[must_use]
    pub fn slowest_rate(mut self, bytes_per_second: u64) -> Self {
        self.slowest_rate = bytes_per_second.max(1);
        self
    }

    /// Resumes this session instead of starting one: only missing parts are sent. Name, folder, tags and metadata are those that the session
    /// was started with. Where its parts are too large for a proxy, the upload fails and the session stays open, unless
    /// [`may_start_again`](Self::may_start_again) is set.
    #[must_use]
    pub fn resume(mut self, session_id: impl Into<String>) -> Self {
        self.session_id = Some(session_id.into());
        self
    }

    /// Sets whether the session that is resumed may be aborted for a new one with smaller parts; off by default. The new one gets this
    /// upload's name, folder, tags and metadata, so they must be those that the resumed session was started with.
    #[must_use]
    pub fn may_start_again(mut self, may_start_again: bool) -> Self {
        self.may_start_again = may_start_again;
        self
    }

    /// Sets the notes of parts that earlier runs sent, from [`Event::PartSent`].
    #[must_use]
    pub fn sent_parts(mut self, sent_parts: HashMap<u32, SentPart>) -> Self {
        self.sent_parts = sent_parts;
        self
    }

    /// Sets the idempotency key. Starting again with the same key, also in another process, answers the same session.
    #[must_use]
    pub fn idempotency_key(mut self, idempotency_key: impl Into<String>) -> Self {
        self.idempotency_key = Some(idempotency_key.into());
        self
    }

    /// Sets the size of the parts in bytes, for proxies that limit requests; by default the server chooses it. A session that is
    /// resumed keeps its parts. Where a proxy refuses parts for their size or duration, the upload starts again with smaller ones.
    #[must_use]
    pub fn part_size(mut self, bytes: u64) -> Self {
        self.part_size = Some(bytes);
        self
    }

    /// Uploads the file.
    ///
    /// # Cancellation
    /// Dropping the future stops the upload. Its session stays on the server until it expires; [`resume`](Self::resume) continues it.
    ///
    /// # Errors
    /// When the file cannot be read or changes during the upload, when the server refuses, or when it is unreachable for longer than
    /// the retries last.
    pub async fn send(
        &self,
        client: &Client,
        on_event: &(dyn Fn(Event<'_>) + Send + Sync),
    ) -> Result<FileRecord, Error> {
        let path = self.path.clone();
        let source = blocking(move || Source::open(&path)).await?;
        if source.size_bytes() == 0 {
            return self.send_empty(client, &source, on_event).await;
        }
        let mut session = match &self.session_id {
            Some(session_id) => self.join(client, session_id, &source, on_event).await?,
            None => self.start(client, &source, self.part_size, on_event).await?,
        };
        let pace = Pace::new(self.options.at_once());
        loop {
            let id = session.id.clone();
            on_event(session.started());
            let transfer = Transfer::new(self, client, source.clone(), session, &pace, on_event);
            let sent = transfer.run().await;
            let Err(error) = &sent else { return sent };
            let Some(part_size) = transfer.smaller_part_size(error) else { return sent };
            on_event(Event::SmallerParts { error, part_size });
            // If that fails, the session expires.
            let _ = client.abort(&id).await;
            pace.smaller_parts();
            session = self.start(client, &source, Some(part_size), on_event).await?;
            if session.part_size() > part_size {
                // The server is too old to be asked.
                return sent;
            }
        }
    }

    /// Uploads an empty file in one request: a session has at least one byte.
    async fn send_empty(
        &self,
        client: &Client,
        source: &Source,
        on_event: &(dyn Fn(Event<'_>) + Send + Sync),
    ) -> Result<FileRecord, Error> {
        if self.session_id.is_some() {
            return Err(source.unfit("is empty, and is not the file that the session was started for"));
        }
        let request = self.start_request(source, None)?;
        let upload = async || client.upload_empty(&request).await;
        // With a random prefix, a retry would create a second file.
        let is_retryable = |error: &Error| error.is_transient() && (!self.random_prefix || error.had_no_effect());
        let record = self.options.retry.run(upload, is_retryable, retrying(on_event)).await?;
        match source.check_unchanged() {
            Err(Error::Unfit { .. }) => {
                Err(source.unfit("was uploaded as it was, empty, and has changed since; upload it again"))
            }
            checked => checked.map(|()| record),
        }
    }

    fn start_request(&self, source: &Source, part_size: Option<u64>) -> Result<StartRequest, Error> {
        let file_name = self.file_name().ok_or_else(|| source.unfit("has a name that is not UTF-8"))?;
        Ok(StartRequest {
            format: mime_guess::from_path(&file_name).first_or_octet_stream().to_string(),
            file_name,
            size: source.size_bytes(),
            folder: self.folder.clone(),
            tags: self.tags.clone(),
            metadata: self.metadata.clone(),
            custom_id: self.custom_id.clone(),
            random_prefix: self.random_prefix,
            part_size,
            ttl_seconds: Some(SESSION_TTL.as_secs()),
            webhook_url: None,
            hash: None,
        })
    }

    fn file_name(&self) -> Option<String> {
        let own_name = || Path::file_name(&self.path).and_then(|name| name.to_str()).map(str::to_owned);
        self.name.clone().or_else(own_name)
    }
}
