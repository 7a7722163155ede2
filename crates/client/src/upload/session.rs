//! The session of an upload: started, or resumed with the parts that the server has already.

use std::collections::HashMap;
use std::ops::Range;

use futures_util::{StreamExt, TryStreamExt, stream};
use partway_api::limits::{MIN_PART_SIZE_BYTES, SMALLEST_PART_BYTES};
use partway_api::{PartPlan, ResignRequest, SessionResponse};
use uuid::Uuid;

use super::events::{Event, OnEvent, retrying};
use super::{MAX_CONCURRENT_READS, SESSION_TTL, Upload};
use crate::blocking::blocking;
use crate::source::Source;
use crate::{Client, Error};

/// A session as the client sees it.
#[derive(Debug)]
pub(super) struct Session {
    pub(super) id: String,
    pub(super) size_bytes: u64,
    part_size: u64,
    pub(super) parts_total: u32,
    /// Indices of the parts to send, ascending.
    pub(super) missing: Vec<u32>,
    pub(super) urls: HashMap<u32, String>,
    /// Whether the server compares the BLAKE3 of the whole file. It does not where parts go to an S3 store.
    pub(super) compares_blake3: bool,
    /// Whether the file is published, so no part is accepted any more.
    pub(super) is_completed: bool,
}

impl Session {
    /// The id becomes a segment of paths, and part of lines that people paste into a shell, so it is checked to be a UUID.
    fn new(id: String, part_size: u64, size_bytes: u64, hash_algorithm: &str) -> Result<Self, Error> {
        let id = Uuid::try_parse(&id)
            .map_err(|_| Error::Connection(format!("the server calls the session {id:?}, which is no UUID")))?
            .to_string();
        let part_size = part_size.max(1);
        Ok(Self {
            id,
            size_bytes,
            part_size,
            parts_total: u32::try_from(size_bytes.div_ceil(part_size)).unwrap_or(u32::MAX),
            missing: Vec::new(),
            urls: HashMap::new(),
            compares_blake3: hash_algorithm == "blake3",
            is_completed: false,
        })
    }

    pub(super) fn part_size(&self) -> u64 {
        self.part_size
    }

    /// The bytes of part `index`.
    pub(super) fn range(&self, index: u32) -> Range<u64> {
        let begin = (u64::from(index) * self.part_size).min(self.size_bytes);
        begin..(begin + self.part_size).min(self.size_bytes)
    }

    /// The event that tells how much of it is there.
    pub(super) fn started(&self) -> Event<'_> {
        let bytes_missing: u64 = self.missing.iter().map(|index| self.part_len(*index)).sum();
        Event::Started {
            session_id: &self.id,
            parts_total: self.parts_total,
            parts_there: self.parts_there(),
            size_bytes: self.size_bytes,
            bytes_there: self.size_bytes - bytes_missing,
        }
    }

    /// Parts that the server had when the session was started or resumed.
    pub(super) fn parts_there(&self) -> u32 {
        self.parts_total - self.missing.len() as u32
    }

    /// About half of its part size, or less to be at most `fitting_bytes`, to start again with where parts do not pass a proxy; `None`
    /// if there is no smaller one.
    pub(super) fn smaller_part_size(&self, fitting_bytes: u64) -> Option<u64> {
        let largest = self.part_size.min(self.size_bytes);
        let least = if self.compares_blake3 { SMALLEST_PART_BYTES } else { MIN_PART_SIZE_BYTES };
        let wanted = (largest / 2).min(fitting_bytes) / SMALLEST_PART_BYTES * SMALLEST_PART_BYTES;
        let smaller = wanted.max(*PartPlan::sizes(self.size_bytes, least).start());
        (smaller < largest).then_some(smaller)
    }

    pub(super) fn part_len(&self, index: u32) -> u64 {
        let range = self.range(index);
        range.end - range.start
    }
}

/// The store's answer about the parts that it has.
pub(super) enum EtagsInStore<'s> {
    /// The ETags of its parts, by index.
    Listed(HashMap<u32, &'s str>),
    /// The store has assembled the object. Completing answers whether it was assembled from this file's parts.
    Assembled,
    /// The server is too old to list ETags, so nothing says who sent the parts.
    Unknown,
}

impl<'s> EtagsInStore<'s> {
    pub(super) fn of(state: &'s SessionResponse) -> Self {
        match &state.part_etags {
            _ if state.status == "completed" => Self::Assembled,
            None => Self::Unknown,
            Some(etags) if etags.is_empty() => Self::Assembled,
            Some(etags) => {
                Self::Listed(state.uploaded_parts.iter().copied().zip(etags.iter().map(String::as_str)).collect())
            }
        }
    }

    /// Whether the part may be the one whose PUT answered this ETag.
    fn may_have(&self, index: u32, etag: &str) -> bool {
        match self {
            Self::Listed(etags) => etags.get(&index) == Some(&etag),
            Self::Assembled => true,
            Self::Unknown => false,
        }
    }
}

impl Upload {
    /// Starts a session, or with an idempotency key answers the one that was started with it.
    pub(super) async fn start(
        &self,
        client: &Client,
        source: &Source,
        part_size: Option<u64>,
        on_event: OnEvent<'_>,
    ) -> Result<Session, Error> {
        let request = self.start_request(source, part_size)?;
        let idempotency_key = self.idempotency_key.clone().unwrap_or_else(|| Uuid::new_v4().to_string());
        // Another size makes it another request.
        let idempotency_key = part_size.map_or(idempotency_key.clone(), |bytes| format!("{idempotency_key}-{bytes}"));
        let start = async || client.start(&request, &idempotency_key).await;
        let started = self.options.retry.run(start, Error::is_transient_for_start, retrying(on_event)).await?;
        let session =
            Session::new(started.session_id, started.part_size, source.size_bytes(), &started.hash_algorithm)?;
        on_event(Event::Session { session_id: &session.id });
        let urls: HashMap<u32, String> = (0..).zip(started.parts).collect();
        // Another process may have received the same answer earlier and sent parts, so the server is asked.
        match self.idempotency_key {
            Some(_) => self.join(client, &session.id, source, on_event).await,
            None => Ok(Session { missing: (0..session.parts_total).collect(), urls, ..session }),
        }
    }

    /// Resumes a session: finds the parts that are missing, and gets URLs for them.
    pub(super) async fn join(
        &self,
        client: &Client,
        session_id: &str,
        source: &Source,
        on_event: OnEvent<'_>,
    ) -> Result<Session, Error> {
        let status = async || client.status(session_id).await;
        let state = self.options.retry.run(status, Error::is_transient, retrying(on_event)).await?;
        if state.size != source.size_bytes() {
            return Err(source.unfit("has another size than the file that the session was started for"));
        }
        let session = Session::new(state.session_id.clone(), state.part_size, state.size, &state.hash_algorithm)?;
        on_event(Event::Session { session_id: &session.id });
        let others = match session.compares_blake3 {
            true => Vec::new(),
            false => {
                let (same, others) = self.compare_parts(source, &session, &state, on_event).await?;
                if state.status == "completed" && !others.is_empty() {
                    return Err(Error::Doubtful { session_id: session.id });
                }
                on_event(Event::Compared { same: &same, others: &others });
                others
            }
        };
        if state.status == "completed" {
            // Completing again answers the record.
            return Ok(Session { is_completed: true, ..session });
        }
        let request = ResignRequest { parts: None, ttl_seconds: Some(SESSION_TTL.as_secs()) };
        let resign = async || client.resign(session_id, &request).await;
        let signed = self.options.retry.run(resign, Error::is_transient, retrying(on_event)).await?;
        let mut missing: Vec<u32> = signed.parts.iter().map(|part| part.index).chain(others).collect();
        missing.sort_unstable();
        missing.dedup();
        let urls = signed.parts.into_iter().map(|part| (part.index, part.url)).collect();
        Ok(Session { missing, urls, ..session })
    }

    /// Splits the parts that arrived into those that match the file and the others.
    async fn compare_parts(
        &self,
        source: &Source,
        session: &Session,
        state: &SessionResponse,
        on_event: OnEvent<'_>,
    ) -> Result<(Vec<u32>, Vec<u32>), Error> {
        let arrived = &state.uploaded_parts;
        let in_store = EtagsInStore::of(state);
        if arrived.is_empty() {
            return Ok((Vec::new(), Vec::new()));
        }
        on_event(Event::Comparing { parts: u32::try_from(arrived.len()).unwrap_or(u32::MAX) });
        let compares = arrived.iter().map(|index| {
            let (index, range, source) = (*index, session.range(*index), source.clone());
            let sent = self.sent_parts.get(&index).filter(|sent| in_store.may_have(index, &sent.etag));
            let sent = sent.map(|sent| sent.hash);
            async move {
                let Some(sent) = sent else { return Ok((index, false)) };
                let now = blocking(move || source.hash(range)).await?;
                Ok::<_, Error>((index, now == sent))
            }
        });
        let compared: Vec<_> = stream::iter(compares).buffered(MAX_CONCURRENT_READS).try_collect().await?;
        let (same, others): (Vec<_>, Vec<_>) = compared.into_iter().partition(|(_, is_same)| *is_same);
        let indices = |parts: Vec<(u32, bool)>| parts.into_iter().map(|(index, _)| index).collect::<Vec<_>>();
        Ok((indices(same), indices(others)))
    }
}
