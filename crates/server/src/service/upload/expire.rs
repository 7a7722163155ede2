//! Sessions whose time ran out, and sessions that rest.

use uuid::Uuid;

use super::registry::Found;
use super::{UploadError, Uploads};
use crate::db::sessions::{self, Session, Status};
use crate::db::{DbError, Durability, Timestamp, Tx, garbage, parts};

/// Sessions ended in one round.
const ROUND: u32 = 100;

impl Uploads {
    /// Ends sessions that are overdue; their blobs become garbage. Returns how many were ended: as long as it is
    /// not none, there may be more.
    ///
    /// # Errors
    /// When the database or the storage fails; what was ended stays ended.
    pub async fn expire_overdue(&self) -> Result<usize, UploadError> {
        let overdue = self.db.read(|tx| sessions::list_overdue(tx, Timestamp::now(), ROUND)).await?;
        let ended = overdue.len();
        for id in overdue {
            self.expire(id).await?;
        }
        Ok(ended)
    }

    async fn expire(&self, id: Uuid) -> Result<(), UploadError> {
        // A session whose blob cannot be opened has nobody writing to it either.
        let live = match self.registry.find(id).await {
            Ok(Some(Found::Live(live))) => Some(live),
            Ok(Some(Found::Ended(_)) | None) => return Ok(()),
            Err(_) => None,
        };
        let deciding = match &live {
            Some(live) => Some(live.ending.lock().await),
            None => None,
        };
        let ended = self.db.write(Durability::Process, move |tx| match sessions::find(tx, id)? {
            Some(session) => end_session(tx, &session, Status::Expired, garbage::Reason::Expired),
            None => Ok(false),
        });
        if ended.await?
            && let Some(live) = &live
        {
            live.end(Status::Expired);
        }
        self.registry.remove(id);
        drop(deciding);
        Ok(())
    }

    /// Closes sessions that nobody has used for a while.
    pub fn close_idle(&self) {
        self.registry.close_idle();
    }
}

fn end_session(tx: &Tx<'_>, session: &Session, status: Status, reason: garbage::Reason) -> Result<bool, DbError> {
    if !sessions::end(tx, session.id, status)? {
        return Ok(false);
    }
    parts::forget_later(tx, session.id)?;
    garbage::insert(tx, session.blob_id, reason, session.size_bytes)?;
    Ok(true)
}
