//! Sends the missing parts of a session and completes it.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::{StreamExt, TryStreamExt, stream};
use partway_api::{CompleteRequest, ErrorCode, FileRecord, PartPlan};
use sha2::{Digest, Sha256};

use super::events::{Event, OnEvent, retrying};
use super::pace::Pace;
use super::session::{EtagsInStore, Session};
use super::{MAX_CONCURRENT_READS, SESSION_TTL, Upload};
use crate::blocking::blocking;
use crate::part_hashes::PartHashes;
use crate::part_urls::PartUrls;
use crate::source::Source;
use crate::{Client, Error};

/// Parts that are given up for smaller ones: the retries of a part that does not get through would soon cost as much.
const MAX_PARTS_GIVEN_UP: u32 = 4;

/// The transfer of the parts of one session.
pub(super) struct Transfer<'t> {
    pub(super) upload: &'t Upload,
    pub(super) client: &'t Client,
    pub(super) source: Source,
    pub(super) session: Session,
    pub(super) pace: &'t Pace,
    pub(super) urls: PartUrls<'t>,
    /// `None` where the server does not compare them, or its parts are not subtrees of BLAKE3.
    hashes: Option<Arc<PartHashes>>,
    /// The ETags that PUTs of this run and of earlier ones answered, where the hash of the whole file is not compared.
    etags: Mutex<BTreeMap<u32, String>>,
    pub(super) full_parts_sent: AtomicU32,
    pub(super) on_event: OnEvent<'t>,
}

impl<'t> Transfer<'t> {
    pub(super) fn new(
        upload: &'t Upload,
        client: &'t Client,
        source: Source,
        mut session: Session,
        pace: &'t Pace,
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
        Self {
            upload,
            client,
            source,
            session,
            pace,
            urls,
            hashes,
            etags,
            full_parts_sent: AtomicU32::new(0),
            on_event,
        }
    }

    pub(super) fn etags(&self) -> MutexGuard<'_, BTreeMap<u32, String>> {
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

    /// The size of the parts to start again with after this error; `None` if no smaller parts may help, too much has arrived to send it
    /// again, or the session was started by others, who alone know where its file is to go.
    pub(super) fn smaller_part_size(&self, error: &Error) -> Option<u64> {
        if self.upload.session_id.is_some() && !self.upload.may_start_again {
            return None;
        }
        let fitting_bytes = match error.at_its_address() {
            Error::TooLargeForProxy { .. } if self.session.parts_there() == 0 => u64::MAX,
            // Most of what was sent had passed the proxy by then.
            Error::TimeLimit { sent_bytes, .. } if self.full_parts_there() <= MAX_PARTS_GIVEN_UP => sent_bytes / 4 * 3,
            _ => return None,
        };
        self.session.smaller_part_size(fitting_bytes)
    }

    /// Parts of full size that the server has: as many have passed what is in between.
    pub(super) fn full_parts_there(&self) -> u32 {
        self.session.parts_there() + self.full_parts_sent.load(Ordering::Relaxed)
    }

    /// Reads parts that are not sent, for the hash of the whole file.
    async fn read_parts(&self, indices: &[u32]) -> Result<(), Error> {
        let reads = indices.iter().map(|index| async { self.read_part(*index).await.map(drop) });
        stream::iter(reads).buffer_unordered(MAX_CONCURRENT_READS).try_collect().await
    }

    pub(super) async fn read_part(&self, index: u32) -> Result<Option<[u8; 32]>, Error> {
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
