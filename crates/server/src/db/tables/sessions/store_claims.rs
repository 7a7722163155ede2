//! Claims of sessions at a store: while one node has claimed a session, no other ends it. Local storage decides in memory instead
//! (`LiveSession::ending`), because one process has all its sessions.

use uuid::Uuid;

use super::row::{Session, find_locked};
use crate::db::sql::{DbError, Tx};
use crate::model::SessionStatus;

/// Outcome of an attempt to claim a session.
#[derive(Debug, Clone, PartialEq)]
pub enum Claim {
    /// The claim is made: nobody else may end the session until it expires.
    Taken(Box<Session>),
    /// Another claimant has it.
    Busy,
    /// The session has ended already.
    Ended(Box<Session>),
    /// There is no such session.
    Nothing,
}

/// Claims the session for `seconds`.
pub fn claim(tx: &Tx<'_>, id: Uuid, claimant: Uuid, seconds: u64) -> Result<Claim, DbError> {
    let Some(session) = find_locked(tx, id)? else { return Ok(Claim::Nothing) };
    if session.status != SessionStatus::Uploading {
        return Ok(Claim::Ended(Box::new(session)));
    }
    let now = tx.now()?;
    let changed = tx.execute(
        "UPDATE sessions SET claimed_by = ?2, claimed_until = ?3 \
         WHERE id = ?1 AND (claimed_by IS NULL OR claimed_by = ?2 OR claimed_until <= ?4)",
        &[&id.to_string(), &claimant.to_string(), &now.plus_seconds(seconds), &now],
    )?;
    Ok(if changed == 1 { Claim::Taken(Box::new(session)) } else { Claim::Busy })
}

/// Records a request to complete the session with this hash; empty for none.
pub fn note_complete(tx: &Tx<'_>, id: Uuid, hash: &str) -> Result<(), DbError> {
    tx.execute("UPDATE sessions SET complete_hash = ?2 WHERE id = ?1", &[&id.to_string(), &hash]).map(drop)
}

/// Does what [`note_complete`] does if this claimant still has the session. False otherwise.
pub fn note_claimed_complete(tx: &Tx<'_>, id: Uuid, claimant: Uuid, hash: &str) -> Result<bool, DbError> {
    let changed = tx.execute(
        "UPDATE sessions SET complete_hash = ?3 WHERE id = ?1 AND claimed_by = ?2 AND status = 'uploading'",
        &[&id.to_string(), &claimant.to_string(), &hash],
    )?;
    Ok(changed == 1)
}

/// Renews a claim for `seconds` from now. False when this claimant does not have it any more.
pub fn renew(tx: &Tx<'_>, id: Uuid, claimant: Uuid, seconds: u64) -> Result<bool, DbError> {
    let changed = tx.execute(
        "UPDATE sessions SET claimed_until = ?3 WHERE id = ?1 AND claimed_by = ?2 AND status = 'uploading'",
        &[&id.to_string(), &claimant.to_string(), &tx.now()?.plus_seconds(seconds)],
    )?;
    Ok(changed == 1)
}

/// Gives the session another, empty blob, if this claimant still has it. False otherwise.
pub fn replace_blob(tx: &Tx<'_>, id: Uuid, claimant: Uuid, blob_id: Uuid) -> Result<bool, DbError> {
    let changed = tx.execute(
        "UPDATE sessions SET blob_id = ?3, store_upload_id = NULL, complete_hash = NULL \
         WHERE id = ?1 AND status = 'uploading' AND claimed_by = ?2",
        &[&id.to_string(), &claimant.to_string(), &blob_id.to_string()],
    )?;
    Ok(changed == 1)
}

/// Releases a claim.
pub fn release(tx: &Tx<'_>, id: Uuid, claimant: Uuid) -> Result<(), DbError> {
    tx.execute(
        "UPDATE sessions SET claimed_by = NULL, claimed_until = 0 WHERE id = ?1 AND claimed_by = ?2",
        &[&id.to_string(), &claimant.to_string()],
    )?;
    Ok(())
}
