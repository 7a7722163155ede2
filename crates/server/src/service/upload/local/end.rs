//! Ending a session of local storage, which other requests may be working on.

use uuid::Uuid;

use super::super::end::end_session;
use super::{LocalUploads, UploadError};
use crate::db::sessions::{self, Session, Status};
use crate::db::{Durability, Timestamp};
use crate::failpoint;

impl LocalUploads {
    /// Ends the session as `status`, if it takes parts and `applies`.
    pub(in super::super) async fn end(
        &self,
        id: Uuid,
        status: Status,
        applies: impl Fn(&Session, Timestamp) -> bool + Clone + Send + 'static,
    ) -> Result<(), UploadError> {
        // Not opened for this: that may mean reading all its parts. Whoever is verifying it finds that it has ended.
        let _door = self.registry.lock_lifecycle(id).await;
        let live = self.registry.find_open(id);
        let deciding = match &live {
            Some(live) => Some(live.ending.lock().await),
            None => None,
        };
        failpoint::hit("end.before_commit");
        let events = self.records.events.clone();
        let ended =
            self.records.db.write_to_free(Durability::PowerLoss, move |tx| match sessions::find_locked(tx, id)? {
                Some(session) if applies(&session, tx.now()?) => end_session(tx, &events, &session, status),
                _ => Ok(false),
            });
        let ended = ended.await?;
        failpoint::hit("end.after_commit");
        self.records.events.ring();
        if ended {
            // Verified in the very moment, perhaps.
            if let Some(live) = live.as_ref().or(self.registry.find_open(id).as_ref()) {
                live.end(status);
            }
            self.registry.remove(id);
        }
        drop(deciding);
        Ok(())
    }
}
