//! Aborts multipart uploads that calls without an answer left at the store.
//!
//! Invariant: only uploads that the records know as dead are aborted: an upload under a key that is the blob of a session that has ended
//! without a file, or that uses another upload. The upload with which a session was completed is never aborted: some stores go on
//! listing it, and aborting it would delete the file's bytes. Uploads that the records do not know belong to somebody else, or to a
//! session that is forgotten by now; either way they are left alone.

use std::collections::HashSet;
use std::sync::PoisonError;

use super::{S3Uploads, UploadError, plan_of};
use crate::db::sessions::{self, Session, Status};
use crate::db::{Tx, blobs};
use crate::service::upload::session::Ending;
use crate::storage::{PROBE_BYTES, StoreUpload};

/// Uploads looked up in the database at a time.
const SWEEP_BATCH: usize = 500;

/// The decision about an upload that the store lists.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Verdict {
    /// It is in use, or may be.
    Keep,
    /// It takes the parts of an open session.
    TakesParts,
    /// Another one is in use. It may be about to replace that one, so it is aborted only when it is found twice.
    Suspect,
    /// It is not in use.
    Dead,
}

/// `has_owner`: whether a file or an open session has the blob, or the cleaner.
fn judge(session: &Session, upload: &StoreUpload, has_owner: bool) -> Verdict {
    let uses_another = session.store_upload_id.as_ref().is_some_and(|used| *used != upload.upload_id);
    match session.status {
        Status::Completed | Status::Uploading if uses_another => Verdict::Suspect,
        Status::Uploading if session.store_upload_id.is_some() => Verdict::TakesParts,
        Status::Completed | Status::Uploading => Verdict::Keep,
        // The cleaner aborts uploads under the keys of its blobs.
        Status::Aborted | Status::Expired if has_owner => Verdict::Keep,
        Status::Aborted | Status::Expired => Verdict::Dead,
    }
}

impl S3Uploads {
    /// Aborts dead uploads, and ends sessions whose parts are larger than allowed.
    pub(super) async fn sweep_uploads(&self) -> Result<(), UploadError> {
        let mut suspects = HashSet::new();
        let listed = match self.store.list_uploads(None).await {
            Err(error) if error.is_not_implemented() => {
                tracing::warn!(
                    error = %crate::error_chain::error_chain(&error),
                    "the store does not implement ListMultipartUploads: parts of uploads that end without a file stay in the bucket; \
                     a rule of the bucket that aborts old uploads removes them"
                );
                return Ok(());
            }
            listed => listed?,
        };
        for uploads in listed.chunks(SWEEP_BATCH) {
            let wanted = uploads.to_vec();
            for (upload, session, verdict) in self.records.db.read(move |tx| judge_all(tx, &wanted)).await? {
                match verdict {
                    Verdict::Keep => {}
                    Verdict::TakesParts => self.end_if_too_large(&session).await,
                    Verdict::Suspect if !self.was_suspect(&upload) => drop(suspects.insert(upload)),
                    Verdict::Suspect | Verdict::Dead => self.abort_upload(&upload).await,
                }
            }
        }
        *self.suspects.lock().unwrap_or_else(PoisonError::into_inner) = suspects;
        Ok(())
    }

    /// Aborts an upload. One that cannot be aborted now is found again by the next sweep.
    async fn abort_upload(&self, upload: &StoreUpload) {
        let StoreUpload { blob_id, upload_id } = upload;
        match self.store.abort_upload(*blob_id, upload_id).await {
            Ok(()) => tracing::info!(%blob_id, "aborted an unused upload of the bucket"),
            Err(error) => {
                tracing::warn!(%blob_id, error = %crate::error_chain::error_chain(&error), "an upload cannot be aborted");
            }
        }
    }

    /// Aborts a session that has a part that is too large. A store that does not check the length that a part's URL names accepts up to
    /// 5 GiB for any part; no client of the API sends that by mistake.
    async fn end_if_too_large(&self, session: &Session) {
        let ended = async {
            let (plan, upload_id) = (plan_of(session)?, session.store_upload_id.as_deref().unwrap_or_default());
            let parts = self.store.list_parts(session.blob_id, upload_id).await?.unwrap_or_default();
            let allowed_bytes = |index| plan.part_len(index).unwrap_or(PROBE_BYTES as u64);
            let Some(part) = parts.iter().find(|part| part.size_bytes > allowed_bytes(part.index)) else {
                return Ok(());
            };
            tracing::warn!(
                session_id = %session.id, part_index = part.index, size_bytes = part.size_bytes,
                "aborted a session: the store took a part that is longer than its URL allows; `partway doctor` says more"
            );
            self.end_session(session.id, Ending::Abort).await?;
            self.garbage_bell.notify_one();
            Ok::<_, UploadError>(())
        };
        if let Err(error) = ended.await {
            tracing::warn!(session_id = %session.id, error = %crate::error_chain::error_chain(&error), "the parts of a session cannot be listed");
        }
    }

    fn was_suspect(&self, upload: &StoreUpload) -> bool {
        self.suspects.lock().unwrap_or_else(PoisonError::into_inner).contains(upload)
    }
}

/// The verdicts on the uploads of which the records know a session.
fn judge_all(tx: &Tx<'_>, uploads: &[StoreUpload]) -> Result<Vec<(StoreUpload, Session, Verdict)>, crate::db::DbError> {
    let mut judged = Vec::new();
    for upload in uploads {
        if let Some(session) = sessions::find_by_blob(tx, upload.blob_id)? {
            let has_owner = blobs::has_owner(tx, upload.blob_id)?;
            let verdict = judge(&session, upload, has_owner);
            judged.push((upload.clone(), session, verdict));
        }
    }
    Ok(judged)
}
