//! Sessions that end without a file: given up by their client, or overdue.

use uuid::Uuid;

use super::{UploadError, Uploads, to_its_end};
use crate::db::sessions::{self, Session, Status};
use crate::db::{DbError, Durability, Timestamp, Tx, garbage, parts};
use crate::failpoint;
use crate::service::key::Identity;

/// Sessions ended in one round.
const ROUND: u32 = 100;

impl Uploads {
    /// Gives a session up: requests that are sending its parts are ended, and its bytes are freed soon. A session that
    /// was aborted or has expired already counts as given up.
    ///
    /// # Errors
    /// [`UploadError::SessionCompleted`] when its file is there.
    pub async fn abort(&self, identity: &Identity, session_id: &str) -> Result<(), UploadError> {
        let session = self.stored_session(identity, session_id).await?;
        let uploads = self.clone();
        to_its_end(async move { uploads.abort_session(session).await }).await
    }

    async fn abort_session(&self, session: Session) -> Result<(), UploadError> {
        let id = session.id;
        self.end(id, Status::Aborted, |_| true).await?;
        self.garbage_bell.notify_one();
        let ended = self.db.read(move |tx| sessions::find(tx, id)).await?;
        match ended.map(|session| session.status) {
            Some(Status::Completed) => Err(UploadError::SessionCompleted(id)),
            _ => Ok(()),
        }
    }

    /// Ends all sessions that are overdue; their blobs become garbage. One that cannot be ended is logged and does not
    /// keep the others.
    ///
    /// # Errors
    /// When the overdue sessions cannot be listed.
    pub async fn expire_overdue(&self) -> Result<(), UploadError> {
        let mut last = Uuid::nil();
        loop {
            let overdue = self.db.read(move |tx| sessions::list_overdue(tx, Timestamp::now(), last, ROUND)).await?;
            let Some(next) = overdue.last().copied() else { return Ok(()) };
            last = next;
            for id in overdue {
                let is_overdue = |session: &Session| session.expires_at <= Timestamp::now();
                if let Err(error) = self.end(id, Status::Expired, is_overdue).await {
                    tracing::error!(session_id = %id, error = %crate::error::chain(&error), "a session cannot be ended");
                }
                failpoint::pass("cleaner.after_expire");
            }
        }
    }

    /// Ends the session as `status`, if it takes parts and `applies`. True when it did.
    async fn end(
        &self,
        id: Uuid,
        status: Status,
        applies: impl Fn(&Session) -> bool + Clone + Send + 'static,
    ) -> Result<bool, UploadError> {
        // Not opened for this: that may mean reading all its parts. Whoever is verifying it finds that it has ended.
        let _door = self.registry.shut_door(id).await;
        let live = self.registry.find_open(id);
        let deciding = match &live {
            Some(live) => Some(live.ending.lock().await),
            None => None,
        };
        failpoint::pass("end.before_commit");
        let ended = self.write_to_free(Durability::PowerLoss, move |tx| match sessions::find(tx, id)? {
            Some(session) if applies(&session) => end_session(tx, &session, status),
            _ => Ok(false),
        });
        let ended = ended.await?;
        failpoint::pass("end.after_commit");
        if ended {
            // Verified in the very moment, perhaps.
            if let Some(live) = live.as_ref().or(self.registry.find_open(id).as_ref()) {
                live.end(status);
            }
            self.registry.remove(id);
        }
        drop(deciding);
        Ok(ended)
    }
}

fn end_session(tx: &Tx<'_>, session: &Session, status: Status) -> Result<bool, DbError> {
    if !sessions::end(tx, session, status)? {
        return Ok(false);
    }
    let reason = match status {
        Status::Aborted => garbage::Reason::Aborted,
        Status::Uploading | Status::Completed | Status::Expired => garbage::Reason::Expired,
    };
    parts::forget_later(tx, session.id)?;
    garbage::insert(tx, Some(session.workspace_id), session.blob_id, reason, session.size_bytes)?;
    Ok(true)
}
