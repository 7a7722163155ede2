//! Files: their blob, its size, and in a deep check its bytes.

use std::sync::Arc;

use futures_util::StreamExt;
use uuid::Uuid;

use super::{Fsck, FsckError, OnRead, Outcome, Problem, Report, blocking};
use crate::db::blobs::OwnedBlob;
use crate::db::files;
use crate::error_chain::error_chain;
use crate::model::{BlobRef, StorageKind};
use crate::storage::{StorageError, blob_hash, stream_hash};

impl Fsck {
    pub(super) async fn check_file(
        &self,
        id: Uuid,
        blob: &OwnedBlob,
        report: &mut Report,
        on_read: OnRead<'_>,
    ) -> Result<(), FsckError> {
        let Some(size) = self.size_of(blob.blob, report).await? else { return Ok(()) };
        let (problem, detail) = match size {
            None => (Problem::FileMissing, "its blob is missing".to_owned()),
            Some(size) if size != blob.size_bytes => {
                (Problem::FileSize, format!("its blob has {size} bytes; expected: {}", blob.size_bytes))
            }
            Some(_) if self.deep => {
                let Some(problem) = self.verify_file(id, blob, report, on_read).await? else { return Ok(()) };
                (Problem::FileHash, problem)
            }
            Some(_) => return Ok(()),
        };
        // It may have been replaced or deleted during the check, or moved to another storage.
        let Some(file) = self.db.read(move |tx| files::find_to_check(tx, id)).await? else { return Ok(()) };
        if file.blob_id != blob.blob.id {
            return Ok(());
        }
        report.add(problem, format!("file {}/{}", file.workspace_no, file.path), detail, Outcome::Left);
        Ok(())
    }

    /// The fault of the file's bytes, if there is one.
    async fn verify_file(
        &self,
        id: Uuid,
        blob: &OwnedBlob,
        report: &mut Report,
        on_read: OnRead<'_>,
    ) -> Result<Option<String>, FsckError> {
        let Some(file) = self.db.read(move |tx| files::find_to_check(tx, id)).await? else { return Ok(None) };
        let (blob, size_bytes) = (blob.blob, blob.size_bytes);
        let Some(hash) = file.hash.filter(|hash| hash.starts_with("blake3:")) else {
            report.files_without_hash.push(format!("{}/{}", file.workspace_no, file.path));
            return self.read_last_byte(blob, size_bytes).await;
        };
        report.files_verified += 1;
        let read = match blob.storage {
            StorageKind::Local => {
                let store = Arc::clone(self.stores.local()?);
                blocking(move || blob_hash(&store.open_for_reading(blob.id)?, size_bytes)).await?
            }
            StorageKind::S3 => stream_hash(self.stores.get(blob.storage)?.as_ref(), blob.id, size_bytes).await,
        };
        on_read(size_bytes);
        report.bytes_verified += size_bytes;
        Ok(match read {
            Ok(read) if format!("blake3:{read}") == hash => None,
            Ok(read) => Some(format!("its bytes have blake3:{read}; expected: {hash}")),
            Err(error) => Some(error_chain(&error)),
        })
    }

    /// The fault at the end of a blob. Some stores report the full size of an object that has lost a part of its bytes.
    async fn read_last_byte(&self, blob: BlobRef, size_bytes: u64) -> Result<Option<String>, FsckError> {
        if size_bytes == 0 {
            return Ok(None);
        }
        let read = async {
            let mut stream = self.stores.get(blob.storage)?.read_blob(blob.id, size_bytes - 1..size_bytes).await?;
            let mut read_bytes = 0;
            while let Some(bytes) = stream.next().await {
                read_bytes += bytes?.len();
            }
            Ok::<_, StorageError>(read_bytes)
        };
        Ok(match read.await {
            Ok(1) => None,
            Ok(_) => Some("its last byte is missing".to_owned()),
            Err(error) => Some(format!("its last byte cannot be read: {}", error_chain(&error))),
        })
    }
}
