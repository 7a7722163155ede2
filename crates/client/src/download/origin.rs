//! The origin of a file: its public URL, requested again when an answer breaks off.
//!
//! Invariant: bytes are passed on only from answers of the requested version. Each request goes to the original URL: where a store serves
//! the file, it redirects to a presigned URL, which may have expired by the next request.

use std::ops::Range;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use reqwest::header::{ACCEPT_ENCODING, IF_RANGE, RANGE};
use reqwest::{RequestBuilder, Response};
use url::Url;

use super::events::{DownloadEvent, OnEvent};
use super::intake::{Intake, Sink};
use super::version::{Served, Version};
use crate::client::checked;
use crate::{Client, Error, RetryPolicy};

/// How often a store may refuse a freshly signed URL before the download fails.
const MAX_URL_REFUSALS: u32 = 3;

/// A URL, and how its requests are retried.
pub(crate) struct Origin<'o> {
    pub(crate) client: &'o Client,
    pub(crate) url: Url,
    pub(crate) retry: RetryPolicy,
    pub(crate) stall_timeout: Duration,
    pub(crate) on_event: OnEvent<'o>,
}

/// The outcome of an answer that brought bytes.
pub(crate) enum Received {
    /// All requested bytes.
    All,
    /// A part of them; then it broke off.
    Part(Error),
}

impl Origin<'_> {
    /// Asks how the file is served.
    pub(crate) async fn look(&self) -> Result<Served, Error> {
        let look = async || {
            let mut response = self.send(self.request().header(RANGE, "bytes=0-0")).await?;
            let served = Served::of(response.status(), response.headers(), response.content_length());
            match served {
                Some(served) => {
                    if matches!(served, Served::InRanges(_)) {
                        // A connection whose answer was read to its end can serve the next request.
                        let _ = self.next_chunk(&mut response).await;
                    }
                    Ok(served)
                }
                None => checked(response).await.and_then(|_| Err(self.changed())),
            }
        };
        self.with_retries(look, &|| 0).await
    }

    /// Fetches the bytes up to `end`, each once, through broken connections.
    pub(crate) async fn fetch<S: Sink>(
        &self,
        version: &Version,
        intake: &mut Intake<S>,
        end: u64,
    ) -> Result<(), Error> {
        while intake.next() < end {
            let attempt = async || {
                let response = self.open(version, &(intake.next()..end)).await?;
                self.receive(response, intake, Some(end)).await
            };
            match self.with_retries(attempt, &|| 0).await? {
                Received::All => {}
                Received::Part(error) => {
                    // There was progress since the last failure, so the attempts are counted from zero again.
                    let pause = self.retry.first_pause;
                    (self.on_event)(DownloadEvent::Retrying { error: &error, bytes_lost: 0, pause });
                    tokio::time::sleep(pause).await;
                }
            }
        }
        Ok(())
    }

    /// Requests the whole file in one answer.
    pub(crate) async fn open_whole(&self) -> Result<Response, Error> {
        checked(self.send(self.request()).await?).await
    }

    /// Passes the bytes of an answer on, up to `end` or its own end. Fails only when no byte came.
    pub(crate) async fn receive<S: Sink>(
        &self,
        mut response: Response,
        intake: &mut Intake<S>,
        end: Option<u64>,
    ) -> Result<Received, Error> {
        let begin = intake.next();
        let outcome = self.pass_on(&mut response, intake, end).await;
        if matches!(&outcome, Err(error) if !error.is_transient()) {
            return outcome.map(|()| Received::All);
        }
        // The bytes that came before it broke are kept.
        self.report(intake.flush().await?);
        match outcome {
            Ok(()) => Ok(Received::All),
            Err(error) if intake.next() > begin => Ok(Received::Part(error)),
            Err(error) => Err(error),
        }
    }

    async fn pass_on<S: Sink>(
        &self,
        response: &mut Response,
        intake: &mut Intake<S>,
        end: Option<u64>,
    ) -> Result<(), Error> {
        while end.is_none_or(|end| intake.next() < end) {
            let Some(chunk) = self.next_chunk(response).await? else {
                let Some(end) = end else { return Ok(()) };
                let missing = end - intake.next();
                return Err(Error::Connection(format!("the answer ended {missing} bytes early")));
            };
            let wanted = end
                .map_or(chunk.len(), |end| chunk.len().min(usize::try_from(end - intake.next()).unwrap_or(usize::MAX)));
            self.report(intake.take(&chunk[..wanted]).await?);
        }
        Ok(())
    }

    /// Runs `attempt` until it succeeds or its retries are exhausted. `lost` returns the number of reported bytes that a retry receives
    /// again.
    pub(crate) async fn with_retries<T>(
        &self,
        attempt: impl AsyncFnMut() -> Result<T, Error>,
        lost: &dyn Fn() -> u64,
    ) -> Result<T, Error> {
        let refusals = AtomicU32::new(0);
        let is_retryable = |error: &Error| {
            error.is_transient()
                || (error.is_refused_url() && refusals.fetch_add(1, Ordering::Relaxed) < MAX_URL_REFUSALS)
        };
        let on_retry = |error: &Error, pause| {
            (self.on_event)(DownloadEvent::Retrying { error, bytes_lost: lost(), pause });
        };
        self.retry.run(attempt, is_retryable, on_retry).await
    }

    /// Requests a range of one version.
    async fn open(&self, version: &Version, range: &Range<u64>) -> Result<Response, Error> {
        let bytes = format!("bytes={}-{}", range.start, range.end - 1);
        let response = self.send(self.request().header(RANGE, bytes).header(IF_RANGE, &version.etag)).await?;
        match response.status().as_u16() {
            // Not every store evaluates If-Range, so the answer is checked as well.
            206 if version.has(range, response.headers()) => Ok(response),
            412 | 416 => Err(self.changed()),
            _ => checked(response).await.and_then(|_| Err(self.changed())),
        }
    }

    fn request(&self) -> RequestBuilder {
        // Compression by a proxy would change lengths and entity tags.
        self.client.get_public(self.url.clone()).header(ACCEPT_ENCODING, "identity")
    }

    async fn send(&self, request: RequestBuilder) -> Result<Response, Error> {
        self.unless_stalled(request.send()).await
    }

    async fn next_chunk(&self, response: &mut Response) -> Result<Option<bytes::Bytes>, Error> {
        self.unless_stalled(response.chunk()).await
    }

    /// Fails when no byte comes for too long: the connection is dead then, even if a proxy keeps it open.
    async fn unless_stalled<T>(&self, step: impl Future<Output = Result<T, reqwest::Error>>) -> Result<T, Error> {
        match tokio::time::timeout(self.stall_timeout, step).await {
            Ok(outcome) => Ok(outcome?),
            Err(_) => Err(Error::Connection(format!("no byte came for {} s", self.stall_timeout.as_secs()))),
        }
    }

    fn report(&self, bytes: u64) {
        if bytes > 0 {
            (self.on_event)(DownloadEvent::Received { bytes });
        }
    }

    pub(crate) fn changed(&self) -> Error {
        Error::Changed { url: self.url.to_string() }
    }
}
