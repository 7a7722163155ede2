//! A bucket as [`PartsBackend`]: each method is in the file of its name. Parts go to the store and never to this server.

use uuid::Uuid;

use super::S3Uploads;
use crate::db::Timestamp;
use crate::db::files::File;
use crate::db::sessions::Session;
use crate::media::Pictures;
use crate::service::upload::backend::{Answer, FileBody, IncomingFile, PartsBackend};
use crate::service::upload::session::{Ending, ExpectedHashes, NewSession, Resigned, SessionStart, SessionState};
use crate::storage::{MAX_STREAM_BYTES, UnclaimedBytes};

impl PartsBackend for S3Uploads {
    fn start(&self, new: NewSession) -> Answer<'_, SessionStart> {
        Box::pin(self.start_session(new))
    }

    fn ensure_blob(&self, session: Session) -> Answer<'_, Session> {
        Box::pin(self.with_upload(session))
    }

    fn part_urls(&self, session: Session, parts: Vec<u32>, expires_at: Timestamp) -> Answer<'_, Option<Vec<String>>> {
        Box::pin(async move { self.sign_parts(&session, parts, expires_at).await.map(Some) })
    }

    fn state(&self, session: Session) -> Answer<'_, SessionState> {
        Box::pin(self.session_state(session))
    }

    fn resign(&self, session: Session, wanted: Option<Vec<u32>>, ttl_seconds: u64) -> Answer<'_, Resigned> {
        Box::pin(self.resign_session(session, wanted, ttl_seconds))
    }

    fn complete(&self, session: Session, expected: ExpectedHashes) -> Answer<'_, File> {
        Box::pin(self.complete_session(session.id, expected))
    }

    fn end(&self, id: Uuid, ending: Ending) -> Answer<'_, ()> {
        Box::pin(async move {
            self.end_session(id, ending).await?;
            match ending {
                Ending::Abort | Ending::Expire => Ok(()),
                // URLs that the store's signature keeps good work until this.
                Ending::Revoke => self.abort_in_store(id).await,
            }
        })
    }

    fn receive_file<'a>(&'a self, file: IncomingFile<'a>, body: FileBody<'a>) -> Answer<'a, Option<UnclaimedBytes>> {
        Box::pin(async move { self.write_file(file, body).await.map(|()| None) })
    }

    fn confirm_file(&self, blob_id: Uuid, size_bytes: u64) -> Answer<'_, Option<String>> {
        Box::pin(self.confirm_object(blob_id, size_bytes))
    }

    fn pictures<'a>(&'a self, blob_id: Uuid, size_bytes: u64, mime_type: &'a str) -> Answer<'a, Pictures> {
        Box::pin(async move { Ok(self.read_pictures(blob_id, size_bytes, mime_type).await) })
    }

    fn max_file_bytes(&self) -> Option<u64> {
        Some(MAX_STREAM_BYTES)
    }

    fn keeps_hashes(&self) -> Answer<'_, bool> {
        Box::pin(self.keeps_checksums())
    }

    fn sweep(&self) -> Answer<'_, ()> {
        Box::pin(self.sweep_uploads())
    }
}
