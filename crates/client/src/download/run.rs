//! The two ways to fetch a file: in ranges, or as a whole.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use url::Url;

use super::events::{DownloadEvent, OnEvent};
use super::intake::{Intake, PartSink};
use super::origin::{Origin, Received};
use super::part_file::PartFile;
use super::ranges::Ranges;
use super::transfer::Transfer;
use super::version::{Served, Version};
use super::{Download, Downloaded};
use crate::blocking::blocking;
use crate::{Client, Error};

impl Download {
    pub(super) fn origin<'o>(&self, client: &'o Client, on_event: OnEvent<'o>) -> Result<Origin<'o>, Error> {
        let url = Url::parse(&self.url)
            .map_err(|error| Error::Address { url: self.url.clone(), problem: error.to_string() })?;
        Ok(Origin { client, url, retry: self.options.retry, stall_timeout: self.options.stall_timeout, on_event })
    }

    /// Asks the server how it serves the file.
    pub(super) async fn look(&self, origin: &Origin<'_>) -> Result<Served, Error> {
        if self.size_bytes == Some(0) {
            // Stores answer a request for the first byte of an empty object in several ways.
            return Ok(Served::Whole { size_bytes: Some(0) });
        }
        let served = origin.look().await?;
        self.check_size(origin, served.size_bytes())?;
        Ok(served)
    }

    /// Fetches one version in ranges, and resumes an earlier run of the same version.
    pub(super) async fn in_ranges(
        &self,
        origin: &Origin<'_>,
        part: &Arc<PartFile>,
        version: Version,
    ) -> Result<Downloaded, Error> {
        let (url, size_bytes) = (origin.url.to_string(), version.size_bytes);
        let (file, wanted) = (Arc::clone(part), version.clone());
        let (received, is_restart) = blocking(move || match file.recall(&url, &wanted) {
            Some(received) => Ok((received, false)),
            None => {
                let is_restart = file.has_remains();
                file.begin(&url, &wanted)?;
                Ok((Ranges::default(), is_restart))
            }
        })
        .await?;
        if is_restart {
            (origin.on_event)(DownloadEvent::Restarted);
        }
        (origin.on_event)(DownloadEvent::Started { size_bytes: Some(size_bytes), bytes_there: received.total() });
        let with_hash = self.hash.is_some();
        let transfer = Transfer::new(origin, Arc::clone(part), version, received, with_hash, self.options.at_once());
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

    /// Fetches the file in one answer. Without ranges nothing can be resumed: each retry starts from the beginning.
    pub(super) async fn as_a_whole(
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
            let size_bytes = origin.with_retries(attempt, &|| came.swap(0, Ordering::Relaxed)).await?;
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

    /// Fails when the size is known and differs.
    pub(super) fn check_size(&self, origin: &Origin<'_>, size_bytes: Option<u64>) -> Result<(), Error> {
        match (self.size_bytes, size_bytes) {
            (Some(expected), Some(found)) if expected != found => Err(origin.changed()),
            _ => Ok(()),
        }
    }

    /// Whether the hash is known and matches; fails when it differs.
    pub(super) fn check_hash(&self, origin: &Origin<'_>, found: Option<blake3::Hash>) -> Result<bool, Error> {
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
