//! Completing a session of local storage: no byte is copied, moved or read again.

use std::sync::Arc;

use uuid::Uuid;

use super::live::LiveSession;
use super::{LocalSession, LocalUploads, PART_RECORDS, UploadError, blocking};
use crate::db::files::File;
use crate::db::sessions::Status;
use crate::db::{DbError, Timestamp};
use crate::failpoint;
use crate::input::FileHash;
use crate::media;
use crate::service::publish::FileDraft;
use crate::service::upload::session::{Occasion, Published, check_hash, completed_file, draft, file_type};

impl LocalUploads {
    /// Completes the session, or answers how another request ended it.
    pub(super) async fn complete_session(&self, session_id: Uuid, hash: Option<FileHash>) -> Result<File, UploadError> {
        let live = match self.find(session_id).await? {
            LocalSession::Live(live) => live,
            LocalSession::Ended(session) => return completed_file(*session, hash.as_ref()),
        };
        let deciding = live.ending.lock().await;
        if live.ended() == Some(Status::Completed) {
            // Another request completed it while this one waited.
            let session = self.records.find(session_id).await?;
            return session.map_or(Err(UploadError::SessionNotFound(session_id.to_string())), |session| {
                completed_file(session, hash.as_ref())
            });
        }
        if live.expires_at() <= Timestamp::now() {
            return Err(UploadError::SessionExpired(session_id));
        }
        let guard = live.begin_ending()?;
        let received = live.hash().map(|hash| format!("blake3:{hash}"));
        check_hash(live.session.declared_hash.as_deref(), received.as_deref())?;
        check_hash(hash.as_ref().map(FileHash::as_str), received.as_deref())?;
        if live.is_of_public_key() {
            self.records.check_place(&live.session).await?;
        }
        failpoint::hit("complete.before_sync");
        self.sync(&live).await?;
        failpoint::hit("complete.after_sync");
        let draft = self.describe(&live, received).await?;
        failpoint::hit("complete.before_commit");
        let file = match self.records.publish(&live.session, Occasion::Complete, draft, PART_RECORDS).await? {
            Published::Now(file) => *file,
            // Neither happens here: only a bucket's session gets another blob (`Changed`), or is published when it expires (`Outdated`).
            Published::Changed | Published::Outdated => return Err(UploadError::Ending(session_id)),
            Published::Ended(session) => {
                // An earlier commit ended the session, and its answer was lost.
                self.registry.remove(session_id);
                return completed_file(*session, hash.as_ref());
            }
        };
        failpoint::hit("complete.after_commit");
        guard.completed();
        self.registry.remove(session_id);
        drop(deciding);
        self.garbage_bell.notify_one();
        Ok(file)
    }

    /// Syncs the blob's directory entry and describes the file to be published. Only the first bytes and the header of an image or a
    /// video are read.
    async fn describe(&self, live: &Arc<LiveSession>, hash: Option<String>) -> Result<FileDraft, UploadError> {
        let (store, live) = (Arc::clone(&self.store), Arc::clone(live));
        let described = blocking(move || {
            let session = &live.session;
            store.sync_name(session.blob_id)?;
            let file_type = file_type(session, &live.blob.head(media::HEAD_BYTES));
            let pictures = media::pictures(&file_type.mime_type, || live.blob.reader(media::MAX_READS).ok());
            Ok(draft(session, file_type, hash, pictures))
        });
        let draft = described.await?;
        if draft.hash.is_none() {
            let problem = format!("those of {} do not make its file", draft.id);
            return Err(DbError::Corrupt { table: "parts", problem }.into());
        }
        Ok(draft)
    }
}
