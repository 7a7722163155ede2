//! Changes of the tree: a folder is renamed together with all folders below it.

use super::row::{Folder, TABLE};
use crate::db::sql::{DbError, Timestamp, Tx, columns, folded};

/// Number of folders below a folder, and the length in bytes of the longest path among them and itself.
pub fn measure(tx: &Tx<'_>, folder: &Folder) -> Result<(u64, u64), DbError> {
    let measured = tx.optional(
        "SELECT count(*), CAST(coalesce(max(octet_length(path)), 0) AS BIGINT) FROM folders \
         WHERE workspace_id = ?1 AND path > ?2 AND path < ?3",
        &[&folder.workspace_id.to_string(), &format!("{}/", folder.path), &format!("{}0", folder.path)],
        |row| Ok((columns::size(TABLE, row, 0)?, columns::size(TABLE, row, 1)?)),
    )?;
    let (below, longest) = measured.unwrap_or_default();
    Ok((below, longest.max(folder.path.len() as u64)))
}

/// Renames or moves a folder, and rewrites the paths of the folders below it. The path must be free, and the workspace locked.
pub fn rename(tx: &Tx<'_>, folder: &Folder, name: &str, path: &str, now: Timestamp) -> Result<(), DbError> {
    let characters = i64::try_from(folder.path.chars().count()).unwrap_or(i64::MAX);
    tx.execute(
        "UPDATE folders SET path = CAST(?4 AS TEXT) || substr(path, CAST(CAST(?5 AS BIGINT) AS INTEGER)) \
         WHERE workspace_id = ?1 AND path > ?2 AND path < ?3",
        &[
            &folder.workspace_id.to_string(),
            &format!("{}/", folder.path),
            &format!("{}0", folder.path),
            &path,
            &(characters + 1),
        ],
    )?;
    tx.execute(
        "UPDATE folders SET name = ?2, name_folded = ?3, path = ?4, updated_at = ?5 WHERE id = ?1",
        &[&folder.id.to_string(), &name, &folded(name), &path, &now],
    )?;
    Ok(())
}
