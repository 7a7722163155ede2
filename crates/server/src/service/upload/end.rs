//! Sessions that end without a file: given up by their client, or overdue.

use uuid::Uuid;

use super::{UploadError, Uploads, to_its_end};
use crate::db::sessions::{self, Session, Status};
use crate::db::{DbError, Timestamp, Tx, garbage, parts};
use crate::failpoint;
use crate::model::StorageKind;
use crate::service::event::Events;
use crate::service::key::Identity;
use crate::turn::turn;

/// Sessions ended in one round.
const ROUND: u32 = 100;
/// Sessions in a row that cannot be ended because a store does not answer, after which it is away for the others, too.
const MAX_FAILURES: u32 = 3;

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
        if session.status == Status::Uploading {
            match session.storage {
                StorageKind::Local => self.local()?.end(id, Status::Aborted, |_, _| true).await?,
                StorageKind::S3 => self.s3()?.end(id, Status::Aborted, |_, _| true).await?,
            }
        }
        self.garbage_bell.notify_one();
        match self.records.find(id).await?.map(|session| session.status) {
            Some(Status::Completed) => Err(UploadError::SessionCompleted(id)),
            _ => Ok(()),
        }
    }

    /// Ends all sessions that are overdue; their blobs become garbage. One that cannot be ended is logged and does not
    /// keep the others; while a store is away, those of it wait for the next time.
    ///
    /// # Errors
    /// When the overdue sessions cannot be listed.
    pub async fn expire_overdue(&self) -> Result<(), UploadError> {
        let (mut last, mut failures) = (Uuid::nil(), 0);
        loop {
            let overdue = self.records.db.read(move |tx| sessions::list_overdue(tx, last, ROUND)).await?;
            let Some((next, _)) = overdue.last().copied() else { return Ok(()) };
            last = next;
            for (id, storage) in overdue {
                if storage == StorageKind::S3 && failures == MAX_FAILURES {
                    continue;
                }
                match turn("job.expire", self.expire(id, storage)).await {
                    Some(Err(error)) => {
                        tracing::error!(session_id = %id, error = %crate::error_chain::error_chain(&error), "a session cannot be ended");
                        failures += u32::from(matches!(&error, UploadError::Storage(error) if error.is_transient()));
                    }
                    Some(Ok(())) if storage == StorageKind::S3 => failures = 0,
                    Some(Ok(())) | None => {}
                }
                failpoint::hit("cleaner.after_expire");
            }
        }
    }

    async fn expire(&self, id: Uuid, storage: StorageKind) -> Result<(), UploadError> {
        let is_overdue = |session: &Session, now: Timestamp| session.expires_at <= now;
        match storage {
            StorageKind::Local => self.local()?.end(id, Status::Expired, is_overdue).await,
            StorageKind::S3 => self.s3()?.end(id, Status::Expired, is_overdue).await,
        }
    }
}

/// Ends the session without a file; its blob is garbage from then on. False when it was not uploading.
pub(super) fn end_session(tx: &Tx<'_>, events: &Events, session: &Session, status: Status) -> Result<bool, DbError> {
    if !sessions::end(tx, session, status)? {
        return Ok(false);
    }
    let reason = match status {
        Status::Aborted => garbage::Reason::Aborted,
        Status::Uploading | Status::Completed | Status::Expired => garbage::Reason::Expired,
    };
    if session.storage == StorageKind::Local {
        parts::forget_later(tx, session.id)?;
    }
    let dead = garbage::NewGarbage {
        blob: session.blob(),
        workspace_id: Some(session.workspace_id),
        reason,
        size_bytes: session.size_bytes,
        // Nobody reads what never was a file.
        keep_seconds: 0,
    };
    garbage::insert(tx, &dead)?;
    if status == Status::Expired {
        events.upload_expired(tx, session)?;
    }
    Ok(true)
}
