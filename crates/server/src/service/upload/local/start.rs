//! The blob of a new session: made after its row, and taken back with it.

use std::sync::Arc;

use uuid::Uuid;

use super::super::start::{NewSession, NotStarted};
use super::live::LiveSession;
use super::{LocalUploads, blocking};
use crate::db::{Durability, Tx, sessions};
use crate::failpoint;

impl LocalUploads {
    /// The row, then the blob.
    pub(in super::super) async fn start(
        &self,
        new: NewSession,
        public_key_id: &mut Option<Uuid>,
    ) -> Result<(), NotStarted> {
        let id = new.session.id;
        self.registry.start(id, self.make(new, public_key_id)).await
    }

    async fn make(&self, new: NewSession, public_key_id: &mut Option<Uuid>) -> Result<LiveSession, NotStarted> {
        new.store(&self.records.db, public_key_id).await?;
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
                    new.free_name(tx)?;
                    sessions::delete(tx, &new.session)
                };
                self.records.db.write_to_free(Durability::Process, take_back).await?;
                Err(NotStarted::Failed(error))
            }
        }
    }
}
