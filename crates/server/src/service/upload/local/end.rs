//! Ending a session of local storage, which other requests may be working on.

use uuid::Uuid;

use super::{LocalUploads, PART_RECORDS, UploadError};
use crate::db::Durability;
use crate::db::sessions;
use crate::failpoint;
use crate::service::upload::session::{self, Ending};

impl LocalUploads {
    /// Ends the session, if it takes parts and `ending` applies to it.
    pub(super) async fn end_session(&self, id: Uuid, ending: Ending) -> Result<(), UploadError> {
        // The session is not opened: that may mean reading all its parts. A task that is verifying the session notices the end by itself.
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
                Some(session) if ending.applies(&session, tx.now()?) => {
                    session::end_session(tx, &events, &session, ending, PART_RECORDS)
                }
                _ => Ok(false),
            });
        let ended = ended.await?;
        failpoint::hit("end.after_commit");
        self.records.events.ring();
        if ended {
            // It may have been opened in this very moment.
            if let Some(live) = live.as_ref().or(self.registry.find_open(id).as_ref()) {
                live.end(ending.status());
            }
            self.registry.remove(id);
        }
        drop(deciding);
        Ok(())
    }
}
