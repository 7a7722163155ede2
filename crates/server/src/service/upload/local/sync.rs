//! Syncing parts to the disk, and discarding them when that fails.

use std::sync::Arc;
use std::time::Instant;

use uuid::Uuid;

use super::live::LiveSession;
use super::{LocalUploads, UploadError, blocking};
use crate::db::{DbError, Durability, Tx, parts};

impl LocalUploads {
    /// Closes idle sessions, and syncs those first that need it: the kernel reports a failed sync only once, and never after the file was
    /// closed.
    pub(super) fn close_idle_sessions(&self) {
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

    /// Syncs all bytes of the session's parts to the disk. Call with `ending` held.
    ///
    /// After a failed sync the kernel drops the pages that it could not write and reports that once: the next sync would succeed without
    /// the bytes. Therefore all parts are missing again after a failure, and nothing else is done with the session until the database has
    /// recorded that.
    pub(super) async fn sync(&self, live: &LiveSession) -> Result<(), UploadError> {
        live.set_unsynced(false);
        let blob = Arc::clone(&live.blob);
        let began = Instant::now();
        let synced = blocking(move || blob.sync()).await;
        self.records.metrics.synced(began);
        if synced.is_err() {
            live.forget_parts();
            let session_id = live.session.id;
            self.forget_lost(session_id, move |tx| parts::delete_all(tx, session_id)).await;
        }
        synced
    }

    /// Deletes the records of parts whose bytes are lost, and retries until that is done.
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
