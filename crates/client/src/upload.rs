//! Uploading one file.
//!
//! Invariant: a file is complete only with parts that are this file's. Where the server compares the hash of the whole, that
//! says so; where it compares none, as where parts go to an S3 store, a part of an earlier run counts only if the hash of
//! what was sent then is that of what the file has there now, and the store still has what was sent then, by its ETag.
//! Others are sent again. The file is completed only of the parts that have the ETags of this client's PUTs.

use std::collections::{BTreeMap, HashMap};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::{StreamExt, TryStreamExt, stream};
use partway_api::{CompleteRequest, ErrorCode, FileRecord, PartPlan, ResignRequest, SessionResponse, StartRequest};
use serde_json::{Map, Value};
use sha2::{Digest, Sha256};
use tokio::time::Instant;
use uuid::Uuid;

use crate::blocking::blocking;
use crate::part_body::{PartBody, SentHash};
use crate::part_hashes::PartHashes;
use crate::part_urls::PartUrls;
use crate::source::Source;
use crate::{Client, Error, RetryPolicy};

/// Parts sent at once unless told otherwise: enough to fill a line with some delay, few enough for a phone.
const DEFAULT_CONCURRENCY: usize = 4;
/// Life asked for a session and its URLs; both are renewed while parts are sent.
const TTL: Duration = Duration::from_secs(24 * 60 * 60);
/// A connection that takes no byte and gives no answer for so long is dead, whatever a proxy in between pretends.
const DEFAULT_STALL_TIMEOUT: Duration = Duration::from_secs(60);
/// The slowest line that an upload is meant for, in bytes per second and connection. What was handed over may still be
/// in buffers on this machine, up to [`BUFFERED_BYTES`] of it, and takes its time without a sign of progress.
const DEFAULT_SLOWEST_RATE: u64 = 4 * 1024;
/// Most that buffers on this machine hold of one connection: what Linux lets a socket's grow to (net.ipv4.tcp_wmem).
const BUFFERED_BYTES: u64 = 4 * 1024 * 1024;
/// How often a store may refuse the URL of one part, each time a new one, before that counts as its last word.
const URL_REFUSALS: u32 = 3;
/// Parts that are there already and are read for the hash of the whole file, at once.
const READS: usize = 2;

/// What happens during an upload, for whoever shows it.
#[derive(Debug)]
pub enum Event<'e> {
    /// There is a session. It is the first that is known of it, so that it can be remembered.
    Session {
        /// Its id.
        session_id: &'e str,
    },
    /// It is known what is to be sent; nothing is yet.
    Started {
        /// Its id.
        session_id: &'e str,
        /// Number of its parts.
        parts_total: u32,
        /// Those that are there already, from before.
        parts_there: u32,
        /// Size of the file.
        size_bytes: u64,
        /// Bytes that are there already.
        bytes_there: u64,
    },
    /// Parts that were sent before are compared with the file as it is now, because the server compares nothing. It may
    /// take as long as reading them does.
    Comparing {
        /// How many.
        parts: u32,
    },
    /// They were compared; nothing was sent yet. As to those that differ, and those of which nobody knows the bytes,
    /// nothing may be remembered any more: they are sent again.
    Compared {
        /// Indices of those that are this file's, ascending.
        same: &'e [u32],
        /// Indices of the others.
        others: &'e [u32],
    },
    /// A part has arrived where the server does not compare the whole.
    PartSent {
        /// Its index.
        index: u32,
        /// Note of the part, for [`Upload::sent_parts`].
        part: &'e SentPart,
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

/// The BLAKE3 of a part's bytes.
pub type PartHash = [u8; 32];

/// A part as it was sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SentPart {
    /// The BLAKE3 of its bytes.
    pub hash: PartHash,
    /// The ETag that the store answered, without quotes.
    pub etag: String,
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
    digests: bool,
    stall_timeout: Duration,
    slowest_rate: u64,
    session_id: Option<String>,
    sent_parts: HashMap<u32, SentPart>,
    idempotency_key: Option<String>,
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
            digests: true,
            stall_timeout: DEFAULT_STALL_TIMEOUT,
            slowest_rate: DEFAULT_SLOWEST_RATE,
            session_id: None,
            sent_parts: HashMap::new(),
            idempotency_key: None,
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

    /// Whether each part is sent with its SHA-256, which the server compares: on unless told otherwise.
    #[must_use]
    pub fn digests(mut self, digests: bool) -> Self {
        self.digests = digests;
        self
    }

    /// After how long without a byte or an answer a connection counts as dead, beyond the time that what is buffered
    /// may take at the slowest rate. (A peer that is really gone is noticed sooner, by the kernel.)
    #[must_use]
    pub fn stall_timeout(mut self, stall_timeout: Duration) -> Self {
        self.stall_timeout = stall_timeout;
        self
    }

    /// The slowest line that counts as one, in bytes per second and connection; at least 1.
    #[must_use]
    pub fn slowest_rate(mut self, bytes_per_second: u64) -> Self {
        self.slowest_rate = bytes_per_second.max(1);
        self
    }

    /// Goes on with this session instead of starting one: only the parts that are missing are sent. Name, folder and
    /// the like are those that it was started with.
    #[must_use]
    pub fn resume(mut self, session_id: impl Into<String>) -> Self {
        self.session_id = Some(session_id.into());
        self
    }

    /// Notes of the parts that earlier runs have sent, from [`Event::PartSent`].
    #[must_use]
    pub fn sent_parts(mut self, sent_parts: HashMap<u32, SentPart>) -> Self {
        self.sent_parts = sent_parts;
        self
    }

    /// The key under which starting may be repeated, by another process, too, and answers the same session.
    #[must_use]
    pub fn idempotency_key(mut self, idempotency_key: impl Into<String>) -> Self {
        self.idempotency_key = Some(idempotency_key.into());
        self
    }

    /// Uploads the file. Dropping the future stops it; the session then stays on the server until it expires, and
    /// [`resume`](Self::resume) goes on with it.
    ///
    /// # Errors
    /// When the file cannot be read or changes meanwhile, when the server refuses, or when it cannot be reached for
    /// longer than the retries last.
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
        let session = match &self.session_id {
            Some(session_id) => self.join(client, session_id, &source, on_event).await?,
            None => self.start(client, &source, on_event).await?,
        };
        let parts_there = session.parts_total - session.missing.len() as u32;
        let bytes_missing: u64 = session.missing.iter().map(|index| session.part_len(*index)).sum();
        on_event(Event::Started {
            session_id: &session.id,
            parts_total: session.parts_total,
            parts_there,
            size_bytes: session.size_bytes,
            bytes_there: session.size_bytes - bytes_missing,
        });
        Transfer::new(self, client, source, session, on_event).run().await
    }

    /// A session has at least one byte, so a file without any goes up in one request.
    async fn send_empty(
        &self,
        client: &Client,
        source: &Source,
        on_event: &(dyn Fn(Event<'_>) + Send + Sync),
    ) -> Result<FileRecord, Error> {
        if self.session_id.is_some() {
            return Err(source.unfit("is empty, and is not the file that the session was started for"));
        }
        let request = self.start_request(source)?;
        let upload = async || client.upload_empty(&request).await;
        // With a random prefix, repeating it would make a second file.
        let mendable = |error: &Error| error.is_mendable() && (!self.random_prefix || error.left_all_untouched());
        let record = self.retry.run(upload, mendable, retrying(on_event)).await?;
        match source.check_unchanged() {
            Err(Error::Unfit { .. }) => {
                Err(source.unfit("was uploaded as it was, empty, and has changed since; upload it again"))
            }
            checked => checked.map(|()| record),
        }
    }

    async fn start(
        &self,
        client: &Client,
        source: &Source,
        on_event: &(dyn Fn(Event<'_>) + Send + Sync),
    ) -> Result<Session, Error> {
        let request = self.start_request(source)?;
        let idempotency_key = self.idempotency_key.clone().unwrap_or_else(|| Uuid::new_v4().to_string());
        let start = async || client.start(&request, &idempotency_key).await;
        let started = self.retry.run(start, Error::is_mendable_for_start, retrying(on_event)).await?;
        let session =
            Session::new(started.session_id, started.part_size, source.size_bytes(), &started.hash_algorithm)?;
        on_event(Event::Session { session_id: &session.id });
        let urls: HashMap<u32, String> = (0..).zip(started.parts).collect();
        // Another process may have had this answer before, and sent parts: the server knows.
        match self.idempotency_key {
            Some(_) => self.join(client, &session.id, source, on_event).await,
            None => Ok(Session { missing: (0..session.parts_total).collect(), urls, ..session }),
        }
    }

    async fn join(
        &self,
        client: &Client,
        session_id: &str,
        source: &Source,
        on_event: &(dyn Fn(Event<'_>) + Send + Sync),
    ) -> Result<Session, Error> {
        let status = async || client.status(session_id).await;
        let state = self.retry.run(status, Error::is_mendable, retrying(on_event)).await?;
        if state.size != source.size_bytes() {
            return Err(source.unfit("has another size than the file that the session was started for"));
        }
        let session = Session::new(state.session_id.clone(), state.part_size, state.size, &state.hash_algorithm)?;
        on_event(Event::Session { session_id: &session.id });
        let others = match session.compares_blake3 {
            true => Vec::new(),
            false => {
                let (same, others) = self.parts_of_others(source, &session, &state, on_event).await?;
                if state.status == "completed" && !others.is_empty() {
                    return Err(Error::Doubtful { session_id: session.id });
                }
                on_event(Event::Compared { same: &same, others: &others });
                others
            }
        };
        if state.status == "completed" {
            // Completing once more answers the record.
            return Ok(Session { is_completed: true, ..session });
        }
        let request = ResignRequest { parts: None, ttl_seconds: Some(TTL.as_secs()) };
        let resign = async || client.resign(session_id, &request).await;
        let signed = self.retry.run(resign, Error::is_mendable, retrying(on_event)).await?;
        let mut missing: Vec<u32> = signed.parts.iter().map(|part| part.index).chain(others).collect();
        missing.sort_unstable();
        missing.dedup();
        let urls = signed.parts.into_iter().map(|part| (part.index, part.url)).collect();
        Ok(Session { missing, urls, ..session })
    }

    /// Which of the parts that have arrived are this file's, and of which that is not known.
    async fn parts_of_others(
        &self,
        source: &Source,
        session: &Session,
        state: &SessionResponse,
        on_event: &(dyn Fn(Event<'_>) + Send + Sync),
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
        let compared: Vec<_> = stream::iter(compares).buffered(READS).try_collect().await?;
        let (same, others): (Vec<_>, Vec<_>) = compared.into_iter().partition(|(_, is_same)| *is_same);
        let indices = |parts: Vec<(u32, bool)>| parts.into_iter().map(|(index, _)| index).collect::<Vec<_>>();
        Ok((indices(same), indices(others)))
    }

    fn start_request(&self, source: &Source) -> Result<StartRequest, Error> {
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
            ttl_seconds: Some(TTL.as_secs()),
            webhook_url: None,
            hash: None,
        })
    }

    fn file_name(&self) -> Option<String> {
        let own_name = || Path::file_name(&self.path).and_then(|name| name.to_str()).map(str::to_owned);
        self.name.clone().or_else(own_name)
    }
}

fn retrying(on_event: &(dyn Fn(Event<'_>) + Send + Sync)) -> impl Fn(&Error, Duration) {
    move |error, pause| on_event(Event::Retrying { error, bytes_lost: 0, pause })
}

/// The store's answer about the parts that it has.
enum EtagsInStore<'s> {
    /// These are their ETags.
    Listed(HashMap<u32, &'s str>),
    /// It has made its object of them. Completing tells whether it was made of this file's parts.
    Made,
    /// It was not asked: the server is older than this program. Nobody knows who has sent the parts.
    Unknown,
}

impl<'s> EtagsInStore<'s> {
    fn of(state: &'s SessionResponse) -> Self {
        match &state.part_etags {
            _ if state.status == "completed" => Self::Made,
            None => Self::Unknown,
            Some(etags) if etags.is_empty() => Self::Made,
            Some(etags) => {
                Self::Listed(state.uploaded_parts.iter().copied().zip(etags.iter().map(String::as_str)).collect())
            }
        }
    }

    /// Whether the part may be the one whose PUT answered this ETag.
    fn may_have(&self, index: u32, etag: &str) -> bool {
        match self {
            Self::Listed(etags) => etags.get(&index) == Some(&etag),
            Self::Made => true,
            Self::Unknown => false,
        }
    }
}

/// A session as this side needs it.
#[derive(Debug)]
struct Session {
    id: String,
    size_bytes: u64,
    part_size: u64,
    parts_total: u32,
    missing: Vec<u32>,
    urls: HashMap<u32, String>,
    /// Whether the server compares the BLAKE3 of the whole file: not where the parts go to an S3 store.
    compares_blake3: bool,
    /// Whether it takes no more parts because its file is there.
    is_completed: bool,
}

impl Session {
    /// Its id goes into paths and into lines that people paste into a shell, so it must be what it says it is.
    fn new(id: String, part_size: u64, size_bytes: u64, hash_algorithm: &str) -> Result<Self, Error> {
        let id = Uuid::try_parse(&id)
            .map_err(|_| Error::Connection(format!("the server calls the session {id:?}, which is no UUID")))?
            .to_string();
        let compares_blake3 = hash_algorithm == "blake3";
        let part_size = part_size.max(1);
        let parts_total = u32::try_from(size_bytes.div_ceil(part_size)).unwrap_or(u32::MAX);
        Ok(Self {
            id,
            size_bytes,
            part_size,
            parts_total,
            missing: Vec::new(),
            urls: HashMap::new(),
            compares_blake3,
            is_completed: false,
        })
    }

    /// The bytes of part `index`.
    fn range(&self, index: u32) -> Range<u64> {
        let begin = (u64::from(index) * self.part_size).min(self.size_bytes);
        begin..(begin + self.part_size).min(self.size_bytes)
    }

    fn part_len(&self, index: u32) -> u64 {
        let range = self.range(index);
        range.end - range.start
    }
}

/// The parts of one session on their way.
struct Transfer<'t> {
    upload: &'t Upload,
    client: &'t Client,
    source: Source,
    session: Session,
    urls: PartUrls<'t>,
    /// `None` where nobody would compare them, or the server's parts are not such that their hashes make that of the file.
    hashes: Option<Arc<PartHashes>>,
    /// The ETags that the PUTs answered, of this run and of earlier ones, where nobody compares the hash of the whole.
    etags: Mutex<BTreeMap<u32, String>>,
    on_event: &'t (dyn Fn(Event<'_>) + Send + Sync),
}

impl<'t> Transfer<'t> {
    fn new(
        upload: &'t Upload,
        client: &'t Client,
        source: Source,
        mut session: Session,
        on_event: &'t (dyn Fn(Event<'_>) + Send + Sync),
    ) -> Self {
        let plan = PartPlan::from_stored(session.size_bytes, session.part_size);
        let hashes = plan
            .filter(|_| session.compares_blake3)
            .map(|plan| Arc::new(PartHashes::new(plan, source.clone(), upload.digests)));
        let urls = PartUrls::new(client, &session.id, TTL, std::mem::take(&mut session.urls));
        let is_there = |index: &u32| session.missing.binary_search(index).is_err();
        let sent = upload.sent_parts.iter().filter(|(index, _)| !session.compares_blake3 && is_there(index));
        let etags = Mutex::new(sent.map(|(index, part)| (*index, part.etag.clone())).collect());
        Self { upload, client, source, session, urls, hashes, etags, on_event }
    }

    fn etags(&self) -> MutexGuard<'_, BTreeMap<u32, String>> {
        self.etags.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Tells the server which parts the file is to be made of, where it compares no hash of the whole.
    fn etags_sha256(&self) -> Option<String> {
        let etags = self.etags();
        let is_whole = !self.session.compares_blake3 && etags.keys().copied().eq(0..self.session.parts_total);
        is_whole.then(|| {
            let mut hasher = Sha256::new();
            etags.values().for_each(|etag| hasher.update(format!("{etag}\n")));
            hasher.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
        })
    }

    /// The parts that others have sent in the place of this client's; `None` when they have completed the session.
    async fn parts_of_others(&self) -> Result<Option<Vec<u32>>, Error> {
        let status = async || self.client.status(&self.session.id).await;
        let state = self.upload.retry.run(status, Error::is_mendable, retrying(self.on_event)).await?;
        let EtagsInStore::Listed(there) = EtagsInStore::of(&state) else { return Ok(None) };
        let own = self.etags();
        let is_own = |index: &u32| there.get(index).is_some_and(|etag| own.get(index).is_some_and(|own| own == etag));
        Ok(Some((0..self.session.parts_total).filter(|index| !is_own(index)).collect()))
    }

    /// Sends what is missing and completes.
    async fn run(&self) -> Result<FileRecord, Error> {
        let mut missing = self.session.missing.clone();
        // Parts that came from another run are trusted until the hash of the whole says otherwise.
        let mut unsent: Vec<u32> =
            (0..self.session.parts_total).filter(|index| missing.binary_search(index).is_err()).collect();
        let mut tried = 0;
        loop {
            tokio::try_join!(self.send_parts(&missing), self.read_parts(&unsent))?;
            self.source.check_unchanged()?;
            (self.on_event)(Event::Completing);
            let hash = self.hashes.as_ref().and_then(|hashes| hashes.of_file());
            let etags_sha256 = self.etags_sha256();
            let request =
                CompleteRequest { session_id: self.session.id.clone(), uuid: None, hash: hash.clone(), etags_sha256 };
            let complete = async || self.client.complete(&request).await;
            let completed = self.upload.retry.run(complete, Error::is_mendable, retrying(self.on_event)).await;
            tried += 1;
            let again = match &completed {
                Ok(record) => return check_hash(hash, record).map(|()| record.clone()),
                Err(_) if tried >= self.upload.retry.tries || self.session.is_completed => None,
                // The server lost parts that it had: its disk failed, or its machine did.
                Err(error) if error.missing_parts().is_some() => error.missing_parts().map(<[u32]>::to_vec),
                // The parts of the other run were of another file.
                Err(error) if error.code() == Some(ErrorCode::ChecksumMismatch) && !unsent.is_empty() => {
                    Some(std::mem::take(&mut unsent))
                }
                // Somebody else has sent parts to this session in the meantime.
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
        stream::iter(sends).buffer_unordered(self.upload.concurrency).try_collect().await
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
                // A store that refuses a URL before it has read the body may be seen only as a connection that breaks.
                Err(Error::Connection(_)) if !self.session.compares_blake3 => Some(url),
                _ => None,
            };
            is_in_doubt = outcome.as_ref().is_err_and(Error::is_hearsay);
            if outcome.as_ref().is_err_and(Error::is_refused_url) {
                refusals.fetch_add(1, Ordering::Relaxed);
            }
            outcome.map(|etag| (etag, hash))
        };
        let on_retry = |error: &Error, pause| {
            (self.on_event)(Event::Retrying { error, bytes_lost: sent.swap(0, Ordering::Relaxed), pause });
        };
        let mendable = |error: &Error| {
            error.is_mendable_for_part() || (error.is_refused_url() && refusals.load(Ordering::Relaxed) < URL_REFUSALS)
        };
        let (etag, hash) = self.upload.retry.run(put, mendable, on_retry).await?;
        if let Some(hash) = hash {
            let hash = hash.lock().unwrap_or_else(PoisonError::into_inner).finalize();
            self.etags().insert(index, etag.clone());
            (self.on_event)(Event::PartSent { index, part: &SentPart { hash: hash.into(), etag } });
        }
        Ok(())
    }

    /// Sending a whole part again to a session that has ended is in vain, and behind some proxies nobody would hear why it
    /// is refused.
    async fn check_open(&self) -> Result<(), Error> {
        let state = self.client.status(&self.session.id).await?;
        match state.status.as_str() {
            "uploading" => Ok(()),
            _ => Err(Error::Ended { session_id: self.session.id.clone(), status: state.status }),
        }
    }

    /// Runs the request of a part, tells every so often how much of its body has gone, and ends it when nothing goes.
    async fn watch<T>(&self, request: impl Future<Output = Result<T, Error>>, sent: &AtomicU64) -> Result<T, Error> {
        const EVERY: Duration = Duration::from_millis(100);
        let mut told = 0;
        let mut last_progress = Instant::now();
        let mut request = std::pin::pin!(request);
        loop {
            let outcome = tokio::time::timeout(EVERY, request.as_mut()).await;
            let now = sent.load(Ordering::Relaxed);
            if now > told {
                (self.on_event)(Event::Sent { bytes: now - told });
                told = now;
                last_progress = Instant::now();
            }
            let buffered = Duration::from_secs(now.min(BUFFERED_BYTES) / self.upload.slowest_rate);
            let silent = last_progress.elapsed();
            match outcome {
                Ok(output) => return output,
                Err(_) if silent >= self.upload.stall_timeout + buffered => {
                    let seconds = silent.as_secs();
                    return Err(Error::Connection(format!("no byte was taken and no answer came for {seconds} s")));
                }
                Err(_) => {}
            }
        }
    }

    /// Reads parts that are not sent, for the hash of the whole.
    async fn read_parts(&self, indices: &[u32]) -> Result<(), Error> {
        let reads = indices.iter().map(|index| async { self.read_part(*index).await.map(drop) });
        stream::iter(reads).buffer_unordered(READS).try_collect().await
    }

    async fn read_part(&self, index: u32) -> Result<Option<[u8; 32]>, Error> {
        let Some(hashes) = self.hashes.clone() else { return Ok(None) };
        blocking(move || hashes.read(index)).await
    }
}

/// Whether the server has what was sent.
fn check_hash(sent: Option<String>, record: &FileRecord) -> Result<(), Error> {
    match (sent, record.hash.clone()) {
        (Some(sent), Some(stored)) if sent != stored => Err(Error::Mismatch { sent, stored }),
        _ => Ok(()),
    }
}
