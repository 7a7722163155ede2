//! Where a file comes from: its public URL, asked again whenever an answer breaks off.
//!
//! Invariant: bytes are passed on only of answers that are of the version asked for. Each request asks the original URL:
//! where a store serves the file, that redirects to a presigned URL, which may have expired by the next request.

use std::ops::Range;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use reqwest::header::{ACCEPT_ENCODING, IF_RANGE, RANGE};
use reqwest::{RequestBuilder, Response};
use url::Url;

use super::DownloadEvent;
use super::intake::{Intake, Sink};
use super::version::{Served, Version};
use crate::client::checked;
use crate::{Client, Error, RetryPolicy};

/// How often a store may refuse a URL that the server had just signed before that counts as its last word.
const URL_REFUSALS: u32 = 3;

/// A URL and how patiently it is asked.
pub(crate) struct Origin<'o> {
    pub(crate) client: &'o Client,
    pub(crate) url: Url,
    pub(crate) retry: RetryPolicy,
    pub(crate) stall_timeout: Duration,
    pub(crate) on_event: &'o (dyn Fn(DownloadEvent<'_>) + Send + Sync),
}

/// What became of an answer that brought bytes.
pub(crate) enum Received {
    /// All that was asked for.
    All,
    /// It broke off.
    Part(Error),
}

impl Origin<'_> {
    /// Asks what there is.
    pub(crate) async fn look(&self) -> Result<Served, Error> {
        let look = async || {
            let mut response = self.send(self.request().header(RANGE, "bytes=0-0")).await?;
            let served = Served::of(response.status(), response.headers(), response.content_length());
            match served {
                Some(served) => {
                    if matches!(served, Served::InRanges(_)) {
                        // A connection whose answer was read serves the next request, too.
                        let _ = self.next_chunk(&mut response).await;
                    }
                    Ok(served)
                }
                None => checked(response).await.and_then(|_| Err(self.changed())),
            }
        };
        self.patiently(look, &|| 0).await
    }

    /// Fetches the bytes up to `end`, whatever breaks in between, each once.
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
            match self.patiently(attempt, &|| 0).await? {
                Received::All => {}
                Received::Part(error) => {
                    // It went on since the last failure, so that one does not count any more.
                    let pause = self.retry.first_pause;
                    (self.on_event)(DownloadEvent::Retrying { error: &error, bytes_lost: 0, pause });
                    tokio::time::sleep(pause).await;
                }
            }
        }
        Ok(())
    }

    /// Asks for the whole file, in one answer.
    pub(crate) async fn open_whole(&self) -> Result<Response, Error> {
        checked(self.send(self.request()).await?).await
    }

    /// Passes on what comes, up to `end` or to the end of the answer. An error when nothing came.
    pub(crate) async fn receive<S: Sink>(
        &self,
        mut response: Response,
        intake: &mut Intake<S>,
        end: Option<u64>,
    ) -> Result<Received, Error> {
        let begin = intake.next();
        let outcome = self.pass_on(&mut response, intake, end).await;
        if matches!(&outcome, Err(error) if !error.is_mendable()) {
            return outcome.map(|()| Received::All);
        }
        // What came before it broke is kept.
        self.tell(intake.flush().await?);
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
            self.tell(intake.take(&chunk[..wanted]).await?);
        }
        Ok(())
    }

    /// Runs `attempt` until it succeeds or is not to be tried again. `lost` says how many of the bytes that were counted
    /// as received will come again.
    pub(crate) async fn patiently<T>(
        &self,
        attempt: impl AsyncFnMut() -> Result<T, Error>,
        lost: &dyn Fn() -> u64,
    ) -> Result<T, Error> {
        let refusals = AtomicU32::new(0);
        let mendable = |error: &Error| {
            error.is_mendable() || (error.is_refused_url() && refusals.fetch_add(1, Ordering::Relaxed) < URL_REFUSALS)
        };
        let on_retry = |error: &Error, pause| {
            (self.on_event)(DownloadEvent::Retrying { error, bytes_lost: lost(), pause });
        };
        self.retry.run(attempt, mendable, on_retry).await
    }

    /// Asks for a range of one version.
    async fn open(&self, version: &Version, range: &Range<u64>) -> Result<Response, Error> {
        let bytes = format!("bytes={}-{}", range.start, range.end - 1);
        let response = self.send(self.request().header(RANGE, bytes).header(IF_RANGE, &version.etag)).await?;
        match response.status().as_u16() {
            // Not every store judges If-Range, so the answer is judged as well.
            206 if version.has(range, response.headers()) => Ok(response),
            412 | 416 => Err(self.changed()),
            _ => checked(response).await.and_then(|_| Err(self.changed())),
        }
    }

    fn request(&self) -> RequestBuilder {
        // What something in between compressed would have other lengths and tags.
        self.client.get_public(self.url.clone()).header(ACCEPT_ENCODING, "identity")
    }

    async fn send(&self, request: RequestBuilder) -> Result<Response, Error> {
        self.unless_stalled(request.send()).await
    }

    async fn next_chunk(&self, response: &mut Response) -> Result<Option<bytes::Bytes>, Error> {
        self.unless_stalled(response.chunk()).await
    }

    /// A connection that brings nothing for so long is dead, whatever a proxy in between pretends.
    async fn unless_stalled<T>(&self, step: impl Future<Output = Result<T, reqwest::Error>>) -> Result<T, Error> {
        match tokio::time::timeout(self.stall_timeout, step).await {
            Ok(outcome) => Ok(outcome?),
            Err(_) => Err(Error::Connection(format!("no byte came for {} s", self.stall_timeout.as_secs()))),
        }
    }

    fn tell(&self, bytes: u64) {
        if bytes > 0 {
            (self.on_event)(DownloadEvent::Received { bytes });
        }
    }

    pub(crate) fn changed(&self) -> Error {
        Error::Changed { url: self.url.to_string() }
    }
}
