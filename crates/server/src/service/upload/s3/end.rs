//! Ending a session whose parts the store has: its row is ended here, and the cleaner aborts the store's upload.

use uuid::Uuid;

use super::claim::{Claimed, Patience};
use super::{PART_RECORDS, S3Uploads, UploadError};
use crate::db::sessions::{self, Status};
use crate::db::{Durability, Timestamp};
use crate::failpoint;
use crate::service::upload::session::{self, Ending};

impl S3Uploads {
    /// Ends the session, if it takes parts and `ending` applies to it.
    ///
    /// # Errors
    /// [`UploadError::Ending`] when it is being completed for longer than a request waits.
    pub(super) async fn end_session(&self, id: Uuid, ending: Ending) -> Result<(), UploadError> {
        let patience = if ending == Ending::Expire { Patience::None } else { Patience::Request };
        let (session, guard) = match self.claim(id, patience).await {
            Ok(Claimed::Taken(session, guard)) => (session, guard),
            Ok(Claimed::Ended(_)) | Err(UploadError::SessionNotFound(_)) => return Ok(()),
            // The request that completes it decides; the next run looks again.
            Err(UploadError::Ending(_)) if patience == Patience::None => return Ok(()),
            Err(error) => return Err(error),
        };
        if ending == Ending::Expire && ending.applies(&session, Timestamp::now()) {
            // Completing was cut off between the store and the record: no client knows of the file, but its object is complete.
            match self.publish_left_object(&session).await {
                Ok(false) => {}
                published => {
                    guard.release().await;
                    return published.map(drop);
                }
            }
        }
        failpoint::hit("end.before_commit");
        let events = self.records.events.clone();
        let ended =
            self.records.db.write_to_free(Durability::PowerLoss, move |tx| match sessions::find_locked(tx, id)? {
                Some(session) if ending.applies(&session, tx.now()?) => {
                    session::end_session(tx, &events, &session, ending, PART_RECORDS)
                }
                _ => Ok(false),
            });
        let ended = ended.await.map(drop);
        failpoint::hit("end.after_commit");
        self.records.events.ring();
        guard.release().await;
        Ok(ended?)
    }

    /// Aborts the store's upload of a session that has ended without a file, without waiting for the cleaner.
    pub(super) async fn abort_in_store(&self, id: Uuid) -> Result<(), UploadError> {
        let Some(session) = self.records.find(id).await? else { return Ok(()) };
        let is_dead = matches!(session.status, Status::Aborted | Status::Expired);
        if let Some(upload_id) = session.store_upload_id.filter(|_| is_dead)
            && let Err(error) = self.store.abort_upload(session.blob_id, &upload_id).await
        {
            // The cleaner tries again until it is done.
            tracing::warn!(session_id = %id, error = %crate::error_chain::error_chain(&error), "the store does not abort an upload of a revoked key; the cleaner tries again");
        }
        Ok(())
    }
}
