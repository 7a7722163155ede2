//! Local storage as a [`PartsBackend`]: each method is in the file of its name.

use std::sync::Arc;

use futures_util::future::ready;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::{LocalSession, LocalUploads, UploadError, blocking};
use crate::db::Timestamp;
use crate::db::sessions::Session;
use crate::media::Pictures;
use crate::service::upload::backend::{Answer, Arrival, FileBody, IncomingFile, PartBody, PartReceiver, PartsBackend};
use crate::service::upload::session::{Ending, ExpectedHashes, NewSession, Resigned, SessionStart, SessionState};
use crate::storage::{DiskState, PartDigests, UnclaimedBytes};

impl PartsBackend for LocalUploads {
    fn start(&self, new: NewSession) -> Answer<'_, SessionStart> {
        Box::pin(self.start_session(new))
    }

    fn ensure_blob(&self, session: Session) -> Answer<'_, Session> {
        // Opening makes a blob that is missing.
        Box::pin(async move { self.registry.find(session.id).await.map(|_| session) })
    }

    /// This server signs URLs of its own.
    fn part_urls(&self, _: Session, _: Vec<u32>, _: Timestamp) -> Answer<'_, Option<Vec<String>>> {
        Box::pin(ready(Ok(None)))
    }

    fn find_cached(&self, id: Uuid) -> Option<Session> {
        self.registry.find_open(id).map(|live| live.session_now())
    }

    fn state(&self, session: Session) -> Answer<'_, SessionState> {
        Box::pin(self.session_state(session))
    }

    fn resign(&self, session: Session, wanted: Option<Vec<u32>>, ttl_seconds: u64) -> Answer<'_, Resigned> {
        Box::pin(self.resign_session(session.id, wanted, ttl_seconds))
    }

    fn complete(&self, session: Session, expected: ExpectedHashes) -> Answer<'_, crate::db::files::File> {
        Box::pin(self.complete_session(session.id, expected.file))
    }

    fn end(&self, id: Uuid, ending: Ending) -> Answer<'_, ()> {
        Box::pin(self.end_session(id, ending))
    }

    fn receive_file<'a>(&'a self, file: IncomingFile<'a>, body: FileBody<'a>) -> Answer<'a, Option<UnclaimedBytes>> {
        Box::pin(async move { self.write_file(file, body).await.map(Some) })
    }

    /// The writer counted the bytes itself; the blob has no entity tag.
    fn confirm_file(&self, _: Uuid, _: u64) -> Answer<'_, Option<String>> {
        Box::pin(ready(Ok(None)))
    }

    fn pictures<'a>(&'a self, blob_id: Uuid, _: u64, mime_type: &'a str) -> Answer<'a, Pictures> {
        Box::pin(self.read_pictures(blob_id, mime_type))
    }

    /// Every byte passes this server, which hashes it.
    fn keeps_hashes(&self) -> Answer<'_, bool> {
        Box::pin(ready(Ok(true)))
    }

    fn disk(&self) -> Answer<'_, Option<DiskState>> {
        let store = Arc::clone(&self.store);
        Box::pin(async move { blocking(move || store.room()).await.map(Some) })
    }

    fn bytes_of_public_keys(&self) -> Answer<'_, u64> {
        Box::pin(self.bytes_of_strangers())
    }

    fn records_parts(&self) -> bool {
        true
    }

    fn needs_verification(&self, session: &Session) -> bool {
        session.verified_in_epoch != *self.storage_epoch
    }

    fn verify_untrusted<'a>(&'a self, stop: &'a CancellationToken) -> Answer<'a, ()> {
        Box::pin(self.verify_sessions(stop))
    }

    fn close_idle(&self) {
        self.close_idle_sessions();
    }
}

impl PartReceiver for LocalUploads {
    fn receive_part<'a>(
        &'a self,
        session_id: Uuid,
        part_index: u32,
        arrival: Arrival,
        digests: PartDigests,
        body: PartBody<'a>,
    ) -> Answer<'a, String> {
        Box::pin(self.write_part(session_id, part_index, arrival, digests, body))
    }
}

impl LocalUploads {
    /// How far the session is.
    async fn session_state(&self, session: Session) -> Result<SessionState, UploadError> {
        match self.find(session.id).await? {
            LocalSession::Live(live) => {
                Ok(SessionState::of_open(session, live.plan, live.expires_at(), live.parts(), None))
            }
            LocalSession::Ended(ended) => SessionState::of_ended(*ended),
        }
    }
}
