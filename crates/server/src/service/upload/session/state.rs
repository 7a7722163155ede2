//! How far sessions are, for clients that resume them.

use partway_api::PartPlan;

use super::{UploadError, plan_of};
use crate::db::Timestamp;
use crate::db::sessions::{ListedSession, Session, Status};

/// How far a session is.
#[derive(Debug, Clone)]
pub struct SessionState {
    /// The session, with its present status.
    pub session: Session,
    /// How its file is cut.
    pub plan: PartPlan,
    /// When it expires.
    pub expires_at: Timestamp,
    /// Indices of the parts that are there, ascending.
    pub uploaded: Vec<u32>,
    /// Indices of the missing parts, ascending.
    pub missing: Vec<u32>,
    /// A store's ETags of the parts that are there, without quotes; empty once it has made its object of them, `None` where this
    /// server receives the parts.
    pub etags: Option<Vec<String>>,
}

impl SessionState {
    /// The state of an open session. Overdue sessions that the cleaner has not ended yet are shown as expired.
    pub(in crate::service::upload) fn of_open(
        mut session: Session,
        plan: PartPlan,
        expires_at: Timestamp,
        (uploaded, missing): (Vec<u32>, Vec<u32>),
        etags: Option<Vec<String>>,
    ) -> Self {
        if expires_at <= Timestamp::now() {
            session.status = Status::Expired;
        }
        Self { session, plan, expires_at, uploaded, missing, etags }
    }

    /// The state of a session that has ended: all of its parts are there if it was completed, none otherwise.
    ///
    /// # Errors
    /// Those of [`plan_of`].
    pub(in crate::service::upload) fn of_ended(session: Session) -> Result<Self, UploadError> {
        let plan = plan_of(&session)?;
        let all = (0..plan.parts()).collect();
        let (uploaded, missing) =
            if session.status == Status::Completed { (all, Vec::new()) } else { (Vec::new(), all) };
        Ok(Self { expires_at: session.expires_at, session, plan, uploaded, missing, etags: None })
    }

    /// Bytes of the parts that are there.
    pub fn bytes_uploaded(&self) -> u64 {
        self.uploaded.iter().filter_map(|index| self.plan.part_len(*index)).sum()
    }
}

/// A page of sessions.
#[derive(Debug, Clone)]
pub struct SessionPage {
    /// The sessions, newest first.
    pub sessions: Vec<ListedSession>,
    /// Number of sessions on all pages.
    pub total: u64,
}
