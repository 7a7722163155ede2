//! Version 4: folded names of folders and files, and the table of tags.

use crate::db::sql::{DbError, Tx, folded};

/// Rows read at once.
const PAGE: u32 = 1000;

/// Fills the columns and the table of `0004_whole_workspace.sql`. A version that changes the case folding must backfill these columns
/// again.
pub(in crate::db) fn fill(tx: &Tx<'_>) -> Result<(), DbError> {
    tx.without_timeouts()?;
    fold_folders(tx)?;
    fold_and_tag_files(tx)
}

fn fold_folders(tx: &Tx<'_>) -> Result<(), DbError> {
    let mut last = String::new();
    loop {
        let sql = "SELECT id, name FROM folders WHERE id > ?1 AND path <> '' ORDER BY id LIMIT ?2";
        let folders = tx.all(sql, &[&last, &PAGE], |row| Ok((row.get::<String>(0)?, row.get::<String>(1)?)))?;
        if folders.is_empty() {
            return Ok(());
        }
        for (id, name) in folders {
            tx.execute("UPDATE folders SET name_folded = ?2 WHERE id = ?1", &[&id, &folded(&name)])?;
            last = id;
        }
    }
}

fn fold_and_tag_files(tx: &Tx<'_>) -> Result<(), DbError> {
    let mut last = String::new();
    loop {
        let sql = "SELECT id, name, tags FROM files WHERE id > ?1 ORDER BY id LIMIT ?2";
        let files = tx.all(sql, &[&last, &PAGE], |row| {
            Ok((row.get::<String>(0)?, row.get::<String>(1)?, row.get::<String>(2)?))
        })?;
        if files.is_empty() {
            return Ok(());
        }
        for (id, name, tags) in files {
            tx.execute("UPDATE files SET name_folded = ?2 WHERE id = ?1", &[&id, &folded(&name)])?;
            for tag in tags_of(&id, &tags)? {
                tx.execute(
                    "INSERT INTO file_tags (workspace_id, tag, created_at, file_id, folder_id, name_folded, size_bytes, \
                     updated_at) SELECT workspace_id, CAST(?2 AS TEXT), created_at, id, folder_id, name_folded, size_bytes, \
                     updated_at FROM files WHERE id = ?1",
                    &[&id, &tag],
                )?;
            }
            last = id;
        }
    }
}

fn tags_of(id: &str, tags: &str) -> Result<Vec<String>, DbError> {
    serde_json::from_str(tags)
        .map_err(|error| DbError::Corrupt { table: "files", problem: format!("tags of {id}: {error}") })
}
