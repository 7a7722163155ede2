//! The store's multipart upload of a new session: opened after the row, and named in it.

use super::{PART_RECORDS, S3Uploads, UploadError};
use crate::db::sessions::{self, Session, Status};
use crate::db::{Durability, Tx};
use crate::failpoint;
use crate::service::upload::session::{
    Ending, NewSession, SessionStart, StoredStart, end_session, likely_content_type,
};
use crate::storage::BlobHeaders;

impl S3Uploads {
    /// Stores the row, then opens the upload.
    pub(super) async fn start_session(&self, new: NewSession) -> Result<SessionStart, UploadError> {
        let public_key_id = match new.store(&self.records.db).await? {
            StoredStart::New(id) => id,
            StoredStart::Repeated(first) => return Ok(*first),
        };
        failpoint::hit("start.after_row");
        match self.with_upload(new.session.clone()).await {
            Ok(session) => Ok(SessionStart { session, public_key_id, is_repeated: false }),
            Err(error) => {
                // The row stays as that of an aborted session: the store may have opened an upload all the same, and the row shows
                // that it is dead.
                let events = self.records.events.clone();
                let take_back = move |tx: &Tx<'_>| match sessions::find_locked(tx, new.session.id)? {
                    // Another node may have answered the same request meanwhile.
                    Some(session) if session.store_upload_id.is_none() => {
                        new.free_idempotency_key(tx)?;
                        end_session(tx, &events, &session, Ending::Abort, PART_RECORDS)
                    }
                    _ => Ok(false),
                };
                if let Err(error) = self.records.db.write_to_free(Durability::Process, take_back).await {
                    tracing::warn!(error = %crate::error_chain::error_chain(&error), "a session that could not be started stays until it expires");
                }
                self.garbage_bell.notify_one();
                Err(error)
            }
        }
    }

    /// The session, with an upload at the store. Two nodes may open one at once: the first that is noted counts.
    pub(super) async fn with_upload(&self, session: Session) -> Result<Session, UploadError> {
        if session.store_upload_id.is_some() { Ok(session) } else { self.replace_upload(session).await }
    }

    /// Opens an upload in place of the one that the session names, which does not exist any more.
    ///
    /// If the store's answer is lost or cannot be read, it may have opened an upload whose id nobody knows. The cleaner aborts it when
    /// the blob is garbage: soon after a start that failed, and otherwise when the session ends without a file. While the session is
    /// open, and after it is completed, the sweep aborts it, because the session uses another upload.
    pub(super) async fn replace_upload(&self, session: Session) -> Result<Session, UploadError> {
        let (id, blob_id, before) = (session.id, session.blob_id, session.store_upload_id.clone());
        let headers = BlobHeaders::of_file(&session.file_name, &likely_content_type(&session));
        let upload_id = self.store.create_upload(blob_id, &headers).await?;
        failpoint::hit("start.after_reserve");
        let noted_id = upload_id.clone();
        let noted = self.records.db.write(Durability::PowerLoss, move |tx| {
            let is_noted = sessions::set_store_upload(tx, id, blob_id, before.as_deref(), &noted_id)?;
            Ok((is_noted, sessions::find(tx, id)?))
        });
        let (is_noted, now) = noted.await?;
        failpoint::hit("start.after_upload");
        let now = now.ok_or_else(|| UploadError::SessionNotFound(id.to_string()))?;
        if !is_noted {
            // Another node was faster, or the session has ended. If this fails, the sweep finds the upload.
            let _ = self.store.abort_upload(blob_id, &upload_id).await;
        }
        if now.status != Status::Uploading {
            return Err(UploadError::ended(id, now.status));
        }
        Ok(now)
    }
}
