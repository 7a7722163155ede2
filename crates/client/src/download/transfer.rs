//! Fetches the pieces of one version of a file into its part file.

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

/// Pieces of an earlier run that are read at the same time, for the hash of the whole file.
const READS: usize = 2;
/// Received bytes are synced and saved after this many bytes or this much time. A killed process thus loses what a fast line fetches again
/// in a moment, or what a slow line fetched in a moment.
const SAVE_BYTES: u64 = 64 * 1024 * 1024;
const SAVE_INTERVAL: Duration = Duration::from_secs(5);
/// Interval at which both bounds are checked.
const SAVE_TICK: Duration = Duration::from_millis(250);

/// A download of one version, in pieces.
pub(crate) struct Transfer<'t> {
    origin: &'t Origin<'t>,
    part: Arc<PartFile>,
    version: Version,
    received: Arc<Mutex<Ranges>>,
    /// Bytes of the last saved state.
    saved_bytes: AtomicU64,
    /// Subtrees of the pieces received or read, if a hash is wanted.
    values: Option<Mutex<Vec<Vec<u8>>>>,
    concurrency: usize,
}

impl<'t> Transfer<'t> {
    /// A transfer that resumes after the bytes in `received`.
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

    /// Fetches the missing pieces. Received bytes are saved also on failure, unless the file on the server has changed.
    pub(crate) async fn run(&self) -> Result<(), Error> {
        let (there, missing): (Vec<_>, Vec<_>) =
            pieces(self.version.size_bytes, &self.received()).into_iter().partition(Piece::is_there);
        let fetches = stream::iter(missing.into_iter().map(|piece| self.fetch(piece)));
        let fetches = fetches.buffer_unordered(self.concurrency).try_collect::<()>();
        // Pieces of an earlier run are read for the hash of the whole file, which alone verifies them.
        let there = there.into_iter().filter(|_| self.values.is_some());
        let reads = stream::iter(there.map(|piece| self.read(piece))).buffer_unordered(READS).try_collect::<()>();
        // A save in progress when the last piece arrives runs to its end; the last save below waits for it.
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

    /// Whether no byte was received, in this run or an earlier one.
    pub(crate) fn is_empty(&self) -> bool {
        self.received().total() == 0
    }

    /// The hash of the whole file, once it is complete, if it is wanted.
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

    /// A hasher of the piece that contains its received bytes, if a hash is wanted.
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

    /// Saves at intervals; returns only an error.
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
        // Bytes received during the sync are saved the next time.
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
