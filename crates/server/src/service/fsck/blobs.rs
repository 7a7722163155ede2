//! Blobs: listing the storages, and finding blobs without an owner.

use std::collections::HashSet;

use super::{Fsck, FsckError, Outcome, Problem, Report};
use crate::db::{Durability, blobs, garbage, sessions};
use crate::error_chain::error_chain;
use crate::model::BlobRef;
use crate::storage::Scanned;

impl Fsck {
    /// All blobs of the storages. Everything else there is a finding.
    pub(super) async fn scan(&self, report: &mut Report) -> Result<HashSet<BlobRef>, FsckError> {
        let mut found = HashSet::new();
        for store in self.stores.all() {
            for entry in store.list_blobs().await? {
                match entry {
                    Scanned::Blob(id) => {
                        found.insert(BlobRef { storage: store.kind(), id });
                    }
                    Scanned::Foreign(path) => {
                        report.add(Problem::Foreign, path, "not made by Partway; it is left alone", Outcome::Left);
                    }
                    Scanned::Unreadable(path, error) => {
                        report.add(Problem::Unreadable, path, error, Outcome::Left);
                    }
                }
            }
        }
        self.find_foreign_uploads(report).await?;
        Ok(found)
    }

    /// Unfinished multipart uploads of the bucket that no row names.
    async fn find_foreign_uploads(&self, report: &mut Report) -> Result<(), FsckError> {
        let Ok(bucket) = self.stores.s3() else { return Ok(()) };
        let uploads = match bucket.list_uploads(None).await {
            Err(error) if error.is_not_implemented() => {
                tracing::warn!(error = %error_chain(&error), "the store does not list unfinished uploads: they are not checked");
                return Ok(());
            }
            listed => listed?,
        };
        for upload in uploads {
            let blob_id = upload.blob_id;
            let is_known = self
                .db
                .read(move |tx| Ok(sessions::find_by_blob(tx, blob_id)?.is_some() || blobs::has_owner(tx, blob_id)?));
            if !is_known.await? {
                let detail = "an unfinished upload that no record knows; it is left alone";
                report.add(Problem::Foreign, format!("upload of {blob_id} in the bucket"), detail, Outcome::Left);
            }
        }
        Ok(())
    }

    /// The size of a blob; `Some(None)` when it is missing. One that cannot be examined is a finding, and `None`.
    pub(super) async fn size_of(&self, blob: BlobRef, report: &mut Report) -> Result<Option<Option<u64>>, FsckError> {
        match self.stores.get(blob.storage)?.find_blob(blob.id).await {
            Ok(found) => Ok(Some(found.map(|found| found.size_bytes))),
            Err(error) => {
                report.add(Problem::Unreadable, format!("blob {}", blob.id), error_chain(&error), Outcome::Left);
                Ok(None)
            }
        }
    }

    pub(super) async fn check_orphan(&self, blob: BlobRef, report: &mut Report) -> Result<(), FsckError> {
        let blob_id = blob.id;
        if self.db.read(move |tx| blobs::has_owner(tx, blob_id)).await? {
            return Ok(());
        }
        let Some(Some(size_bytes)) = self.size_of(blob, report).await? else { return Ok(()) };
        let mut outcome = Outcome::Repairable;
        if self.repair {
            let handed_over = self.db.write_to_free(Durability::PowerLoss, move |tx| {
                if !blobs::has_owner(tx, blob_id)? {
                    let orphan = garbage::NewGarbage {
                        blob,
                        workspace_id: None,
                        reason: garbage::Reason::Orphan,
                        size_bytes,
                        keep_seconds: 0,
                    };
                    garbage::insert(tx, &orphan)?;
                }
                Ok(())
            });
            handed_over.await?;
            outcome = Outcome::Repaired;
        }
        report.add(Problem::Orphan, format!("blob {blob_id}"), format!("{size_bytes} bytes without an owner"), outcome);
        Ok(())
    }
}
