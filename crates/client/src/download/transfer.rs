//! The pieces of one version of a file on their way into its part file.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_util::{StreamExt, TryStreamExt, stream};
use partway_hash::PartHasher;
use tokio::time::Instant;

use super::intake::{Intake, PartSink};
use super::origin::Origin;
use super::part_file::PartFile;
use super::ranges::{Piece, Ranges, pieces};
use super::state::State;
use super::version::Version;
use crate::Error;
use crate::blocking::blocking;

/// Pieces that an earlier run left and that are read for the hash of the whole file, at once.
const READS: usize = 2;
/// What is received is synced and remembered when it is so much, or so old: what a process that is killed loses is
/// fetched again in a moment on a fast line, and was a moment's work on a slow one.
const SAVE_BYTES: u64 = 64 * 1024 * 1024;
const SAVE_INTERVAL: Duration = Duration::from_secs(5);
/// How often that is looked at.
const SAVE_TICK: Duration = Duration::from_millis(250);

/// A download of one version, in pieces.
pub(crate) struct Transfer<'t> {
    origin: &'t Origin<'t>,
    part: Arc<PartFile>,
    version: Version,
    received: Arc<Mutex<Ranges>>,
    /// How many bytes are remembered to be there.
    saved_bytes: AtomicU64,
    /// Hashes of the pieces that were received or read, if they are wanted.
    values: Option<Mutex<Vec<Vec<u8>>>>,
    concurrency: usize,
}

impl<'t> Transfer<'t> {
    /// Goes on where `received` is.
    pub(crate) fn new(
        origin: &'t Origin<'t>,
        part: Arc<PartFile>,
        version: Version,
        received: Ranges,
        with_hash: bool,
        concurrency: usize,
    ) -> Self {
        let values = with_hash.then(|| Mutex::new(vec![Vec::new(); pieces(version.size_bytes, &received).len()]));
        let saved_bytes = AtomicU64::new(received.total());
        Self { origin, part, version, received: Arc::new(Mutex::new(received)), saved_bytes, values, concurrency }
    }

    /// Fetches what is missing. Whatever happens, what has come is remembered, unless it is of another version than what
    /// comes now.
    pub(crate) async fn run(&self) -> Result<(), Error> {
        let (there, missing): (Vec<_>, Vec<_>) =
            pieces(self.version.size_bytes, &self.received()).into_iter().partition(Piece::is_there);
        let fetches = stream::iter(missing.into_iter().map(|piece| self.fetch(piece)));
        let fetches = fetches.buffer_unordered(self.concurrency).try_collect::<()>();
        // Those that are there are trusted only as far as the hash of the whole goes.
        let there = there.into_iter().filter(|_| self.values.is_some());
        let reads = stream::iter(there.map(|piece| self.read(piece))).buffer_unordered(READS).try_collect::<()>();
        // A save that is under way when all has come runs to its end; the last one below waits for its turn.
        let outcome = tokio::select! {
            outcome = async { tokio::try_join!(fetches, reads) } => outcome.map(drop),
            Err(error) = self.save_regularly() => Err(error),
        };
        match outcome {
            Ok(()) => self.save().await,
            Err(error @ Error::Changed { .. }) => Err(error),
            Err(error) => {
                let _ = self.save().await;
                Err(error)
            }
        }
    }

    /// Whether nothing has come, now or earlier.
    pub(crate) fn is_empty(&self) -> bool {
        self.received().total() == 0
    }

    /// The hash of the whole file, once it is there, if it is wanted.
    pub(crate) fn hash(&self) -> Option<blake3::Hash> {
        let values = self.values.as_ref()?.lock().unwrap_or_else(PoisonError::into_inner);
        if self.version.size_bytes == 0 {
            return Some(blake3::hash(&[]));
        }
        let pieces = pieces(self.version.size_bytes, &Ranges::default());
        let parts = pieces.into_iter().zip(values.iter()).map(|(piece, values)| (piece.range, values.as_slice()));
        partway_hash::merge(self.version.size_bytes, parts)
    }

    async fn fetch(&self, piece: Piece) -> Result<(), Error> {
        let hasher = self.read_back(&piece).await?;
        let sink = PartSink::new(Arc::clone(&self.part), piece.there, Arc::clone(&self.received), hasher);
        let mut intake = Intake::new(sink, piece.there);
        self.origin.fetch(&self.version, &mut intake, piece.range.end).await?;
        self.keep_values(piece.index, intake.into_sink().and_then(PartSink::finish));
        Ok(())
    }

    async fn read(&self, piece: Piece) -> Result<(), Error> {
        let hasher = self.read_back(&piece).await?;
        self.keep_values(piece.index, hasher.map(PartHasher::finish));
        Ok(())
    }

    /// A hasher of the piece that has what is there of it, if a hash is wanted.
    async fn read_back(&self, piece: &Piece) -> Result<Option<PartHasher>, Error> {
        if self.values.is_none() {
            return Ok(None);
        }
        let (part, there) = (Arc::clone(&self.part), piece.range.start..piece.there);
        let mut hasher = PartHasher::new(piece.range.clone(), self.version.size_bytes);
        if there.is_empty() {
            return Ok(Some(hasher));
        }
        blocking(move || {
            part.read(there, |bytes| hasher.update(bytes))?;
            Ok(Some(hasher))
        })
        .await
    }

    fn keep_values(&self, index: usize, of_piece: Option<Vec<u8>>) {
        let values = self.values.as_ref().map(|values| values.lock().unwrap_or_else(PoisonError::into_inner));
        if let (Some(mut values), Some(of_piece)) = (values, of_piece)
            && let Some(place) = values.get_mut(index)
        {
            *place = of_piece;
        }
    }

    fn received(&self) -> Ranges {
        self.received.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Never ends by itself.
    async fn save_regularly(&self) -> Result<std::convert::Infallible, Error> {
        let mut last = Instant::now();
        loop {
            tokio::time::sleep(SAVE_TICK).await;
            let new_bytes = self.received().total() - self.saved_bytes.load(Ordering::Relaxed);
            if new_bytes >= SAVE_BYTES || (new_bytes > 0 && last.elapsed() >= SAVE_INTERVAL) {
                self.save().await?;
                last = Instant::now();
            }
        }
    }

    async fn save(&self) -> Result<(), Error> {
        // What comes while it is synced is remembered the next time.
        let received = self.received();
        let total = received.total();
        if total == self.saved_bytes.load(Ordering::Relaxed) {
            return Ok(());
        }
        let state = State { url: self.origin.url.to_string(), version: self.version.clone(), received };
        let part = Arc::clone(&self.part);
        blocking(move || part.save(&state)).await?;
        self.saved_bytes.store(total, Ordering::Relaxed);
        Ok(())
    }
}
