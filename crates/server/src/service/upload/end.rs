//! Sessions that end without a file: given up by their client, or overdue. And sessions that rest.

use std::sync::Arc;

use uuid::Uuid;

use super::live::LiveSession;
use super::{UploadError, Uploads, authorize, blocking, to_its_end};
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

    /// A write that frees something. On a full disk it gets the room that is kept for that.
    pub(super) async fn write_to_free<T: Send + 'static>(
        &self,
        durability: Durability,
        query: impl Fn(&Tx<'_>) -> Result<T, DbError> + Clone + Send + 'static,
    ) -> Result<T, DbError> {
        match self.db.write(durability, query.clone()).await {
            Err(DbError::Full(error)) if self.give_up_reserve().await => {
                tracing::warn!(%error, "the disk is full; used the room kept for the database");
                self.db.write(durability, query).await
            }
            outcome => outcome,
        }
    }

    async fn give_up_reserve(&self) -> bool {
        let reserve = Arc::clone(&self.reserve);
        let given_up = tokio::task::spawn_blocking(move || reserve.give_up()).await;
        given_up.is_ok_and(|given_up| given_up.unwrap_or(false))
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

    /// Closes sessions that nobody has used for a while, and has those synced first that need it: a sync that fails is
    /// told to the first who asks only, and to nobody once the file is closed.
    pub fn close_idle(&self) {
        for live in self.registry.idle_unsynced() {
            let uploads = self.clone();
            tokio::spawn(async move {
                let _permit = uploads.idle_syncs.acquire().await;
                if let Err(error) = uploads.sync_idle(&live).await {
                    tracing::error!(session_id = %live.session.id, error = %crate::error::chain(&error), "an idle session cannot be synced");
                }
            });
        }
        self.registry.close_idle();
    }

    async fn sync_idle(&self, live: &LiveSession) -> Result<(), UploadError> {
        let _deciding = live.ending.lock().await;
        match live.hold_parts() {
            Some(_guard) => self.sync(live).await,
            None => Ok(()),
        }
    }

    /// Brings all bytes of the session's parts onto the disk. Call with `ending` held.
    ///
    /// After a failed sync the kernel drops what it could not write and tells it once: the next sync would succeed
    /// without the bytes. So none of the parts is trusted any more; they have to be sent again. Nothing else is done
    /// with the session until the database has heard of it, too.
    pub(super) async fn sync(&self, live: &LiveSession) -> Result<(), UploadError> {
        live.set_unsynced(false);
        let blob = Arc::clone(&live.blob);
        let synced = blocking(move || blob.sync()).await;
        if synced.is_err() {
            live.forget_parts();
            let session_id = live.session.id;
            self.forget_lost(session_id, move |tx| parts::delete_all(tx, session_id)).await;
        }
        synced
    }

    /// Takes records of parts back whose bytes are lost, and does not give up before that is done.
    pub(super) async fn forget_lost(
        &self,
        session_id: Uuid,
        query: impl Fn(&Tx<'_>) -> Result<(), DbError> + Clone + Send + 'static,
    ) {
        while let Err(error) = self.write_to_free(Durability::Process, query.clone()).await {
            tracing::error!(%session_id, error = %crate::error::chain(&error), "parts that were lost are still recorded");
            tokio::time::sleep(super::RETRY_PAUSE).await;
        }
    }

    /// The session as it is stored, if the caller may see it.
    pub(super) async fn stored_session(&self, identity: &Identity, session_id: &str) -> Result<Session, UploadError> {
        let not_found = || UploadError::SessionNotFound(session_id.to_owned());
        let id = Uuid::try_parse(session_id).map_err(|_| not_found())?;
        let session = self.db.read(move |tx| sessions::find(tx, id)).await?.ok_or_else(not_found)?;
        authorize(&session, identity)?;
        Ok(session)
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
