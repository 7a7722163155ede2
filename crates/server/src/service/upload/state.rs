//! Finding sessions, and how far they are.

use uuid::Uuid;

use super::session::{SessionPage, SessionState, authorize};
use super::{UploadError, Uploads};
use crate::db::sessions::{self, Session, Status};
use crate::service::key::Identity;

impl Uploads {
    /// How far the session is.
    ///
    /// # Errors
    /// [`UploadError::Opening`] while its parts are verified.
    pub async fn state(&self, identity: &Identity, session_id: &str) -> Result<SessionState, UploadError> {
        let session = self.find(identity, session_id).await?;
        match session.status {
            Status::Uploading => self.backends.of(session.storage)?.state(session).await,
            _ => SessionState::of_ended(session),
        }
    }

    /// One page of the workspace's sessions, counted from 1; `None` for those of any status.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn list(
        &self,
        identity: &Identity,
        status: Option<Status>,
        page: u32,
        limit: u32,
    ) -> Result<SessionPage, UploadError> {
        let workspace_id = identity.workspace_id;
        let offset = u64::from(page.saturating_sub(1)) * u64::from(limit);
        let listed = self.records.db.scan(workspace_id, move |tx| {
            let sessions = sessions::list(tx, workspace_id, status, limit, offset)?;
            Ok(SessionPage { sessions, total: sessions::count(tx, workspace_id, status)? })
        });
        Ok(listed.await?)
    }

    /// Whether the session's parts have to be verified before they are trusted.
    pub fn needs_verification(&self, session: &Session) -> bool {
        session.status == Status::Uploading
            && self.backends.of(session.storage).is_ok_and(|backend| backend.needs_verification(session))
    }

    /// The session, if the caller may see it: ready for its backend if it is uploading, otherwise as it ended.
    ///
    /// # Errors
    /// [`UploadError::SessionNotFound`] or [`UploadError::NotYours`], before anything is opened; [`UploadError::Opening`].
    pub(super) async fn find(&self, identity: &Identity, session_id: &str) -> Result<Session, UploadError> {
        let not_found = || UploadError::unknown(session_id, self.remembered);
        let id = Uuid::try_parse(session_id).map_err(|_| not_found())?;
        // Memory is asked first: it saves a look into the database per request.
        let cached = self.backends.all().find_map(|backend| backend.find_cached(id));
        let session = match cached {
            Some(session) => {
                authorize(&session, identity, self.remembered)?;
                session
            }
            None => self.records.find_authorized(identity, session_id, self.remembered).await?,
        };
        match session.status {
            Status::Uploading => self.backends.of(session.storage)?.open(session).await?.ok_or_else(not_found),
            _ => Ok(session),
        }
    }
}
