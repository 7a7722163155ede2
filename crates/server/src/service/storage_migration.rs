//! Moves files from one storage to the other, while servers run.
//!
//! The bytes of each file are copied into a new blob, read back and compared. Then one transaction makes the file use the new blob
//! and turns the old one into garbage. Until then the file is served from the old blob, which also outlives the readers that use
//! it. The new blob is an unfinished one (`unfinished.rs`) until that transaction, so a command that is interrupted leaves
//! nothing, and running it again moves the rest.

use std::ops::Range;
use std::sync::Arc;

use futures_util::future::BoxFuture;
use futures_util::{FutureExt, StreamExt};
use uuid::Uuid;

use crate::db::files::{self, MoveCandidate};
use crate::db::garbage::{self, NewGarbage, Reason};
use crate::db::{Db, DbError, Durability, workspaces};
use crate::error_chain::error_chain;
use crate::model::{BlobRef, StorageKind, content_type, safer_type};
use crate::service::blob_retention::GracePolicy;
use crate::service::unfinished::UnfinishedBlob;
use crate::storage::{BlobHeaders, BlobStore, ByteSource, ByteStream, StorageError, Stores, stream_hash};

/// Files listed by one query.
const MOVE_BATCH: u32 = 200;
/// Files copied at the same time: small ones wait for the latency of the store.
const MAX_CONCURRENT_MOVES: usize = 8;

/// A move of all files of a database.
#[derive(Debug)]
pub struct MoveFiles {
    /// The database.
    pub db: Db,
    /// Both storages.
    pub stores: Stores,
    /// The storage to move the files to.
    pub to: StorageKind,
    /// How long the old blob of a moved file is kept.
    pub grace: GracePolicy,
}

/// The result of a move.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize)]
pub struct Moved {
    /// Files that were moved.
    pub files: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Files that were replaced or deleted during the move.
    pub gone: u64,
    /// Files that could not be moved: path and why.
    pub failed: Vec<(String, String)>,
}

/// Why a file was not moved.
#[derive(Debug, thiserror::Error)]
pub enum MoveError {
    /// The database failed.
    #[error(transparent)]
    Db(#[from] DbError),
    /// One of the storages failed.
    #[error(transparent)]
    Storage(#[from] StorageError),
    /// The bytes differ from their hash, in the old storage or in the copy.
    #[error("its bytes {place} have the hash {found}; expected: {expected}")]
    Hash {
        /// Where.
        place: &'static str,
        /// The hash found.
        found: String,
        /// The hash it should be.
        expected: String,
    },
    /// The command was delayed so long that the cleaner has deleted the unfinished copy.
    #[error("copying took so long that the copy was deleted; run the command again")]
    TooSlow,
}

/// Called with the number of bytes read since the last call, and whether a file has been moved.
pub type OnMoved<'f> = &'f (dyn Fn(u64, bool) + Send + Sync);

impl MoveFiles {
    /// The number of files that are still to be moved, and their bytes.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn left(&self) -> Result<(u64, u64), DbError> {
        let from = self.from();
        self.db.read(move |tx| files::amount_in(tx, from)).await
    }

    fn from(&self) -> StorageKind {
        match self.to {
            StorageKind::Local => StorageKind::S3,
            StorageKind::S3 => StorageKind::Local,
        }
    }

    /// Moves all files. A failure does not keep the others from being moved.
    ///
    /// # Errors
    /// When the files cannot be listed, or a storage is missing in the settings.
    pub async fn run(&self, on_moved: OnMoved<'_>) -> Result<Moved, MoveError> {
        let (from, to) = (self.stores.get(self.from())?, self.stores.get(self.to)?);
        let mut moved = Moved::default();
        let mut last = Uuid::nil();
        loop {
            let kind = self.from();
            let round = self.db.read(move |tx| files::list_in(tx, kind, last, MOVE_BATCH)).await?;
            let Some(next) = round.last().map(|file| file.id) else { return Ok(moved) };
            last = next;
            let moves = round.into_iter().map(|file| {
                let (from, to) = (from.as_ref(), to.as_ref());
                async move { (self.move_file(from, to, &file, on_moved).await, file) }
            });
            let mut moves = futures_util::stream::iter(moves).buffer_unordered(MAX_CONCURRENT_MOVES);
            while let Some((outcome, file)) = moves.next().await {
                match outcome {
                    Ok(true) => {
                        moved.files += 1;
                        moved.bytes += file.size_bytes;
                        on_moved(0, true);
                    }
                    Ok(false) => moved.gone += 1,
                    Err(error) => {
                        let path = format!("{}/{}", file.stored.workspace_no, file.stored.path);
                        moved.failed.push((path, error_chain(&error)));
                    }
                }
            }
        }
    }

    /// Moves one file. False when it was replaced or deleted during the move.
    async fn move_file(
        &self,
        from: &dyn BlobStore,
        to: &dyn BlobStore,
        file: &MoveCandidate,
        on_moved: OnMoved<'_>,
    ) -> Result<bool, MoveError> {
        let copy = BlobRef { storage: self.to, id: Uuid::now_v7() };
        let unfinished = UnfinishedBlob::begin(&self.db, copy, None, Arc::default()).await?;
        let copied = tokio::select! {
            copied = self.copy(from, to, file, copy.id, on_moved) => copied,
            () = unfinished.lost() => Err(MoveError::TooSlow),
        };
        let switched = match copied {
            Ok((hash, entity_tag)) => self.switch(file, copy, hash, entity_tag).await,
            Err(error) => Err(error),
        };
        if matches!(switched, Ok(true)) {
            unfinished.claimed();
        } else {
            unfinished.give_up().await?;
        }
        switched
    }

    /// Copies the bytes and reads them back. Answers their hash, and the ETag of the copy.
    async fn copy(
        &self,
        from: &dyn BlobStore,
        to: &dyn BlobStore,
        file: &MoveCandidate,
        blob_id: Uuid,
        on_moved: OnMoved<'_>,
    ) -> Result<(blake3::Hash, Option<String>), MoveError> {
        let expected = file.stored.hash.as_ref().and_then(|hash| hash.strip_prefix("blake3:")).map(str::to_owned);
        let source = OldBlob { store: from, blob_id: file.stored.blob_id, on_moved };
        let served = safer_type(file.mime_type.as_str(), file.declared_type.as_deref());
        let headers = BlobHeaders::of_file(&file.name, &content_type(served, file.charset.as_deref()));
        to.put_blob(blob_id, file.size_bytes, &headers, &source).await?;
        let found = stream_hash(to, blob_id, file.size_bytes).await?;
        // Files that were uploaded to the bucket directly have no such hash: their bytes are read once more.
        let expected = match expected {
            Some(expected) => expected,
            None => stream_hash(from, file.stored.blob_id, file.size_bytes).await?.to_hex().to_string(),
        };
        if found.to_hex().as_str() != expected {
            let original = stream_hash(from, file.stored.blob_id, file.size_bytes).await?.to_hex().to_string();
            let place = if original == expected { "in the copy" } else { "in the old storage" };
            return Err(MoveError::Hash { place, found: found.to_hex().to_string(), expected });
        }
        let stored = to.find_blob(blob_id).await?;
        Ok((found, stored.and_then(|stored| stored.entity_tag)))
    }

    /// Makes the file use the copy. False when the file was replaced or deleted.
    async fn switch(
        &self,
        file: &MoveCandidate,
        copy: BlobRef,
        hash: blake3::Hash,
        entity_tag: Option<String>,
    ) -> Result<bool, MoveError> {
        let old = BlobRef { storage: self.from(), id: file.stored.blob_id };
        let left = NewGarbage {
            blob: old,
            workspace_id: Some(file.workspace_id),
            reason: Reason::Moved,
            size_bytes: file.size_bytes,
            keep_seconds: self.grace.seconds(old.storage),
        };
        let (id, workspace_id, hash) = (file.id, file.workspace_id, format!("blake3:{hash}"));
        let switched = self.db.write(Durability::PowerLoss, move |tx| {
            // The lock orders this change and a deletion or replacement of the file.
            workspaces::lock(tx, workspace_id)?;
            if !UnfinishedBlob::claim(tx, copy)? {
                return Ok(None);
            }
            if !files::use_blob(tx, id, old, copy, &hash, entity_tag.as_deref())? {
                UnfinishedBlob::list(tx, copy, None)?;
                return Ok(Some(false));
            }
            garbage::insert(tx, &left)?;
            Ok(Some(true))
        });
        switched.await?.ok_or(MoveError::TooSlow)
    }
}

/// The old blob of a file, whose bytes are counted while they are read.
struct OldBlob<'s> {
    store: &'s dyn BlobStore,
    blob_id: Uuid,
    on_moved: OnMoved<'s>,
}

impl ByteSource for OldBlob<'_> {
    fn read(&self, range: Range<u64>) -> BoxFuture<'_, Result<ByteStream, StorageError>> {
        async move {
            (self.on_moved)(range.end - range.start, false);
            self.store.read_blob(self.blob_id, range).await
        }
        .boxed()
    }
}
