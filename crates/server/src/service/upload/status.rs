//! How far sessions are, for whoever wants to go on with them.

use std::sync::Arc;

use uuid::Uuid;

use super::local::{LiveSession, LocalSession};
use super::{UploadError, Uploads, authorize};
use crate::db::Timestamp;
use crate::db::sessions::{self, ListedSession, Session, Status};
use crate::model::StorageKind;
use crate::service::key::Identity;
use partway_api::PartPlan;

/// How far a session is.
#[derive(Debug, Clone)]
pub struct SessionState {
    /// The session, with the status it has now.
    pub session: Session,
    /// How its file is cut.
    pub plan: PartPlan,
    /// When it ends by itself.
    pub expires_at: Timestamp,
    /// Indices of the parts that are there, ascending.
    pub uploaded: Vec<u32>,
    /// Indices of those that are not.
    pub missing: Vec<u32>,
    /// ETags of those that are there, where a store has them; none once it has made its object of them.
    pub etags: Option<Vec<String>>,
}

impl SessionState {
    /// Bytes of the parts that are there.
    pub fn bytes_uploaded(&self) -> u64 {
        self.uploaded.iter().filter_map(|index| self.plan.part_len(*index)).sum()
    }
}

/// What there is of a session.
pub(super) enum Found {
    /// It takes parts, here.
    Live(Arc<LiveSession>),
    /// It takes parts, at the store.
    InStore(Box<Session>),
    /// It has ended.
    Ended(Box<Session>),
}

impl From<LocalSession> for Found {
    fn from(session: LocalSession) -> Self {
        match session {
            LocalSession::Live(live) => Self::Live(live),
            LocalSession::Ended(session) => Self::Ended(session),
        }
    }
}

/// A page of sessions.
#[derive(Debug, Clone)]
pub struct SessionPage {
    /// The sessions, newest first.
    pub sessions: Vec<ListedSession>,
    /// How many there are on all pages.
    pub total: u64,
}

impl Uploads {
    /// How far the session is.
    ///
    /// # Errors
    /// [`UploadError::Opening`] while its parts are verified.
    pub async fn state(&self, identity: &Identity, session_id: &str) -> Result<SessionState, UploadError> {
        match self.find(identity, session_id).await? {
            Found::Live(live) => {
                let (uploaded, missing) = live.parts();
                let expires_at = live.expires_at();
                let mut session = live.session.clone();
                if expires_at <= Timestamp::now() {
                    // The cleaner has not come to it yet.
                    session.status = Status::Expired;
                }
                Ok(SessionState { session, plan: live.plan, expires_at, uploaded, missing, etags: None })
            }
            Found::InStore(session) => self.s3()?.state(*session).await,
            Found::Ended(session) => {
                let plan = super::plan_of(&session)?;
                let all = (0..plan.parts()).collect();
                let (uploaded, missing) =
                    if session.status == Status::Completed { (all, Vec::new()) } else { (Vec::new(), all) };
                Ok(SessionState {
                    expires_at: session.expires_at,
                    session: *session,
                    plan,
                    uploaded,
                    missing,
                    etags: None,
                })
            }
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

    /// The session, if the caller may see it.
    pub(super) async fn find(&self, identity: &Identity, session_id: &str) -> Result<Found, UploadError> {
        let not_found = || UploadError::unknown(session_id, self.remembered);
        let id = Uuid::try_parse(session_id).map_err(|_| not_found())?;
        // Memory is asked first. Nothing is opened for somebody who may not see it.
        if let Some(live) = self.local.as_ref().and_then(|local| local.find_open(id)) {
            authorize(&live.session, identity, self.remembered)?;
            return self.local()?.open(id).await?.map(Found::from).ok_or_else(not_found);
        }
        let session = self.stored_session(identity, session_id).await?;
        match (session.status, session.storage) {
            (Status::Uploading, StorageKind::Local) => {
                self.local()?.open(id).await?.map(Found::from).ok_or_else(not_found)
            }
            (Status::Uploading, StorageKind::S3) => Ok(Found::InStore(Box::new(session))),
            _ => Ok(Found::Ended(Box::new(session))),
        }
    }

    /// The session as it is stored, if the caller may see it.
    pub(super) async fn stored_session(&self, identity: &Identity, session_id: &str) -> Result<Session, UploadError> {
        let not_found = || UploadError::unknown(session_id, self.remembered);
        let id = Uuid::try_parse(session_id).map_err(|_| not_found())?;
        let session = self.records.find(id).await?.ok_or_else(not_found)?;
        authorize(&session, identity, self.remembered)?;
        Ok(session)
    }
}
