//! Ending a session whose parts the store has: the row says so, the cleaner tells the store.

use uuid::Uuid;

use super::super::end::end_session;
use super::claim::{Claimed, Patience};
use super::{S3Uploads, UploadError};
use crate::db::sessions::{self, Session, Status};
use crate::db::{Durability, Timestamp};
use crate::failpoint;

impl S3Uploads {
    /// Ends the session as `status`, if it takes parts and `applies`. One that is being completed for longer than a
    /// request waits is [`UploadError::Ending`].
    pub(in super::super) async fn end(
        &self,
        id: Uuid,
        status: Status,
        applies: impl Fn(&Session, Timestamp) -> bool + Clone + Send + 'static,
    ) -> Result<(), UploadError> {
        let patience = if status == Status::Expired { Patience::None } else { Patience::Request };
        let (session, guard) = match self.claim(id, patience).await {
            Ok(Claimed::Taken(session, guard)) => (session, guard),
            Ok(Claimed::Ended(_)) => return Ok(()),
            // Whoever completes it decides; the next round looks again.
            Err(UploadError::Ending(_)) if patience == Patience::None => return Ok(()),
            Err(error) => return Err(error),
        };
        if status == Status::Expired && applies(&session, Timestamp::now()) {
            // Completing was cut off between the store and the record: nobody heard that the file is there, but it is whole.
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
                Some(session) if applies(&session, tx.now()?) => end_session(tx, &events, &session, status),
                _ => Ok(false),
            });
        let ended = ended.await.map(drop);
        failpoint::hit("end.after_commit");
        self.records.events.ring();
        guard.release().await;
        Ok(ended?)
    }

    /// Has the store give up the parts of a session that has ended without a file, without waiting for the cleaner.
    pub(in super::super) async fn abort_in_store(&self, id: Uuid) -> Result<(), UploadError> {
        let Some(session) = self.records.find(id).await? else { return Ok(()) };
        let is_dead = matches!(session.status, Status::Aborted | Status::Expired);
        if let Some(upload_id) = session.store_upload_id.filter(|_| is_dead)
            && let Err(error) = self.store.abort_upload(session.blob_id, &upload_id).await
        {
            // The cleaner tries again until it is done.
            tracing::warn!(session_id = %id, error = %crate::error_chain::error_chain(&error), "the store does not give up an upload of a revoked key; the cleaner will have it do so");
        }
        Ok(())
    }
}
