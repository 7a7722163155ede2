//! The table of tags, by which files are found. A row copies the columns by which lists are sorted and filtered.

use uuid::Uuid;

use super::row::File;
use crate::db::sql::builder::{Sql, pad_to_bucket};
use crate::db::sql::{DbError, Parameter, Tx};

/// Adds a file to these tags, with the present values of its row.
pub(super) fn insert_tags(tx: &Tx<'_>, id: Uuid, tags: &[String]) -> Result<(), DbError> {
    for tag in tags {
        tx.execute(
            "INSERT INTO file_tags (workspace_id, tag, created_at, file_id, folder_id, name_folded, size_bytes, updated_at) \
             SELECT workspace_id, CAST(?2 AS TEXT), created_at, id, folder_id, name_folded, size_bytes, updated_at \
             FROM files WHERE id = ?1",
            &[&id.to_string(), tag],
        )?;
    }
    Ok(())
}

/// Removes a file from these tags.
pub(super) fn delete_tags(tx: &Tx<'_>, file: &File, tags: &[String]) -> Result<(), DbError> {
    if tags.is_empty() {
        return Ok(());
    }
    let mut sql = Sql::default();
    let values: [&dyn Parameter; 3] = [&file.workspace_id.to_string(), &file.created_at, &file.id.to_string()];
    sql.push("DELETE FROM file_tags WHERE workspace_id = ? AND created_at = ? AND file_id = ? AND tag IN (", &values);
    for (index, tag) in pad_to_bucket(tags).enumerate() {
        sql.push(if index == 0 { "?" } else { ", ?" }, &[tag]);
    }
    sql.push(")", &[]);
    let (text, values) = sql.finish();
    tx.execute(text, &values).map(drop)
}
