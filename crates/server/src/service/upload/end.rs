//! Sessions that end without a file: aborted by their client, or overdue.

use std::collections::HashMap;

use uuid::Uuid;

use super::session::Ending;
use super::tasks::to_its_end;
use super::{UploadError, Uploads};
use crate::db::sessions::{self, Session, Status};
use crate::error_chain::error_chain;
use crate::failpoint;
use crate::model::StorageKind;
use crate::service::key::Identity;
use crate::turn::turn;

/// Overdue sessions listed at a time.
const EXPIRY_BATCH: u32 = 100;
/// Failures in a row because a storage does not answer, after which its other sessions wait for the next run.
const MAX_FAILURES: u32 = 3;

impl Uploads {
    /// Aborts a session: requests that are sending its parts are ended, and its bytes are freed soon. A session that was aborted or
    /// has expired already counts as aborted.
    ///
    /// # Errors
    /// [`UploadError::SessionCompleted`] when its file is there.
    pub async fn abort(&self, identity: &Identity, session_id: &str) -> Result<(), UploadError> {
        let session = self.find(identity, session_id).await?;
        let uploads = self.clone();
        to_its_end(async move { uploads.abort_session(session).await }).await
    }

    async fn abort_session(&self, session: Session) -> Result<(), UploadError> {
        let id = session.id;
        if session.status == Status::Uploading {
            self.backends.of(session.storage)?.end(id, Ending::Abort).await?;
        }
        self.garbage_bell.notify_one();
        match self.records.find(id).await?.map(|session| session.status) {
            Some(Status::Completed) => Err(UploadError::SessionCompleted(id)),
            _ => Ok(()),
        }
    }

    /// Ends all overdue sessions; their blobs become garbage. One that cannot be ended is logged and does not delay the others;
    /// while a storage is away, its sessions wait for the next run.
    ///
    /// # Errors
    /// When the overdue sessions cannot be listed.
    pub async fn expire_overdue(&self) -> Result<(), UploadError> {
        let mut last = Uuid::nil();
        let mut failures = HashMap::<StorageKind, u32>::new();
        loop {
            let overdue = self.records.db.read(move |tx| sessions::list_overdue(tx, last, EXPIRY_BATCH)).await?;
            let Some((next, _)) = overdue.last().copied() else { return Ok(()) };
            last = next;
            for (id, storage) in overdue {
                let failures = failures.entry(storage).or_default();
                if *failures == MAX_FAILURES {
                    continue;
                }
                match turn("job.expire", self.expire(id, storage)).await {
                    Some(Err(error)) => {
                        tracing::error!(session_id = %id, error = %error_chain(&error), "a session cannot be ended");
                        *failures += u32::from(matches!(&error, UploadError::Storage(error) if error.is_transient()));
                    }
                    Some(Ok(())) => *failures = 0,
                    None => {}
                }
                failpoint::hit("cleaner.after_expire");
            }
        }
    }

    async fn expire(&self, id: Uuid, storage: StorageKind) -> Result<(), UploadError> {
        self.backends.of(storage)?.end(id, Ending::Expire).await
    }
}
