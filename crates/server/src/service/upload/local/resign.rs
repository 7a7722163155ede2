//! A longer life for a session of local storage. Its URLs are this server's own, and signed where they are answered.

use uuid::Uuid;

use super::{LocalSession, LocalUploads, UploadError};
use crate::db::Timestamp;
use crate::service::upload::session::{Resigned, choose};

impl LocalUploads {
    /// Extends the session's life, and answers which parts may be signed.
    pub(super) async fn resign_session(
        &self,
        id: Uuid,
        wanted: Option<Vec<u32>>,
        ttl_seconds: u64,
    ) -> Result<Resigned, UploadError> {
        let live = match self.find(id).await? {
            LocalSession::Live(live) => live,
            LocalSession::Ended(session) => return Err(UploadError::ended(id, session.status)),
        };
        let parts = choose(wanted, || live.parts().1, &live.plan)?;
        let _deciding = live.ending.lock().await;
        if let Some(status) = live.ended() {
            return Err(UploadError::ended(id, status));
        }
        let now = Timestamp::now();
        if live.expires_at() <= now {
            return Err(UploadError::SessionExpired(id));
        }
        let expires_at = now.plus_seconds(ttl_seconds);
        self.records.extend(id, expires_at, ttl_seconds).await?;
        live.extend(expires_at, ttl_seconds);
        Ok(Resigned { session_id: id, plan: live.plan, parts, expires_at, store_urls: None })
    }
}
