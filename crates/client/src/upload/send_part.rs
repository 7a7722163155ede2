//! Sends one part: the attempts, and what follows from the end of each.

use std::ops::Range;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use partway_api::ErrorCode;
use tokio::time::Instant;

use super::events::{Event, SentPart};
use super::time_limit::{Cut, Verdict};
use super::transfer::Transfer;
use super::watch::{StallLimits, watch};
use crate::Error;
use crate::part_body::{PartBody, SentHash};

/// How often a store may refuse the URL of one part, each time another URL, before the part fails.
const MAX_URL_REFUSALS: u32 = 3;
/// How often the smallest possible part is sent alone to a proxy that ends it, before it fails.
const MAX_CUTS_ALONE: u32 = 3;

/// A part under way.
struct Part {
    range: Range<u64>,
    sha256: Option<[u8; 32]>,
    /// Bytes that this attempt handed to the network.
    sent: Arc<AtomicU64>,
    refusals: AtomicU32,
    cuts_alone: AtomicU32,
}

impl Part {
    fn len(&self) -> u64 {
        self.range.end - self.range.start
    }
}

impl Transfer<'_> {
    pub(super) async fn send_part(&self, index: u32) -> Result<(), Error> {
        let sha256 = self.read_part(index).await?;
        let (range, sent) = (self.session.range(index), Arc::default());
        let part = Part { range, sha256, sent, refusals: AtomicU32::new(0), cuts_alone: AtomicU32::new(0) };
        let mut refused: Option<String> = None;
        let mut is_in_doubt = false;
        let put = async || loop {
            let permit = self.pace.permit().await;
            if is_in_doubt {
                self.check_open().await?;
                is_in_doubt = false;
            }
            let url = self.urls.get(index, refused.as_deref()).await?;
            let (outcome, cut) = self.attempt(&part, &url).await;
            drop(permit);
            let error = match outcome {
                Ok(sent) => {
                    self.lifted(self.pace.arrived(cut.duration));
                    return Ok(sent);
                }
                Err(error) => error,
            };
            refused = self.is_url_in_doubt(&error).then_some(url);
            is_in_doubt = error.is_from_between();
            if error.is_refused_url() {
                part.refusals.fetch_add(1, Ordering::Relaxed);
            }
            self.react(&part, error, cut)?;
        };
        let on_retry = |error: &Error, pause| self.retrying(&part, error, pause);
        let is_retryable = |error: &Error| self.is_retryable(&part, error);
        let (etag, hash) = self.upload.options.retry.run(put, is_retryable, on_retry).await?;
        if part.len() == self.session.part_size() {
            self.full_parts_sent.fetch_add(1, Ordering::Relaxed);
        }
        if let Some(hash) = hash {
            let hash = hash.lock().unwrap_or_else(PoisonError::into_inner).finalize();
            self.etags().insert(index, etag.clone());
            (self.on_event)(Event::PartSent { index, part: &SentPart { hash: hash.into(), etag } });
        }
        Ok(())
    }

    /// Sends the part once. Returns the attempt also as a cut, for the case that it was one.
    async fn attempt(&self, part: &Part, url: &str) -> (Result<(String, Option<SentHash>), Error>, Cut) {
        let began = Instant::now();
        let counter = Arc::clone(&part.sent);
        let on_sent = Arc::new(move |bytes| {
            counter.fetch_add(bytes, Ordering::Relaxed);
        });
        let hash = (!self.session.compares_blake3).then(SentHash::default);
        let body = PartBody::new(Arc::clone(&self.source.file), part.range.clone(), on_sent, hash.clone());
        let put = self.client.put_part(url, body, part.sha256.as_ref());
        let limits = StallLimits { timeout: self.upload.options.stall_timeout, slowest_rate: self.upload.slowest_rate };
        let (outcome, silent) = watch(put, &part.sent, limits, self.on_event).await;
        let (duration, sent_bytes) = (began.elapsed(), part.sent.load(Ordering::Relaxed));
        (outcome.map(|etag| (etag, hash)), Cut { began, duration, silent, sent_bytes, part_bytes: part.len() })
    }

    /// Returns where the part is to be sent again at once, because a proxy's time limit was the cause and is reacted to. Such retries do
    /// not count.
    fn react(&self, part: &Part, error: Error, cut: Cut) -> Result<(), Error> {
        if !error.is_cut() {
            return Err(error);
        }
        match self.pace.judge(cut) {
            Verdict::Unrelated => return Err(error),
            Verdict::Refuted(at_once) => {
                self.lifted(at_once);
                return Err(error);
            }
            Verdict::TooLong => {
                part.cuts_alone.fetch_add(1, Ordering::Relaxed);
                let Cut { duration: limit, part_bytes, sent_bytes, .. } = cut;
                return Err(Error::TimeLimit { limit, part_bytes, sent_bytes });
            }
            Verdict::FewerAtOnce(at_once) => {
                (self.on_event)(Event::FewerAtOnce { error: &error, limit: cut.duration, at_once });
            }
            Verdict::Again => {}
        }
        self.retrying(part, &error, Duration::ZERO);
        Ok(())
    }

    /// Reports that the bound on the parts at once was lifted, where it was.
    fn lifted(&self, at_once: Option<usize>) {
        if let Some(at_once) = at_once {
            (self.on_event)(Event::MoreAtOnce { at_once });
        }
    }

    fn retrying(&self, part: &Part, error: &Error, pause: Duration) {
        (self.on_event)(Event::Retrying { error, bytes_lost: part.sent.swap(0, Ordering::Relaxed), pause });
    }

    fn is_url_in_doubt(&self, error: &Error) -> bool {
        // A store that refuses a URL before it reads the body may look like a broken connection.
        let is_broken = matches!(error, Error::Connection(_) | Error::Stalled(_));
        error.code() == Some(ErrorCode::UrlExpired)
            || error.is_refused_url()
            || (is_broken && !self.session.compares_blake3)
    }

    fn is_retryable(&self, part: &Part, error: &Error) -> bool {
        if matches!(error, Error::TimeLimit { .. }) {
            // Where such parts have passed, the line may only be slower for a while.
            let parts_have_passed = self.full_parts_there() > 0;
            let may_pass = parts_have_passed || part.cuts_alone.load(Ordering::Relaxed) < MAX_CUTS_ALONE;
            return self.smaller_part_size(error).is_none() && may_pass;
        }
        error.is_transient_for_part()
            || (error.is_refused_url() && part.refusals.load(Ordering::Relaxed) < MAX_URL_REFUSALS)
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
}
