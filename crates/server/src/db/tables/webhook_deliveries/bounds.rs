//! Bounds of the outbox: how many deliveries wait for a receiver, and how many that were given up are kept.

use uuid::Uuid;

use super::row::TABLE;
use crate::db::sql::builder::Sql;
use crate::db::sql::{DbError, Timestamp, Tx, columns};

/// A receiver of events.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ReceiverId {
    /// The workspace.
    pub workspace_id: Uuid,
    /// One of its webhooks; `None` for URLs that came with uploads.
    pub webhook_id: Option<Uuid>,
    /// The API key of these uploads.
    pub api_key_id: Option<Uuid>,
}

/// Receivers with more than `most` waiting events, and their numbers. Reads the index of all waiting events.
pub fn list_crowded(tx: &Tx<'_>, most: u64) -> Result<Vec<(ReceiverId, u64)>, DbError> {
    tx.all(
        "SELECT workspace_id, webhook_id, api_key_id, count(*) FROM deliveries WHERE dead_at IS NULL \
         GROUP BY workspace_id, webhook_id, api_key_id HAVING count(*) > ?1",
        &[&columns::size_to_sql(most)],
        |row| {
            let id = |column| columns::optional_uuid(TABLE, row, column);
            let receiver =
                ReceiverId { workspace_id: columns::uuid(TABLE, row, 0)?, webhook_id: id(1)?, api_key_id: id(2)? };
            Ok((receiver, columns::size(TABLE, row, 3)?))
        },
    )
}

/// Gives up at most `limit` of the events that wait for a receiver, except the youngest `most`. Returns their number.
pub fn give_up_excess(
    tx: &Tx<'_>,
    receiver: ReceiverId,
    most: u64,
    limit: u32,
    reason: &str,
) -> Result<usize, DbError> {
    let ReceiverId { workspace_id, webhook_id, api_key_id } = receiver;
    let mut sql = Sql::default();
    sql.push("UPDATE deliveries SET dead_at = ?, last_error = coalesce(last_error, ?)", &[&tx.now()?, &reason]).push(
        " WHERE id IN (SELECT id FROM deliveries WHERE dead_at IS NULL AND workspace_id = ?",
        &[&workspace_id.to_string()],
    );
    match webhook_id {
        Some(id) => sql.push(" AND webhook_id = ?", &[&id.to_string()]),
        None => sql.push(" AND webhook_id IS NULL", &[]),
    };
    match api_key_id {
        Some(id) => sql.push(" AND api_key_id = ?", &[&id.to_string()]),
        None => sql.push(" AND api_key_id IS NULL", &[]),
    };
    sql.push(" ORDER BY sequence DESC, id DESC LIMIT ? OFFSET ?)", &[&limit, &columns::size_to_sql(most)]);
    let (text, values) = sql.finish();
    tx.execute(text, &values)
}

/// Workspaces that keep more than `most` given-up events.
pub fn list_with_many_dead(tx: &Tx<'_>, most: u64) -> Result<Vec<Uuid>, DbError> {
    tx.all(
        "SELECT workspace_id FROM deliveries WHERE dead_at IS NOT NULL GROUP BY workspace_id HAVING count(*) > ?1",
        &[&columns::size_to_sql(most)],
        |row| columns::uuid(TABLE, row, 0),
    )
}

/// Given-up events of a workspace except the youngest: `?1` is the workspace, `?2` the number that is kept, `?3` the size of a batch.
macro_rules! dead_excess {
    ($columns:literal) => {
        concat!(
            "(SELECT ",
            $columns,
            " FROM deliveries WHERE dead_at IS NOT NULL AND workspace_id = ?1 \
             ORDER BY sequence DESC, id DESC LIMIT ?3 OFFSET ?2)"
        )
    };
}

/// Deletes at most `limit` of the given-up events of a workspace, except the youngest `most`, and adds their numbers to the counters
/// of their receivers. Returns their number. The workspace must be locked.
pub fn forget_dead_excess(tx: &Tx<'_>, workspace_id: Uuid, most: u64, limit: u32) -> Result<usize, DbError> {
    let (id, most) = (workspace_id.to_string(), columns::size_to_sql(most));
    tx.execute(
        concat!(
            "UPDATE webhooks SET events_forgotten = events_forgotten + (SELECT count(*) FROM ",
            dead_excess!("webhook_id"),
            " d WHERE d.webhook_id = webhooks.id) WHERE workspace_id = ?1"
        ),
        &[&id, &most, &limit],
    )?;
    tx.execute(
        concat!(
            "UPDATE workspaces SET events_forgotten = events_forgotten + (SELECT count(*) FROM ",
            dead_excess!("webhook_id"),
            " d WHERE d.webhook_id IS NULL) WHERE id = ?1"
        ),
        &[&id, &most, &limit],
    )?;
    tx.execute(concat!("DELETE FROM deliveries WHERE id IN ", dead_excess!("id")), &[&id, &most, &limit])
}

/// Number of events for URLs that came with uploads that were deleted undelivered, of all workspaces.
pub fn forgotten_of_uploads(tx: &Tx<'_>) -> Result<u64, DbError> {
    let sql = "SELECT CAST(coalesce(sum(events_forgotten), 0) AS BIGINT) FROM workspaces";
    Ok(tx.optional(sql, &[], |row| columns::size("workspaces", row, 0))?.unwrap_or_default())
}

/// Whether any event was given up before then.
pub fn any_dead_before(tx: &Tx<'_>, until: Timestamp) -> Result<bool, DbError> {
    tx.exists("SELECT 1 FROM deliveries WHERE dead_at IS NOT NULL AND dead_at < ?1 LIMIT 1", &[&until])
}

/// Deletes at most `limit` of the events that were given up before then.
pub fn forget_dead_before(tx: &Tx<'_>, until: Timestamp, limit: u32) -> Result<(), DbError> {
    let sql = "DELETE FROM deliveries WHERE id IN \
               (SELECT id FROM deliveries WHERE dead_at IS NOT NULL AND dead_at < ?1 ORDER BY dead_at LIMIT ?2)";
    tx.execute(sql, &[&until, &limit]).map(drop)
}
