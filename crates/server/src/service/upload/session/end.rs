//! The transaction that ends a session without a file.

use super::records::PartRecords;
use crate::db::sessions::{self, Session, Status};
use crate::db::{DbError, Timestamp, Tx, garbage};
use crate::service::event::Events;

/// Why a session is ended without a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// Its client gave it up, or it breaks a rule.
    Abort,
    /// Its key was revoked: the URLs that a store gave out must stop working, too.
    Revoke,
    /// It is overdue.
    Expire,
}

impl Ending {
    /// The status that the session ends with.
    pub fn status(self) -> Status {
        match self {
            Self::Abort | Self::Revoke => Status::Aborted,
            Self::Expire => Status::Expired,
        }
    }

    /// Whether the session may be ended so at `now`: one that was extended meanwhile is not overdue any more.
    pub fn applies(self, session: &Session, now: Timestamp) -> bool {
        self != Self::Expire || session.expires_at <= now
    }
}

/// Ends the session without a file and makes its blob garbage. False when it was not uploading.
pub(in crate::service::upload) fn end_session(
    tx: &Tx<'_>,
    events: &Events,
    session: &Session,
    ending: Ending,
    part_records: PartRecords,
) -> Result<bool, DbError> {
    let status = ending.status();
    if !sessions::end(tx, session, status)? {
        return Ok(false);
    }
    let reason = match ending {
        Ending::Abort | Ending::Revoke => garbage::Reason::Aborted,
        Ending::Expire => garbage::Reason::Expired,
    };
    part_records.forget_later(tx, session.id)?;
    let dead = garbage::NewGarbage {
        blob: session.blob(),
        workspace_id: Some(session.workspace_id),
        reason,
        size_bytes: session.size_bytes,
        // No reader can have the blob open: it never was a file.
        keep_seconds: 0,
    };
    garbage::insert(tx, &dead)?;
    if status == Status::Expired {
        events.upload_expired(tx, session)?;
    }
    Ok(true)
}
