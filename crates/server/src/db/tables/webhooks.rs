//! Webhooks: URLs that get the events of a workspace.

use uuid::Uuid;

use super::workspaces;
use crate::db::sql::Row;
use crate::db::sql::{DbError, Timestamp, Tx, columns};

const TABLE: &str = "webhooks";

/// A subscription to the events of a workspace.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Webhook {
    /// Its id.
    pub id: Uuid,
    /// The workspace of the events.
    pub workspace_id: Uuid,
    /// URL of the receiver.
    pub url: String,
    /// Names of the events that it gets.
    pub events: Vec<String>,
    /// When it was created.
    pub created_at: Timestamp,
    /// Number of events that were deleted undelivered, because they exceeded the bound of the workspace.
    pub events_forgotten: u64,
}

macro_rules! select {
    ($rest:literal) => {
        concat!("SELECT id, workspace_id, url, events, created_at, events_forgotten FROM webhooks ", $rest)
    };
}

fn from_row(row: &Row<'_>) -> Result<Webhook, DbError> {
    Ok(Webhook {
        id: columns::uuid(TABLE, row, 0)?,
        workspace_id: columns::uuid(TABLE, row, 1)?,
        url: row.get(2)?,
        events: columns::json(TABLE, row, 3)?,
        created_at: row.get(4)?,
        events_forgotten: columns::size(TABLE, row, 5)?,
    })
}

/// Adds a webhook.
pub fn insert(tx: &Tx<'_>, webhook: &Webhook) -> Result<(), DbError> {
    tx.execute(
        "INSERT INTO webhooks (id, workspace_id, url, events, created_at) VALUES (?1, ?2, ?3, ?4, ?5)",
        &[
            &webhook.id.to_string(),
            &webhook.workspace_id.to_string(),
            &webhook.url,
            &columns::to_json(TABLE, &webhook.events)?,
            &webhook.created_at,
        ],
    )?;
    Ok(())
}

/// The webhooks of a workspace, oldest first.
pub fn list(tx: &Tx<'_>, workspace_id: Uuid) -> Result<Vec<Webhook>, DbError> {
    tx.all(select!("WHERE workspace_id = ?1 ORDER BY created_at, id"), &[&workspace_id.to_string()], from_row)
}

/// All webhooks, oldest first.
pub fn list_all(tx: &Tx<'_>) -> Result<Vec<Webhook>, DbError> {
    tx.all(select!("ORDER BY created_at, id"), &[], from_row)
}

/// The webhook with this id.
pub fn find(tx: &Tx<'_>, id: Uuid) -> Result<Option<Webhook>, DbError> {
    tx.optional(select!("WHERE id = ?1"), &[&id.to_string()], from_row)
}

/// Removes a webhook and its deliveries. False when there is none.
pub fn delete(tx: &Tx<'_>, id: Uuid) -> Result<bool, DbError> {
    let Some(webhook) = find(tx, id)? else { return Ok(false) };
    // Keeps other transactions from adding deliveries for it.
    workspaces::lock(tx, webhook.workspace_id)?;
    tx.execute("DELETE FROM deliveries WHERE webhook_id = ?1", &[&id.to_string()])?;
    Ok(tx.execute("DELETE FROM webhooks WHERE id = ?1", &[&id.to_string()])? == 1)
}
