//! Bringing parts onto the disk, and what becomes of them when that fails.

use std::sync::Arc;

use uuid::Uuid;

use super::live::LiveSession;
use super::{LocalUploads, UploadError, blocking};
use crate::db::{DbError, Durability, Tx, parts};

impl LocalUploads {
    /// Closes sessions that nobody has used for a while, and has those synced first that need it: a sync that fails is
    /// told to the first who asks only, and to nobody once the file is closed.
    pub(in super::super) fn close_idle(&self) {
        for live in self.registry.idle_unsynced() {
            let uploads = self.clone();
            tokio::spawn(async move {
                let _permit = uploads.idle_syncs.acquire().await;
                if let Err(error) = uploads.sync_idle(&live).await {
                    tracing::error!(session_id = %live.session.id, error = %crate::error_chain::error_chain(&error), "an idle session cannot be synced");
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
        while let Err(error) = self.records.db.write_to_free(Durability::Process, query.clone()).await {
            tracing::error!(%session_id, error = %crate::error_chain::error_chain(&error), "parts that were lost are still recorded");
            tokio::time::sleep(super::RETRY_PAUSE).await;
        }
    }
}
