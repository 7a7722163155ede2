//! State of the outbox, for people.

use uuid::Uuid;

use super::row::{Delivery, TABLE, from_row, select};
use crate::db::sql::{DbError, Tx, columns};

/// Deliveries that were given up, oldest first.
pub fn list_dead(tx: &Tx<'_>) -> Result<Vec<Delivery>, DbError> {
    tx.all(select!("WHERE o.dead_at IS NOT NULL ORDER BY o.created_at, o.id"), &[], from_row)
}

/// Deliveries of a webhook, counted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WebhookState {
    /// The webhook; `None` for URLs that came with uploads.
    pub webhook_id: Option<Uuid>,
    /// Number of waiting events.
    pub waiting: u64,
    /// Number of events that were given up.
    pub dead: u64,
    /// Reason of the last failed attempt of the youngest event that has one.
    pub last_error: Option<String>,
}

impl WebhookState {
    /// The state of a webhook without deliveries.
    pub fn quiet(webhook_id: Option<Uuid>) -> Self {
        Self { webhook_id, waiting: 0, dead: 0, last_error: None }
    }
}

/// The states of all webhooks that have deliveries.
pub fn states_by_webhook(tx: &Tx<'_>) -> Result<Vec<WebhookState>, DbError> {
    tx.all(
        "SELECT webhook_id, CAST(sum(CASE WHEN dead_at IS NULL THEN 1 ELSE 0 END) AS BIGINT), \
         CAST(sum(CASE WHEN dead_at IS NULL THEN 0 ELSE 1 END) AS BIGINT), max(CASE WHEN rank = 1 THEN last_error END) \
         FROM (SELECT webhook_id, dead_at, last_error, row_number() OVER (PARTITION BY webhook_id \
         ORDER BY CASE WHEN last_error IS NULL THEN 1 ELSE 0 END, created_at DESC, id DESC) AS rank FROM deliveries) AS ranked \
         GROUP BY webhook_id",
        &[],
        |row| {
            let webhook_id = columns::optional_uuid(TABLE, row, 0)?;
            let (waiting, dead) = (columns::size(TABLE, row, 1)?, columns::size(TABLE, row, 2)?);
            Ok(WebhookState { webhook_id, waiting, dead, last_error: row.get(3)? })
        },
    )
}
