//! Sessions whose time ran out, and sessions that rest.

use uuid::Uuid;

use super::{UploadError, Uploads};
use crate::db::sessions::{self, Session, Status};
use crate::db::{DbError, Durability, Timestamp, Tx, garbage, parts};

/// Sessions ended in one round.
const ROUND: u32 = 100;

impl Uploads {
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
                if let Err(error) = self.expire(id).await {
                    tracing::error!(session_id = %id, error = %crate::error::chain(&error), "a session cannot be ended");
                }
            }
        }
    }

    async fn expire(&self, id: Uuid) -> Result<(), UploadError> {
        // Not opened for this: that may mean reading all its parts. Whoever opens it now finds that it has ended, at
        // the latest in the database.
        let live = self.registry.find_open(id);
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
