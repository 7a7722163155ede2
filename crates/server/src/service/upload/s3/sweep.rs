//! Multipart uploads that calls without an answer left at the store.
//!
//! Invariant: only what the records know as dead is given up: an upload under a key that is the blob of a session that has
//! ended without a file, or of one that uses another upload. The upload with which a session was completed is never given
//! up: some stores go on listing it, and giving it up would take the file's bytes along. Uploads that the records do not know
//! belongs to somebody else, or to a session that is forgotten by now; either way it is left alone.

use std::collections::HashSet;
use std::sync::PoisonError;

use super::{S3Uploads, UploadError, plan_of};
use crate::db::sessions::{self, Session, Status};
use crate::db::{Tx, blobs};
use crate::service::upload::session::Ending;
use crate::storage::StoreUpload;

/// Looked up in one go.
const ROUND: usize = 500;

/// The decision about an upload that the store lists.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Verdict {
    /// It is in use, or may be.
    Keep,
    /// It takes the parts of an open session.
    TakesParts,
    /// Another one is in use. It may be about to take that one's place: it has to be found twice.
    Beside,
    /// Nobody uses it.
    Dead,
}

/// `has_owner`: whether a file or an open session has the blob, or the cleaner.
fn judge(session: &Session, upload: &StoreUpload, has_owner: bool) -> Verdict {
    let is_beside = session.store_upload_id.as_ref().is_some_and(|used| *used != upload.upload_id);
    match session.status {
        Status::Completed | Status::Uploading if is_beside => Verdict::Beside,
        Status::Uploading if session.store_upload_id.is_some() => Verdict::TakesParts,
        Status::Completed | Status::Uploading => Verdict::Keep,
        // The cleaner gives up what is under the keys of its blobs.
        Status::Aborted | Status::Expired if has_owner => Verdict::Keep,
        Status::Aborted | Status::Expired => Verdict::Dead,
    }
}

impl S3Uploads {
    /// Gives up what is dead, and ends sessions that take more than they were started for.
    pub(super) async fn sweep_uploads(&self) -> Result<(), UploadError> {
        let mut suspects = HashSet::new();
        for uploads in self.store.list_uploads(None).await?.chunks(ROUND) {
            let wanted = uploads.to_vec();
            for (upload, session, verdict) in self.records.db.read(move |tx| judge_all(tx, &wanted)).await? {
                match verdict {
                    Verdict::Keep => {}
                    Verdict::TakesParts => self.end_if_too_large(&session).await,
                    Verdict::Beside if !self.was_suspect(&upload) => drop(suspects.insert(upload)),
                    Verdict::Beside | Verdict::Dead => self.give_up_upload(&upload).await,
                }
            }
        }
        *self.suspects.lock().unwrap_or_else(PoisonError::into_inner) = suspects;
        Ok(())
    }

    /// An upload that cannot be given up now is found again by the next sweep.
    async fn give_up_upload(&self, upload: &StoreUpload) {
        let StoreUpload { blob_id, upload_id } = upload;
        match self.store.abort_upload(*blob_id, upload_id).await {
            Ok(()) => tracing::info!(%blob_id, "gave up an upload of the bucket that nobody uses"),
            Err(error) => {
                tracing::warn!(%blob_id, error = %crate::error_chain::error_chain(&error), "an upload cannot be given up");
            }
        }
    }

    /// A store that does not check the length that a part's URL names takes up to 5 GiB for any part. No client of the
    /// API sends that by mistake: the session is aborted, and the cleaner takes its bytes away.
    async fn end_if_too_large(&self, session: &Session) {
        let ended = async {
            let (plan, upload_id) = (plan_of(session)?, session.store_upload_id.as_deref().unwrap_or_default());
            let parts = self.store.list_parts(session.blob_id, upload_id).await?.unwrap_or_default();
            let Some(part) = parts.iter().find(|part| part.size_bytes > plan.part_len(part.index).unwrap_or(0)) else {
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
            tracing::warn!(session_id = %session.id, error = %crate::error_chain::error_chain(&error), "the parts of a session cannot be looked at");
        }
    }

    fn was_suspect(&self, upload: &StoreUpload) -> bool {
        self.suspects.lock().unwrap_or_else(PoisonError::into_inner).contains(upload)
    }
}

/// The uploads of which the records know a session.
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
