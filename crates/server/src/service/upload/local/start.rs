//! The blob of a new session: made after its row, and taken back with it.

use std::sync::Arc;

use uuid::Uuid;

use super::live::LiveSession;
use super::{LocalUploads, UploadError, blocking};
use crate::db::{Durability, Tx, sessions};
use crate::failpoint;
use crate::service::upload::session::{NewSession, SessionStart, StoredStart};

/// Why no session was made.
enum NotMade {
    /// An earlier request with the same `Idempotency-Key` made this one.
    Repeated(Box<SessionStart>),
    /// It could not be made.
    Failed(UploadError),
}

impl<E: Into<UploadError>> From<E> for NotMade {
    fn from(error: E) -> Self {
        Self::Failed(error.into())
    }
}

impl LocalUploads {
    /// Stores the row, then makes the blob.
    pub(super) async fn start_session(&self, new: NewSession) -> Result<SessionStart, UploadError> {
        let session = new.session.clone();
        let mut public_key_id = None;
        match self.registry.start(session.id, self.make(new, &mut public_key_id)).await {
            Ok(()) => Ok(SessionStart { session, public_key_id, is_repeated: false }),
            Err(NotMade::Repeated(first)) => Ok(*first),
            Err(NotMade::Failed(error)) => Err(error),
        }
    }

    async fn make(&self, new: NewSession, public_key_id: &mut Option<Uuid>) -> Result<LiveSession, NotMade> {
        match new.store(&self.records.db).await? {
            StoredStart::New(id) => *public_key_id = id,
            StoredStart::Repeated(first) => return Err(NotMade::Repeated(first)),
        }
        failpoint::hit("start.after_row");
        let store = Arc::clone(&self.store);
        let (blob_id, size_bytes) = (new.session.blob_id, new.session.size_bytes);
        let (blob_is_late, plan) = (new.public.is_some(), new.plan);
        let made = blocking(move || match blob_is_late {
            true => store.create_empty(blob_id),
            false => store.create(blob_id, size_bytes),
        });
        match made.await {
            Ok(blob) => {
                failpoint::hit("start.after_reserve");
                Ok(LiveSession::fresh(new.session, plan, blob, blob_is_late))
            }
            Err(error) => {
                let take_back = move |tx: &Tx<'_>| {
                    new.free_idempotency_key(tx)?;
                    sessions::delete(tx, &new.session)
                };
                self.records.db.write_to_free(Durability::Process, take_back).await?;
                Err(NotMade::Failed(error))
            }
        }
    }
}
