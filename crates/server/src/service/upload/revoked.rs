//! Uploads whose key was revoked.
//!
//! Invariant: from the transaction on that revokes a key, unless it keeps its sessions, no node takes a part for a session that was
//! opened with it: each part asks the database, by two primary keys, before its session is looked for and its body is read. The
//! sessions themselves are ended in the background, one transaction each, so that revoking does not wait for a million sessions.

use futures_util::StreamExt;
use uuid::Uuid;

use super::session::Ending;
use super::{UploadError, Uploads};
use crate::db::sessions;
use crate::db::{DbError, api_keys};
use crate::failpoint;
use crate::model::StorageKind;

/// Sessions listed at a time.
const REVOCATION_BATCH: u32 = 100;
/// Sessions ended at once: their transactions are synced to the disk together.
const MAX_CONCURRENT_ENDINGS: usize = 8;

impl Uploads {
    /// Refuses a part of a session whose key was revoked.
    pub(super) async fn check_key_of(&self, session_id: Uuid) -> Result<(), UploadError> {
        match self.records.db.read(move |tx| api_keys::is_session_ended(tx, session_id)).await? {
            true => Err(UploadError::KeyRevoked),
            false => Ok(()),
        }
    }

    /// Ends one batch of the sessions that revoked keys had opened, in the order of their ids, starting after `after`. Returns the
    /// last id of the batch and the first failure, if any; a failure does not keep the rest from being ended. `None` when no sessions
    /// are left. On a full disk this may use the space that is reserved for statements that free something.
    ///
    /// # Errors
    /// When the sessions cannot be listed.
    pub async fn end_some_revoked(&self, after: Uuid) -> Result<Option<(Uuid, Result<(), UploadError>)>, DbError> {
        let found = self.records.db.read(move |tx| sessions::list_of_revoked_keys(tx, after, REVOCATION_BATCH)).await?;
        let Some((last, _)) = found.last().copied() else { return Ok(None) };
        let ending: Vec<_> = found.into_iter().map(|(id, storage)| self.end_revoked_session(id, storage)).collect();
        let ended: Vec<_> = futures_util::stream::iter(ending).buffer_unordered(MAX_CONCURRENT_ENDINGS).collect().await;
        let ended_sessions = ended.iter().filter(|ended| ended.is_ok()).count();
        tracing::info!(ended_sessions, "ended sessions of revoked keys");
        self.garbage_bell.notify_one();
        failpoint::hit("revoked.after_round");
        Ok(Some((last, ended.into_iter().collect())))
    }

    async fn end_revoked_session(&self, id: Uuid, storage: StorageKind) -> Result<(), UploadError> {
        self.backends.of(storage)?.end(id, Ending::Revoke).await
    }
}
