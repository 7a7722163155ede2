//! The end of a session, and the removal of its row after some time.

use super::answer;
use super::row::Session;
use crate::db::sql::{DbError, Timestamp, Tx};
use crate::db::tables::files::File;
use crate::db::tables::usage::{self, Counted};
use crate::model::SessionStatus;

/// Counts a session that was opened (1) or has ended (-1).
pub(super) fn count_one(tx: &Tx<'_>, session: &Session, sign: i64) -> Result<(), DbError> {
    usage::change(tx, session.workspace_id, Counted::Session, sign, session.size_bytes)?;
    usage::change_key(tx, session.api_key_id, sign, session.size_bytes)
}

/// Completes the session and stores the answer, which a repeated request gets again. False if it was not uploading.
pub fn complete(tx: &Tx<'_>, session: &Session, file: &File) -> Result<bool, DbError> {
    let changed = tx.execute(
        "UPDATE sessions SET status = 'completed', completed_file = ?2, ended_at = ?3, store_upload_id = ?4, tags = '[]', \
         metadata = NULL, custom_id = NULL, webhook_url = NULL WHERE id = ?1 AND status = 'uploading'",
        &[&session.id.to_string(), &answer::to_text(file)?, &Timestamp::now(), &session.store_upload_id],
    )?;
    uncount(tx, session, changed)
}

/// Ends the session without a file. False if it was not uploading.
pub fn end(tx: &Tx<'_>, session: &Session, status: SessionStatus) -> Result<bool, DbError> {
    let changed = tx.execute(
        "UPDATE sessions SET status = ?2, ended_at = ?3, tags = '[]', metadata = NULL, custom_id = NULL, webhook_url = NULL \
         WHERE id = ?1 AND status = 'uploading'",
        &[&session.id.to_string(), &status.as_str(), &Timestamp::now()],
    )?;
    uncount(tx, session, changed)
}

/// Removes a session whose start failed before its client got an answer.
pub fn delete(tx: &Tx<'_>, session: &Session) -> Result<(), DbError> {
    let changed =
        tx.execute("DELETE FROM sessions WHERE id = ?1 AND status = 'uploading'", &[&session.id.to_string()])?;
    uncount(tx, session, changed).map(drop)
}

/// Removes an ended session from the counters. True when `changed` says that it was open.
fn uncount(tx: &Tx<'_>, session: &Session, changed: usize) -> Result<bool, DbError> {
    if changed == 1 {
        count_one(tx, session, -1)?;
    }
    Ok(changed == 1)
}

/// Whether there are rows of sessions that ended before then.
pub fn any_ended_before(tx: &Tx<'_>, until: Timestamp) -> Result<bool, DbError> {
    tx.exists("SELECT 1 FROM sessions WHERE ended_at <= ?1 LIMIT 1", &[&until])
}

macro_rules! ended_before {
    ($statement:literal) => {
        concat!(
            $statement,
            " IN (SELECT s.id FROM sessions s WHERE s.ended_at <= ?1 \
             AND NOT EXISTS (SELECT 1 FROM ended_sessions e WHERE e.session_id = s.id) \
             AND NOT EXISTS (SELECT 1 FROM parts p WHERE p.session_id = s.id) ORDER BY s.ended_at, s.id LIMIT ?2)"
        )
    };
}

/// Deletes at most `limit` sessions that ended before then and have no parts any more, with the idempotency keys that started
/// them. Returns the number of sessions.
pub fn forget_ended_before(tx: &Tx<'_>, until: Timestamp, limit: u32) -> Result<usize, DbError> {
    tx.execute(ended_before!("DELETE FROM idempotency_keys WHERE session_id"), &[&until, &limit])?;
    tx.execute(ended_before!("DELETE FROM sessions WHERE id"), &[&until, &limit])
}
