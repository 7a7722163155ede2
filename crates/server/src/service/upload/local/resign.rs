//! A longer life for a session of local storage. Its URLs are this server's own, and signed where they are answered.

use std::sync::Arc;

use super::super::resign::{Resigned, choose};
use super::live::LiveSession;
use super::{LocalUploads, UploadError};
use crate::db::Timestamp;

impl LocalUploads {
    /// Lets the session live longer, and says which parts may be signed.
    pub(in super::super) async fn resign(
        &self,
        live: Arc<LiveSession>,
        wanted: Option<Vec<u32>>,
        ttl_seconds: u64,
    ) -> Result<Resigned, UploadError> {
        let id = live.session.id;
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
        self.records.extend(id, expires_at).await?;
        live.extend(expires_at);
        Ok(Resigned { session_id: id, plan: live.plan, parts, expires_at, store_urls: None })
    }
}
