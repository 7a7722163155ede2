//! Sends the missing parts of a session and completes it.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::{StreamExt, TryStreamExt, stream};
use partway_api::{CompleteRequest, ErrorCode, FileRecord, PartPlan};
use sha2::{Digest, Sha256};

use super::events::{Event, OnEvent, SentPart, retrying};
use super::session::{EtagsInStore, Session};
use super::watch::{StallLimits, watch};
use super::{MAX_CONCURRENT_READS, SESSION_TTL, Upload};
use crate::blocking::blocking;
use crate::part_body::{PartBody, SentHash};
use crate::part_hashes::PartHashes;
use crate::part_urls::PartUrls;
use crate::source::Source;
use crate::{Client, Error};

/// How often a store may refuse the URL of one part, each time another URL, before the part fails.
const MAX_URL_REFUSALS: u32 = 3;

/// The transfer of the parts of one session.
pub(super) struct Transfer<'t> {
    upload: &'t Upload,
    client: &'t Client,
    source: Source,
    session: Session,
    urls: PartUrls<'t>,
    /// `None` where the server does not compare them, or its parts are not subtrees of BLAKE3.
    hashes: Option<Arc<PartHashes>>,
    /// The ETags that PUTs of this run and of earlier ones answered, where the hash of the whole file is not compared.
    etags: Mutex<BTreeMap<u32, String>>,
    on_event: OnEvent<'t>,
}

impl<'t> Transfer<'t> {
    pub(super) fn new(
        upload: &'t Upload,
        client: &'t Client,
        source: Source,
        mut session: Session,
        on_event: OnEvent<'t>,
    ) -> Self {
        let plan = PartPlan::from_stored(session.size_bytes, session.part_size());
        let hashes = plan
            .filter(|_| session.compares_blake3)
            .map(|plan| Arc::new(PartHashes::new(plan, source.clone(), upload.digests)));
        let urls = PartUrls::new(client, &session.id, SESSION_TTL, std::mem::take(&mut session.urls));
        let is_there = |index: &u32| session.missing.binary_search(index).is_err();
        let sent = upload.sent_parts.iter().filter(|(index, _)| !session.compares_blake3 && is_there(index));
        let etags = Mutex::new(sent.map(|(index, part)| (*index, part.etag.clone())).collect());
        Self { upload, client, source, session, urls, hashes, etags, on_event }
    }

    fn etags(&self) -> MutexGuard<'_, BTreeMap<u32, String>> {
        self.etags.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Names the parts to complete the file from, where the server does not compare the hash of the whole file. `None` unless all
    /// parts were sent by this client.
    fn etags_sha256(&self) -> Option<String> {
        let etags = self.etags();
        let is_whole = !self.session.compares_blake3 && etags.keys().copied().eq(0..self.session.parts_total);
        is_whole.then(|| {
            let mut hasher = Sha256::new();
            etags.values().for_each(|etag| hasher.update(format!("{etag}\n")));
            hasher.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
        })
    }

    /// The parts that another client replaced; `None` when the session is completed.
    async fn parts_of_others(&self) -> Result<Option<Vec<u32>>, Error> {
        let status = async || self.client.status(&self.session.id).await;
        let state = self.upload.options.retry.run(status, Error::is_transient, retrying(self.on_event)).await?;
        let EtagsInStore::Listed(there) = EtagsInStore::of(&state) else { return Ok(None) };
        let own = self.etags();
        let is_own = |index: &u32| there.get(index).is_some_and(|etag| own.get(index).is_some_and(|own| own == etag));
        Ok(Some((0..self.session.parts_total).filter(|index| !is_own(index)).collect()))
    }

    /// Sends the missing parts and completes the file.
    pub(super) async fn run(&self) -> Result<FileRecord, Error> {
        let mut missing = self.session.missing.clone();
        // Parts of an earlier run are trusted until the hash of the whole file differs.
        let mut unsent: Vec<u32> =
            (0..self.session.parts_total).filter(|index| missing.binary_search(index).is_err()).collect();
        let mut attempts = 0;
        loop {
            tokio::try_join!(self.send_parts(&missing), self.read_parts(&unsent))?;
            self.source.check_unchanged()?;
            (self.on_event)(Event::Completing);
            let hash = self.hashes.as_ref().and_then(|hashes| hashes.of_file());
            let etags_sha256 = self.etags_sha256();
            let request =
                CompleteRequest { session_id: self.session.id.clone(), uuid: None, hash: hash.clone(), etags_sha256 };
            let complete = async || self.client.complete(&request).await;
            let completed = self.upload.options.retry.run(complete, Error::is_transient, retrying(self.on_event)).await;
            attempts += 1;
            let again = match &completed {
                Ok(record) => return check_hash(hash, record).map(|()| record.clone()),
                Err(_) if attempts >= self.upload.options.retry.tries || self.session.is_completed => None,
                // The server lost parts: its disk or its machine failed.
                Err(error) if error.missing_parts().is_some() => error.missing_parts().map(<[u32]>::to_vec),
                // The parts of the earlier run were of another file.
                Err(error) if error.code() == Some(ErrorCode::ChecksumMismatch) && !unsent.is_empty() => {
                    Some(std::mem::take(&mut unsent))
                }
                // Another client sent parts to this session in the meantime.
                Err(error) if error.code() == Some(ErrorCode::ChecksumMismatch) && !self.session.compares_blake3 => {
                    let others = self.parts_of_others().await?;
                    if others.is_none() {
                        return Err(Error::Doubtful { session_id: self.session.id.clone() });
                    }
                    others.filter(|others| !others.is_empty())
                }
                Err(_) => None,
            };
            let (Some(again), Err(error)) = (again, &completed) else { return completed };
            let lost = again.iter().map(|index| self.session.part_len(*index)).sum();
            (self.on_event)(Event::Retrying { error, bytes_lost: lost, pause: Duration::ZERO });
            unsent.retain(|index| !again.contains(index));
            missing = again;
        }
    }

    async fn send_parts(&self, indices: &[u32]) -> Result<(), Error> {
        let sends = indices.iter().map(|index| self.send_part(*index));
        stream::iter(sends).buffer_unordered(self.upload.options.at_once()).try_collect().await
    }

    async fn send_part(&self, index: u32) -> Result<(), Error> {
        let sha256 = self.read_part(index).await?;
        let range = self.session.range(index);
        let sent = Arc::new(AtomicU64::new(0));
        let mut refused: Option<String> = None;
        let mut is_in_doubt = false;
        let refusals = AtomicU32::new(0);
        let put = async || {
            if std::mem::take(&mut is_in_doubt) {
                self.check_open().await?;
            }
            let counter = Arc::clone(&sent);
            let on_sent = Arc::new(move |bytes| {
                counter.fetch_add(bytes, Ordering::Relaxed);
            });
            let url = self.urls.get(index, refused.as_deref()).await?;
            let hash = (!self.session.compares_blake3).then(SentHash::default);
            let body = PartBody::new(Arc::clone(&self.source.file), range.clone(), on_sent, hash.clone());
            let outcome = self.watch(self.client.put_part(&url, body, sha256.as_ref()), &sent).await;
            refused = match &outcome {
                Err(error) if error.code() == Some(ErrorCode::UrlExpired) || error.is_refused_url() => Some(url),
                // A store that refuses a URL before it reads the body may look like a broken connection.
                Err(Error::Connection(_)) if !self.session.compares_blake3 => Some(url),
                _ => None,
            };
            is_in_doubt = outcome.as_ref().is_err_and(Error::is_from_between);
            if outcome.as_ref().is_err_and(Error::is_refused_url) {
                refusals.fetch_add(1, Ordering::Relaxed);
            }
            outcome.map(|etag| (etag, hash))
        };
        let on_retry = |error: &Error, pause| {
            (self.on_event)(Event::Retrying { error, bytes_lost: sent.swap(0, Ordering::Relaxed), pause });
        };
        let is_retryable = |error: &Error| {
            error.is_transient_for_part()
                || (error.is_refused_url() && refusals.load(Ordering::Relaxed) < MAX_URL_REFUSALS)
        };
        let (etag, hash) = self.upload.options.retry.run(put, is_retryable, on_retry).await?;
        if let Some(hash) = hash {
            let hash = hash.lock().unwrap_or_else(PoisonError::into_inner).finalize();
            self.etags().insert(index, etag.clone());
            (self.on_event)(Event::PartSent { index, part: &SentPart { hash: hash.into(), etag } });
        }
        Ok(())
    }

    /// Fails when the session has ended. Sending a whole part to such a session is in vain, and some proxies hide the reason of the
    /// refusal.
    async fn check_open(&self) -> Result<(), Error> {
        let state = self.client.status(&self.session.id).await?;
        match state.status.as_str() {
            "uploading" => Ok(()),
            _ => Err(Error::Ended { session_id: self.session.id.clone(), status: state.status }),
        }
    }

    async fn watch<T>(&self, request: impl Future<Output = Result<T, Error>>, sent: &AtomicU64) -> Result<T, Error> {
        let limits = StallLimits { timeout: self.upload.options.stall_timeout, slowest_rate: self.upload.slowest_rate };
        watch(request, sent, limits, self.on_event).await
    }

    /// Reads parts that are not sent, for the hash of the whole file.
    async fn read_parts(&self, indices: &[u32]) -> Result<(), Error> {
        let reads = indices.iter().map(|index| async { self.read_part(*index).await.map(drop) });
        stream::iter(reads).buffer_unordered(MAX_CONCURRENT_READS).try_collect().await
    }

    async fn read_part(&self, index: u32) -> Result<Option<[u8; 32]>, Error> {
        let Some(hashes) = self.hashes.clone() else { return Ok(None) };
        blocking(move || hashes.read(index)).await
    }
}

/// Fails when the server stored other bytes than were sent.
fn check_hash(sent: Option<String>, record: &FileRecord) -> Result<(), Error> {
    match (sent, record.hash.clone()) {
        (Some(sent), Some(stored)) if sent != stored => Err(Error::Mismatch { sent, stored }),
        _ => Ok(()),
    }
}
