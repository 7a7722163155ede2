//! Finding sessions, and how far they are.

use partway_api::PartPlan;
use uuid::Uuid;

use super::session::{SessionInList, SessionPage, SessionState, Uploaded, authorize};
use super::{UploadError, Uploads};
use crate::db::sessions::{self, ListedSession, Session, Status};
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
            Ok((sessions, sessions::count(tx, workspace_id, status)?))
        });
        let (sessions, total) = listed.await?;
        Ok(SessionPage { sessions: sessions.into_iter().map(|listed| self.in_list(listed)).collect(), total })
    }

    fn in_list(&self, listed: ListedSession) -> SessionInList {
        let session = &listed.session;
        let backend = self.backends.of(session.storage).ok();
        let plan = PartPlan::from_stored(session.size_bytes, session.part_size_bytes);
        let parts_total = plan.map_or(0, |plan| plan.parts());
        let records_parts = backend.is_some_and(|backend| backend.records_parts());
        let is_verifying =
            session.status == Status::Uploading && backend.is_some_and(|backend| backend.needs_verification(session));
        let uploaded = Uploaded::of(&listed, parts_total, records_parts);
        SessionInList { session: listed.session, parts_total, uploaded, is_verifying }
    }

    /// The session, if the caller may see it: as this process knows it, which saves a look into the database, or as it is stored.
    ///
    /// # Errors
    /// [`UploadError::SessionNotFound`], [`UploadError::SessionForgotten`] or [`UploadError::NotYours`].
    pub(super) async fn find(&self, identity: &Identity, session_id: &str) -> Result<Session, UploadError> {
        let not_found = || UploadError::unknown(session_id, self.remembered);
        let id = Uuid::try_parse(session_id).map_err(|_| not_found())?;
        let session = match self.backends.all().find_map(|backend| backend.find_cached(id)) {
            Some(cached) => cached,
            None => self.records.find(id).await?.ok_or_else(not_found)?,
        };
        authorize(&session, identity, self.remembered)?;
        Ok(session)
    }
}
