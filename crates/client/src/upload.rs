//! Uploading one file.

use std::fs::{File, Metadata};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use futures_util::{StreamExt, TryStreamExt, stream};
use partway_api::{CompleteRequest, FileRecord, StartRequest, StartResponse};
use serde_json::{Map, Value};

use crate::{Client, Error, RetryPolicy};

/// Parts sent at once unless told otherwise: enough to fill a line with some delay, few enough for a phone.
const DEFAULT_CONCURRENCY: usize = 4;
/// Life asked for a session and its URLs: a large file over a slow line takes more than the server's default hour.
const TTL_SECONDS: u64 = 24 * 60 * 60;

/// What happens during an upload, for whoever shows it.
#[derive(Debug)]
pub enum Event<'e> {
    /// The server has made a session.
    Started {
        /// What it answered.
        session: &'e StartResponse,
        /// Size of the file.
        size_bytes: u64,
    },
    /// More bytes are on their way.
    Sent {
        /// How many.
        bytes: u64,
    },
    /// A request failed and will be tried again.
    Retrying {
        /// Why it failed.
        error: &'e Error,
        /// Bytes counted as sent that will be sent again.
        bytes_lost: u64,
        /// How long until then.
        pause: Duration,
    },
    /// All parts are there; the server is completing the file.
    Completing,
}

/// A file to be uploaded, and how.
#[derive(Debug, Clone)]
pub struct Upload {
    path: PathBuf,
    name: Option<String>,
    folder: Option<String>,
    tags: Vec<String>,
    metadata: Option<Map<String, Value>>,
    custom_id: Option<String>,
    random_prefix: bool,
    concurrency: usize,
    retry: RetryPolicy,
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
            concurrency: DEFAULT_CONCURRENCY,
            retry: RetryPolicy::default(),
        }
    }

    /// Another name in the workspace.
    #[must_use]
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.name = Some(name.into());
        self
    }

    /// The folder in the workspace.
    #[must_use]
    pub fn folder(mut self, folder: impl Into<String>) -> Self {
        self.folder = Some(folder.into());
        self
    }

    /// Tags.
    #[must_use]
    pub fn tags(mut self, tags: Vec<String>) -> Self {
        self.tags = tags;
        self
    }

    /// Metadata; an empty object is none.
    #[must_use]
    pub fn metadata(mut self, metadata: Map<String, Value>) -> Self {
        self.metadata = Some(metadata).filter(|metadata| !metadata.is_empty());
        self
    }

    /// The file's id in your own system.
    #[must_use]
    pub fn custom_id(mut self, custom_id: impl Into<String>) -> Self {
        self.custom_id = Some(custom_id.into());
        self
    }

    /// Whether the name gets eight random characters in front.
    #[must_use]
    pub fn random_prefix(mut self, random_prefix: bool) -> Self {
        self.random_prefix = random_prefix;
        self
    }

    /// How many parts are sent at once; at least one.
    #[must_use]
    pub fn concurrency(mut self, parts: usize) -> Self {
        self.concurrency = parts.max(1);
        self
    }

    /// How requests are tried again.
    #[must_use]
    pub fn retry(mut self, retry: RetryPolicy) -> Self {
        self.retry = retry;
        self
    }

    /// Uploads the file. Dropping the future stops it; the session then stays on the server until it expires.
    ///
    /// # Errors
    /// When the file cannot be read or changes meanwhile, when the server refuses, or when it cannot be reached for
    /// longer than the retries last.
    pub async fn send(
        &self,
        client: &Client,
        on_event: &(dyn Fn(Event<'_>) + Send + Sync),
    ) -> Result<FileRecord, Error> {
        let (file, before) = self.open()?;
        let request = self.start_request(before.len())?;
        let on_retry = |error: &Error, pause| on_event(Event::Retrying { error, bytes_lost: 0, pause });
        let session = self.retry.run(async || client.start(&request).await, on_retry).await?;
        on_event(Event::Started { session: &session, size_bytes: before.len() });
        let file = Arc::new(file);
        let complete = CompleteRequest { session_id: session.session_id.clone(), uuid: Some(session.uuid.clone()) };
        let mut missing: Vec<u32> = (0..).take(session.parts.len()).collect();
        let mut tried = 0;
        loop {
            self.send_parts(client, &session, &missing, &file, before.len(), on_event).await?;
            self.check_unchanged(&before)?;
            on_event(Event::Completing);
            let completed = self.retry.run(async || client.complete(&complete).await, on_retry).await;
            tried += 1;
            match completed {
                // The server lost parts that it had: its disk failed, or its machine did.
                Err(error) if error.missing_parts().is_some() && tried < self.retry.tries => {
                    missing = error.missing_parts().unwrap_or_default().to_vec();
                    let part_size = session.part_size.max(1);
                    let lost = missing.iter().map(|index| part_len(*index, part_size, before.len())).sum();
                    on_event(Event::Retrying { error: &error, bytes_lost: lost, pause: Duration::ZERO });
                }
                outcome => return outcome,
            }
        }
    }

    async fn send_parts(
        &self,
        client: &Client,
        session: &StartResponse,
        indices: &[u32],
        file: &Arc<File>,
        size_bytes: u64,
        on_event: &(dyn Fn(Event<'_>) + Send + Sync),
    ) -> Result<(), Error> {
        let part_size = session.part_size.max(1);
        let urls = indices.iter().filter_map(|index| Some((*index, session.parts.get(*index as usize)?)));
        let sends = urls.map(|(index, url)| {
            let begin = u64::from(index) * part_size;
            let range = begin..begin + part_len(index, part_size, size_bytes);
            async move {
                let sent = Arc::new(AtomicU64::new(0));
                let put = async || {
                    let counter = Arc::clone(&sent);
                    let on_sent = Arc::new(move |bytes| {
                        counter.fetch_add(bytes, Ordering::Relaxed);
                    });
                    let request = client.put_part(url, Arc::clone(file), range.clone(), on_sent);
                    report_while(request, &sent, on_event).await
                };
                let on_retry = |error: &Error, pause| {
                    on_event(Event::Retrying { error, bytes_lost: sent.swap(0, Ordering::Relaxed), pause });
                };
                self.retry.run(put, on_retry).await
            }
        });
        stream::iter(sends).buffer_unordered(self.concurrency).try_collect().await
    }

    fn open(&self) -> Result<(File, Metadata), Error> {
        let failed = |source| Error::File { path: self.path.clone(), source };
        let file = File::open(&self.path).map_err(failed)?;
        let metadata = file.metadata().map_err(failed)?;
        if !metadata.is_file() {
            return Err(self.unfit("is not a file"));
        }
        if metadata.len() == 0 {
            return Err(self.unfit("is empty; the smallest upload is one byte"));
        }
        Ok((file, metadata))
    }

    fn unfit(&self, problem: &'static str) -> Error {
        Error::Unfit { path: self.path.clone(), problem }
    }

    fn start_request(&self, size: u64) -> Result<StartRequest, Error> {
        let own_name = || Path::file_name(&self.path).and_then(|name| name.to_str()).map(str::to_owned);
        let file_name =
            self.name.clone().or_else(own_name).ok_or_else(|| self.unfit("has a name that is not UTF-8"))?;
        Ok(StartRequest {
            format: mime_guess::from_path(&file_name).first_or_octet_stream().to_string(),
            file_name,
            size,
            folder: self.folder.clone(),
            tags: self.tags.clone(),
            metadata: self.metadata.clone(),
            custom_id: self.custom_id.clone(),
            random_prefix: self.random_prefix,
            ttl_seconds: Some(TTL_SECONDS),
        })
    }

    /// Parts of two versions of a file are no file.
    fn check_unchanged(&self, before: &Metadata) -> Result<(), Error> {
        let now = std::fs::metadata(&self.path).map_err(|source| Error::File { path: self.path.clone(), source })?;
        if now.len() == before.len() && now.modified().ok() == before.modified().ok() {
            return Ok(());
        }
        Err(self.unfit("changed while it was uploaded; it was not completed"))
    }
}

/// Length of part `index` in bytes.
fn part_len(index: u32, part_size: u64, size_bytes: u64) -> u64 {
    size_bytes.saturating_sub(u64::from(index) * part_size).min(part_size)
}

/// Runs a request and tells every so often how much of its body has gone.
async fn report_while<T>(
    request: impl Future<Output = T>,
    sent: &AtomicU64,
    on_event: &(dyn Fn(Event<'_>) + Send + Sync),
) -> T {
    const EVERY: Duration = Duration::from_millis(100);
    let mut told = 0;
    let mut tell = || {
        let now = sent.load(Ordering::Relaxed);
        if now > told {
            on_event(Event::Sent { bytes: now - told });
            told = now;
        }
    };
    let mut request = std::pin::pin!(request);
    loop {
        match tokio::time::timeout(EVERY, request.as_mut()).await {
            Ok(output) => {
                tell();
                return output;
            }
            Err(_) => tell(),
        }
    }
}
