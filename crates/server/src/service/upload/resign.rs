//! New URLs for parts of a session, and a longer life for it.

use super::session::Resigned;
use super::{UploadError, Uploads};
use crate::db::sessions::Status;
use crate::service::key::Identity;

impl Uploads {
    /// Extends the session's life to at least `ttl_seconds` from now, for a public key within its limits, and answers which parts
    /// URLs may be signed for until then: those of `wanted`, or all that are missing. When this returns, the longer life survives a power
    /// cut.
    ///
    /// # Errors
    /// When the session takes no parts any more, or has no such part.
    pub async fn resign(
        &self,
        identity: &Identity,
        session_id: &str,
        wanted: Option<Vec<u32>>,
        ttl_seconds: u64,
    ) -> Result<Resigned, UploadError> {
        let session = self.find(identity, session_id).await?;
        if session.status != Status::Uploading {
            return Err(UploadError::ended(session.id, session.status));
        }
        let ttl_seconds = match identity.is_public() {
            true => self.records.public.bound_ttl(session.created_at, ttl_seconds)?,
            false => ttl_seconds,
        };
        self.backends.of(session.storage)?.resign(session, wanted, ttl_seconds).await
    }
}
