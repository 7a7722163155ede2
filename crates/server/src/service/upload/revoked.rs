//! Uploads whose key was revoked.
//!
//! Invariant: from the transaction on that revokes a key, unless it keeps its sessions, no part is taken for a session that was
//! opened with it, by no node: each part asks the database, by two primary keys, before its session is looked for and its body
//! is read. The sessions themselves are ended in the background, one transaction each, so that nobody waits for a million.

use futures_util::StreamExt;
use uuid::Uuid;

use super::{UploadError, Uploads};
use crate::db::sessions::{self, Status};
use crate::db::{DbError, api_keys};
use crate::failpoint;
use crate::model::StorageKind;

/// Sessions listed in one go.
const ROUND: u32 = 100;
/// Sessions ended at once: their transactions are brought to the disk together.
const AT_ONCE: usize = 8;

impl Uploads {
    /// Refuses a part of a session whose key was revoked.
    pub(super) async fn check_key_of(&self, session_id: Uuid) -> Result<(), UploadError> {
        match self.records.db.read(move |tx| api_keys::is_session_ended(tx, session_id)).await? {
            true => Err(UploadError::KeyRevoked),
            false => Ok(()),
        }
    }

    /// Ends some sessions of keys that were revoked with what they had opened, from behind `after` on in the order of their ids.
    /// Says behind which to go on, and why one could not be ended, which does not keep the others. `None` when there are no
    /// more. On a full disk this is done with the room that is kept for what frees.
    ///
    /// # Errors
    /// When the sessions cannot be listed.
    pub async fn end_some_revoked(&self, after: Uuid) -> Result<Option<(Uuid, Result<(), UploadError>)>, DbError> {
        let found = self.records.db.read(move |tx| sessions::list_of_revoked_keys(tx, after, ROUND)).await?;
        let Some((last, _)) = found.last().copied() else { return Ok(None) };
        let ending: Vec<_> = found.into_iter().map(|(id, storage)| self.end_revoked_session(id, storage)).collect();
        let ended: Vec<_> = futures_util::stream::iter(ending).buffer_unordered(AT_ONCE).collect().await;
        let ended_sessions = ended.iter().filter(|ended| ended.is_ok()).count();
        tracing::info!(ended_sessions, "ended sessions of revoked keys");
        self.garbage_bell.notify_one();
        failpoint::hit("revoked.after_round");
        Ok(Some((last, ended.into_iter().collect())))
    }

    async fn end_revoked_session(&self, id: Uuid, storage: StorageKind) -> Result<(), UploadError> {
        match storage {
            StorageKind::Local => self.local()?.end(id, Status::Aborted, |_, _| true).await,
            StorageKind::S3 => {
                let s3 = self.s3()?;
                s3.end(id, Status::Aborted, |_, _| true).await?;
                // The store's own URLs are good until this.
                s3.abort_in_store(id).await
            }
        }
    }
}
