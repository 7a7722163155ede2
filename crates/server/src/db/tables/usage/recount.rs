//! Sums of a workspace, computed from its rows, to check and repair the counters.

use uuid::Uuid;

use super::amount::Amount;
use crate::db::sql::{DbError, Row, Tx, columns};

macro_rules! folders_of_workspace {
    () => {
        "(SELECT count(*) FROM folders f WHERE f.workspace_id = workspaces.id AND f.parent_id IS NOT NULL)"
    };
}

macro_rules! open_sessions_of_key {
    () => {
        "FROM sessions s WHERE s.api_key_id = api_keys.id AND s.status = 'uploading'"
    };
}

/// Sums of the files and of the open sessions of a workspace. Reads all of them.
pub fn add_up(tx: &Tx<'_>, workspace_id: Uuid) -> Result<(Amount, Amount), DbError> {
    let id = workspace_id.to_string();
    let amount = |row: &Row<'_>| Amount::from_row(row, 0);
    let files = tx.optional(
        "SELECT count(*), CAST(coalesce(sum(size_bytes), 0) AS BIGINT) FROM files WHERE workspace_id = ?1 \
         AND folder_id NOT IN (SELECT id FROM folders WHERE workspace_id = ?1 AND deleted_at IS NOT NULL)",
        &[&id],
        amount,
    )?;
    let sessions = tx.optional(
        "SELECT count(*), CAST(coalesce(sum(size_bytes), 0) AS BIGINT) FROM sessions WHERE workspace_id = ?1 AND status = 'uploading'",
        &[&id],
        amount,
    )?;
    Ok((files.unwrap_or_default(), sessions.unwrap_or_default()))
}

/// Sets all counters of a workspace to the sums.
pub fn recount(tx: &Tx<'_>, workspace_id: Uuid) -> Result<(), DbError> {
    let (files, sessions) = add_up(tx, workspace_id)?;
    tx.execute(
        "UPDATE workspaces SET files_count = ?2, files_bytes = ?3, sessions_count = ?4, sessions_bytes = ?5 WHERE id = ?1",
        &[
            &workspace_id.to_string(),
            &files.count,
            &files.bytes,
            &sessions.count,
            &sessions.bytes,
        ],
    )?;
    tx.execute(
        "UPDATE folders SET \
         files_count = (SELECT count(*) FROM files f WHERE f.folder_id = folders.id), \
         files_bytes = (SELECT CAST(coalesce(sum(f.size_bytes), 0) AS BIGINT) FROM files f WHERE f.folder_id = folders.id) \
         WHERE workspace_id = ?1",
        &[&workspace_id.to_string()],
    )?;
    tx.execute(
        concat!("UPDATE workspaces SET folders_count = ", folders_of_workspace!(), " WHERE id = ?1"),
        &[&workspace_id.to_string()],
    )?;
    tx.execute(
        concat!(
            "UPDATE api_keys SET \
             sessions_count = (SELECT count(*) ",
            open_sessions_of_key!(),
            "), sessions_bytes = (SELECT CAST(coalesce(sum(s.size_bytes), 0) AS BIGINT) ",
            open_sessions_of_key!(),
            ") WHERE workspace_id = ?1"
        ),
        &[&workspace_id.to_string()],
    )?;
    Ok(())
}

/// Number of keys of a workspace whose counters differ from their open sessions.
pub fn miscounted_keys(tx: &Tx<'_>, workspace_id: Uuid) -> Result<u64, DbError> {
    let counted = tx.optional(
        concat!(
            "SELECT count(*) FROM api_keys WHERE workspace_id = ?1 AND (sessions_count <> (SELECT count(*) ",
            open_sessions_of_key!(),
            ") OR sessions_bytes <> (SELECT coalesce(sum(s.size_bytes), 0) ",
            open_sessions_of_key!(),
            "))"
        ),
        &[&workspace_id.to_string()],
        |row| columns::size("api_keys", row, 0),
    )?;
    Ok(counted.unwrap_or_default())
}

/// Whether the counter of folders of a workspace is right.
pub fn counts_its_folders(tx: &Tx<'_>, workspace_id: Uuid) -> Result<bool, DbError> {
    let sql = concat!("SELECT 1 FROM workspaces WHERE id = ?1 AND folders_count = ", folders_of_workspace!());
    tx.exists(sql, &[&workspace_id.to_string()])
}

/// Number of folders of a workspace whose counters differ from their files.
pub fn miscounted_folders(tx: &Tx<'_>, workspace_id: Uuid) -> Result<u64, DbError> {
    let counted = tx.optional(
        "SELECT count(*) FROM folders d LEFT JOIN (SELECT folder_id, count(*) AS files, sum(size_bytes) AS bytes FROM files \
         WHERE workspace_id = ?1 GROUP BY folder_id) f ON f.folder_id = d.id \
         WHERE d.workspace_id = ?1 AND d.deleted_at IS NULL \
         AND (d.files_count <> coalesce(f.files, 0) OR d.files_bytes <> coalesce(f.bytes, 0))",
        &[&workspace_id.to_string()],
        |row| columns::size("folders", row, 0),
    )?;
    Ok(counted.unwrap_or_default())
}
