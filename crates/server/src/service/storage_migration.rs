//! Moves files from one storage to the other, beside running servers.
//!
//! Each file: its bytes are copied into a new blob, read back and compared; then one transaction has the file use the
//! new blob and makes the old one garbage. Until then the file is served from the old one, and readers keep it for as
//! long as they may. The new blob is an unfinished one (`unfinished.rs`) until then: whatever ends the command, nothing is
//! left behind, and running it again moves what is left.

use std::ops::Range;
use std::sync::Arc;

use futures_util::future::BoxFuture;
use futures_util::{FutureExt, StreamExt};
use uuid::Uuid;

use crate::db::files::{self, MoveCandidate};
use crate::db::garbage::{self, NewGarbage, Reason};
use crate::db::{Db, DbError, Durability, workspaces};
use crate::model::{BlobRef, StorageKind, safer_type};
use crate::service::grace::GracePolicy;
use crate::service::unfinished::UnfinishedBlob;
use crate::storage::{BlobHeaders, BlobStore, ByteSource, ByteStream, StorageError, Stores, stream_hash};

/// Files looked up at once.
const ROUND: u32 = 200;
/// Files on their way at once: small ones wait for the store more than for the line.
const AT_ONCE: usize = 8;

/// A move of all files of a database.
pub struct MoveFiles {
    /// The records.
    pub db: Db,
    /// Both storages.
    pub stores: Stores,
    /// Where the files are to be.
    pub to: StorageKind,
    /// How long the old blob of a moved file is kept.
    pub grace: GracePolicy,
}

/// What became of the files.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize)]
pub struct Moved {
    /// Files that were moved.
    pub files: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Files that were replaced or deleted meanwhile.
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
    /// The bytes are not what they were: where they come from, or where they went.
    #[error("its bytes {place} have {found}, they should have {expected}")]
    Hash {
        /// Where.
        place: &'static str,
        /// The hash found.
        found: String,
        /// The hash it should be.
        expected: String,
    },
    /// The cleaner took the unfinished copy for dead: the command was held up for long.
    #[error("copying took so long that the copy was deleted; run the command again")]
    TooSlow,
}

/// Called with bytes on their way since the last call, and whether a file has arrived.
pub type OnMoved<'f> = &'f (dyn Fn(u64, bool) + Send + Sync);

impl MoveFiles {
    /// Files that are to be moved: how many, and their bytes.
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

    /// Moves all files. One that cannot be moved does not keep the others.
    ///
    /// # Errors
    /// When the files cannot be listed, or a storage is not there.
    pub async fn run(&self, on_moved: OnMoved<'_>) -> Result<Moved, MoveError> {
        let (from, to) = (self.stores.get(self.from())?, self.stores.get(self.to)?);
        let mut moved = Moved::default();
        let mut last = Uuid::nil();
        loop {
            let kind = self.from();
            let round = self.db.read(move |tx| files::list_in(tx, kind, last, ROUND)).await?;
            let Some(next) = round.last().map(|file| file.id) else { return Ok(moved) };
            last = next;
            let moves = round.into_iter().map(|file| {
                let (from, to) = (from.as_ref(), to.as_ref());
                async move { (self.move_file(from, to, &file, on_moved).await, file) }
            });
            let mut moves = futures_util::stream::iter(moves).buffer_unordered(AT_ONCE);
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
                        moved.failed.push((path, crate::error_chain::error_chain(&error)));
                    }
                }
            }
        }
    }

    /// True when the file is in its new place, false when it was replaced or deleted meanwhile.
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

    /// Copies the bytes and reads them back. The hash of the whole, and what the new place calls it.
    async fn copy(
        &self,
        from: &dyn BlobStore,
        to: &dyn BlobStore,
        file: &MoveCandidate,
        blob_id: Uuid,
        on_moved: OnMoved<'_>,
    ) -> Result<(blake3::Hash, Option<String>), MoveError> {
        let expected = file.stored.hash.as_ref().and_then(|hash| hash.strip_prefix("blake3:")).map(str::to_owned);
        let source = MoveBackend { store: from, blob_id: file.stored.blob_id, on_moved };
        let headers = BlobHeaders::of_file(&file.name, safer_type(&file.mime_type, file.declared_type.as_deref()));
        to.put_blob(blob_id, file.size_bytes, &headers, &source).await?;
        let found = stream_hash(to, blob_id, file.size_bytes).await?;
        // Files whose bytes never passed the server have no such hash: they are read once more.
        let expected = match expected {
            Some(expected) => expected,
            None => stream_hash(from, file.stored.blob_id, file.size_bytes).await?.to_hex().to_string(),
        };
        if found.to_hex().as_str() != expected {
            let original = stream_hash(from, file.stored.blob_id, file.size_bytes).await?.to_hex().to_string();
            let place = if original == expected { "in their new place" } else { "where they are" };
            return Err(MoveError::Hash { place, found: found.to_hex().to_string(), expected });
        }
        let stored = to.find_blob(blob_id).await?;
        Ok((found, stored.and_then(|stored| stored.entity_tag)))
    }

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
            // Whoever deletes or replaces the file meanwhile finds the one blob or the other.
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

/// A blob of the storage that is left, counted on its way.
struct MoveBackend<'s> {
    store: &'s dyn BlobStore,
    blob_id: Uuid,
    on_moved: OnMoved<'s>,
}

impl ByteSource for MoveBackend<'_> {
    fn read(&self, range: Range<u64>) -> BoxFuture<'_, Result<ByteStream, StorageError>> {
        async move {
            (self.on_moved)(range.end - range.start, false);
            self.store.read_blob(self.blob_id, range).await
        }
        .boxed()
    }
}
