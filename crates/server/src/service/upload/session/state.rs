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

/// A session in a list.
#[derive(Debug, Clone)]
pub struct SessionInList {
    /// The session.
    pub session: Session,
    /// Number of its parts.
    pub parts_total: u32,
    /// How much of it is there; `None` where only the store knows, which a list does not ask once per row.
    pub uploaded: Option<Uploaded>,
    /// Whether its parts have to be verified before they are trusted.
    pub is_verifying: bool,
}

/// How much of a session is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Uploaded {
    /// Number of parts.
    pub parts: u32,
    /// Bytes of these parts.
    pub bytes: u64,
}

impl Uploaded {
    /// Reads it from the session's status and the records of its parts; `None` for an open session unless the records say which parts
    /// are there (`records_parts`).
    pub(in crate::service::upload) fn of(
        listed: &ListedSession,
        parts_total: u32,
        records_parts: bool,
    ) -> Option<Self> {
        let ListedSession { session, recorded_parts, last_recorded_part } = listed;
        match session.status {
            Status::Completed => Some(Self { parts: parts_total, bytes: session.size_bytes }),
            // Their parts are deleted, or about to be.
            Status::Aborted | Status::Expired => Some(Self { parts: 0, bytes: 0 }),
            Status::Uploading if !records_parts => None,
            Status::Uploading => {
                let has_last = last_recorded_part.is_some_and(|index| index + 1 == parts_total);
                // All parts but the last are equal.
                let missing_bytes = if has_last {
                    u64::from(parts_total - recorded_parts) * session.part_size_bytes
                } else {
                    session.size_bytes.saturating_sub(u64::from(*recorded_parts) * session.part_size_bytes)
                };
                Some(Self { parts: *recorded_parts, bytes: session.size_bytes - missing_bytes })
            }
        }
    }
}

/// A page of sessions.
#[derive(Debug, Clone)]
pub struct SessionPage {
    /// The sessions, newest first.
    pub sessions: Vec<SessionInList>,
    /// Number of sessions on all pages.
    pub total: u64,
}
