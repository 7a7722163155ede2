//! Multipart uploads that calls without an answer left at the store.
//!
//! Invariant: only what the records know as dead is given up: an upload under a key that is the blob of a session that has
//! ended, or of one that uses another upload. What the records do not know belongs to somebody else.

use std::collections::HashSet;
use std::sync::PoisonError;

use super::{S3Uploads, UploadError};
use crate::db::sessions::{self, Session, Status};
use crate::storage::StoreUpload;

/// Looked up in one go.
const ROUND: usize = 500;

impl S3Uploads {
    /// Gives up what is dead. An upload beside the one that a session uses may be about to take its place: it has to be
    /// found twice.
    pub(in super::super) async fn sweep(&self) -> Result<(), UploadError> {
        let mut suspects = HashSet::new();
        for uploads in self.store.list_uploads(None).await?.chunks(ROUND) {
            let wanted: Vec<_> = uploads.iter().map(|upload| upload.blob_id).collect();
            let found = self.records.db.read(move |tx| {
                wanted.into_iter().map(|blob_id| sessions::find_by_blob(tx, blob_id)).collect::<Result<Vec<_>, _>>()
            });
            for (upload, session) in uploads.iter().zip(found.await?) {
                let Some(session) = session else { continue };
                let is_dead = session.status != Status::Uploading;
                if is_dead || (is_beside(&session, upload) && self.was_suspect(upload)) {
                    tracing::info!(blob_id = %upload.blob_id, "gave up an upload of the bucket that nobody uses");
                    // What cannot be given up now is found again by the next sweep.
                    if let Err(error) = self.store.abort_upload(upload.blob_id, &upload.upload_id).await {
                        tracing::warn!(blob_id = %upload.blob_id, error = %crate::error::chain(&error), "an upload cannot be given up");
                    }
                } else if is_beside(&session, upload) {
                    suspects.insert(upload.clone());
                }
            }
        }
        *self.suspects.lock().unwrap_or_else(PoisonError::into_inner) = suspects;
        Ok(())
    }

    fn was_suspect(&self, upload: &StoreUpload) -> bool {
        self.suspects.lock().unwrap_or_else(PoisonError::into_inner).contains(upload)
    }
}

fn is_beside(session: &Session, upload: &StoreUpload) -> bool {
    session.store_upload_id.as_ref().is_some_and(|used| *used != upload.upload_id)
}
