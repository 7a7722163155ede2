//! The outbox: events that are still to be delivered to webhooks. Its table is `deliveries`; serving a file is a delivery, too, and is in
//! `files/delivery.rs`.
//!
//! Invariant: a row is inserted in the transaction of its event. It is deleted when its receiver has confirmed it; or, after it was
//! given up, when enough younger ones or enough time have followed. Rows of one subject for one receiver become due one after the
//! other, in the order of their sequence numbers.

mod bounds;
mod due;
mod row;
mod state;

use uuid::Uuid;

pub use self::bounds::{
    ReceiverId, any_dead_before, forget_dead_before, forget_dead_excess, forgotten_of_uploads, give_up_excess,
    list_crowded, list_with_many_dead,
};
pub use self::due::{DueUrls, list_due, list_due_workspaces, next_due, not_before};
pub use self::row::Delivery;
use self::row::TABLE;
pub use self::state::{WebhookState, list_dead, states_by_webhook};
use crate::db::sql::{DbError, Tx};

/// The next number of an event of the workspace, which must be locked.
pub fn next_sequence(tx: &Tx<'_>, workspace_id: Uuid) -> Result<i64, DbError> {
    let sql = "UPDATE workspaces SET event_sequence = event_sequence + 1 WHERE id = ?1 RETURNING event_sequence";
    let number = tx.optional(sql, &[&workspace_id.to_string()], |row| row.get(0))?;
    number.ok_or_else(|| DbError::Corrupt { table: TABLE, problem: format!("workspace {workspace_id} is gone") })
}

/// Adds an event for one receiver.
pub fn insert(tx: &Tx<'_>, delivery: &Delivery) -> Result<(), DbError> {
    tx.execute(
        "INSERT INTO deliveries (id, event_id, workspace_id, webhook_id, url, event, subject_id, sequence, payload, \
         created_at, attempts, next_attempt_at, api_key_id) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13)",
        &[
            &delivery.id.to_string(),
            &delivery.event_id.to_string(),
            &delivery.workspace_id.to_string(),
            &delivery.webhook_id.map(|id| id.to_string()),
            &delivery.url,
            &delivery.event,
            &delivery.subject_id.to_string(),
            &delivery.sequence,
            &delivery.payload,
            &delivery.created_at,
            &delivery.attempts,
            &delivery.next_attempt_at,
            &delivery.api_key_id.map(|id| id.to_string()),
        ],
    )?;
    Ok(())
}

/// Deletes a delivery that its receiver has confirmed.
pub fn delete(tx: &Tx<'_>, id: Uuid) -> Result<(), DbError> {
    tx.execute("DELETE FROM deliveries WHERE id = ?1", &[&id.to_string()]).map(drop)
}

/// Records a failed attempt. The delivery is sent again in `pause_seconds`, or given up (`None`) and kept for a replay. Later events
/// of the same subject and URL wait as long.
pub fn put_off(tx: &Tx<'_>, delivery: &Delivery, error: &str, pause_seconds: Option<u64>) -> Result<(), DbError> {
    let (id, now) = (delivery.id, tx.now()?);
    if let Some(pause_seconds) = pause_seconds {
        tx.execute(
            "UPDATE deliveries SET next_attempt_at = ?4 \
             WHERE subject_id = ?1 AND url = ?2 AND dead_at IS NULL AND sequence > ?3 AND next_attempt_at < ?4",
            &[&delivery.subject_id.to_string(), &delivery.url, &delivery.sequence, &now.plus_seconds(pause_seconds)],
        )?;
    }
    tx.execute(
        "UPDATE deliveries SET attempts = attempts + 1, last_error = ?2, next_attempt_at = ?3, dead_at = ?4 \
         WHERE id = ?1 AND dead_at IS NULL",
        &[
            &id.to_string(),
            &error,
            &now.plus_seconds(pause_seconds.unwrap_or_default()),
            &if pause_seconds.is_none() { Some(now) } else { None },
        ],
    )?;
    Ok(())
}

/// Makes given-up deliveries due again: those of a delivery, event or webhook id, or all. Returns their number.
pub fn replay(tx: &Tx<'_>, id: Option<Uuid>) -> Result<usize, DbError> {
    let now = tx.now()?;
    match id {
        Some(id) => tx.execute(
            "UPDATE deliveries SET dead_at = NULL, attempts = 0, next_attempt_at = ?2 \
             WHERE dead_at IS NOT NULL AND (id = ?1 OR event_id = ?1 OR webhook_id = ?1)",
            &[&id.to_string(), &now],
        ),
        None => tx.execute(
            "UPDATE deliveries SET dead_at = NULL, attempts = 0, next_attempt_at = ?1 WHERE dead_at IS NOT NULL",
            &[&now],
        ),
    }
}
