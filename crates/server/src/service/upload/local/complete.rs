//! Completing a session of local storage: no byte is copied, moved or read again.

use std::sync::Arc;

use super::super::complete::{Occasion, Published, check_hash, completed_file, draft, file_type};
use super::live::LiveSession;
use super::{LocalUploads, UploadError, blocking};
use crate::db::files::File;
use crate::db::sessions::Status;
use crate::db::{DbError, Timestamp};
use crate::failpoint;
use crate::input::FileHash;
use crate::media;
use crate::service::publish::FileDraft;

impl LocalUploads {
    /// Completes the session, or tells what another request made of it.
    pub(in super::super) async fn complete(
        &self,
        live: Arc<LiveSession>,
        hash: Option<FileHash>,
    ) -> Result<File, UploadError> {
        let session_id = live.session.id;
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
        let file = match self.records.publish(&live.session, Occasion::Complete, draft).await? {
            Published::Now(file) => *file,
            Published::Refused(refused) => return Err(refused),
            // Sessions of local storage never begin anew, and are not published when they expire.
            Published::Changed | Published::Outdated => return Err(UploadError::Ending(session_id)),
            Published::Ended(session) => {
                // Its end was not told to this process: the answer of the commit was lost.
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

    /// Brings the blob's name onto the disk, and says what is to be published. But for how the file begins, and the
    /// header of an image or a video, no byte is read.
    async fn describe(&self, live: &Arc<LiveSession>, hash: Option<String>) -> Result<FileDraft, UploadError> {
        let (store, live) = (Arc::clone(&self.store), Arc::clone(live));
        let described = blocking(move || {
            let session = &live.session;
            store.sync_name(session.blob_id)?;
            let file_type = file_type(session, &live.blob.head(media::HEAD_BYTES));
            let dimensions = media::dimensions(&file_type.mime_type, || live.blob.reader(media::MAX_READS).ok());
            Ok(draft(session, file_type, hash, dimensions))
        });
        let draft = described.await?;
        if draft.hash.is_none() {
            let problem = format!("those of {} do not make its file", draft.id);
            return Err(DbError::Corrupt { table: "parts", problem }.into());
        }
        Ok(draft)
    }
}
