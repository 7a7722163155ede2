//! Complete parts of sessions on local storage.

use uuid::Uuid;

use crate::db::sql::{DbError, Tx};

/// Records a part whose bytes are written. `subtrees` verifies them and is merged into the file's hash.
/// False, and nothing recorded, when the session is not open any more.
pub fn record(tx: &Tx<'_>, session_id: Uuid, part_index: u32, subtrees: &[u8]) -> Result<bool, DbError> {
    let changed = tx.execute(
        "INSERT INTO parts (session_id, part_index, subtrees) \
         SELECT id, ?2, ?3 FROM sessions WHERE id = ?1 AND status = 'uploading' /*FOR SHARE*/ \
         ON CONFLICT (session_id, part_index) DO UPDATE SET subtrees = excluded.subtrees",
        &[&session_id.to_string(), &part_index, &subtrees],
    )?;
    Ok(changed == 1)
}

/// Deletes the record of a part whose bytes are about to be overwritten.
pub fn delete(tx: &Tx<'_>, session_id: Uuid, part_index: u32) -> Result<(), DbError> {
    tx.execute("DELETE FROM parts WHERE session_id = ?1 AND part_index = ?2", &[&session_id.to_string(), &part_index])?;
    Ok(())
}

/// Deletes the records of all parts of an open session.
pub fn delete_all(tx: &Tx<'_>, session_id: Uuid) -> Result<(), DbError> {
    tx.execute("DELETE FROM parts WHERE session_id = ?1", &[&session_id.to_string()])?;
    Ok(())
}

/// Records that the session has ended, so that the cleaner deletes the records of its parts.
pub fn forget_later(tx: &Tx<'_>, session_id: Uuid) -> Result<(), DbError> {
    tx.execute("INSERT INTO ended_sessions (session_id) VALUES (?1)", &[&session_id.to_string()])?;
    Ok(())
}

/// Whether ended sessions have records of parts.
pub fn any_ended(tx: &Tx<'_>) -> Result<bool, DbError> {
    tx.exists("SELECT 1 FROM ended_sessions LIMIT 1", &[])
}

/// Deletes about `limit` records of parts of ended sessions.
pub fn forget_ended(tx: &Tx<'_>, limit: u32) -> Result<(), DbError> {
    let mut left = limit as usize;
    let sessions = tx.all("SELECT session_id FROM ended_sessions LIMIT ?1", &[&limit], |row| row.get::<String>(0))?;
    for session_id in &sessions {
        let deleted = tx.execute(
            "DELETE FROM parts WHERE session_id = ?1 AND part_index IN \
             (SELECT part_index FROM parts WHERE session_id = ?1 ORDER BY part_index LIMIT ?2)",
            &[&session_id, &(left as i64)],
        )?;
        if deleted == left {
            return Ok(());
        }
        left -= deleted;
        tx.execute("DELETE FROM ended_sessions WHERE session_id = ?1", &[&session_id])?;
    }
    Ok(())
}

/// The subtrees of a part, if it is recorded.
pub fn find(tx: &Tx<'_>, session_id: Uuid, part_index: u32) -> Result<Option<Vec<u8>>, DbError> {
    tx.optional(
        "SELECT subtrees FROM parts WHERE session_id = ?1 AND part_index = ?2",
        &[&session_id.to_string(), &part_index],
        |row| row.get(0),
    )
}

/// The recorded parts of a session, in order: index and subtrees.
pub fn list(tx: &Tx<'_>, session_id: Uuid) -> Result<Vec<(u32, Vec<u8>)>, DbError> {
    tx.all(
        "SELECT part_index, subtrees FROM parts WHERE session_id = ?1 ORDER BY part_index",
        &[&session_id.to_string()],
        |row| Ok((row.get(0)?, row.get(1)?)),
    )
}
