//! The row of a delivery: one event for one receiver.

use uuid::Uuid;

use crate::db::sql::{DbError, Row, Timestamp, columns};

pub(super) const TABLE: &str = "deliveries";

/// An event for one receiver.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Delivery {
    /// Its id.
    pub id: Uuid,
    /// The event, which is the same for all its receivers and for every attempt.
    pub event_id: Uuid,
    /// The workspace in which it happened.
    pub workspace_id: Uuid,
    /// The webhook; `None` if the URL came with the upload.
    pub webhook_id: Option<Uuid>,
    /// The API key of the upload that named the URL; its secret signs the message. `None` for a webhook, and for rows of versions
    /// in which keys had no such secrets: the workspace's secret signs those.
    pub api_key_id: Option<Uuid>,
    /// URL of the receiver.
    pub url: String,
    /// Name of the event.
    pub event: String,
    /// Id of the file or session of the event.
    pub subject_id: Uuid,
    /// Its number among the events of the workspace.
    pub sequence: i64,
    /// Body of the request.
    pub payload: String,
    /// Time of the event.
    pub created_at: Timestamp,
    /// Number of failed attempts.
    pub attempts: u32,
    /// Time of the next attempt.
    pub next_attempt_at: Timestamp,
    /// Time at which it was given up, if it was.
    pub dead_at: Option<Timestamp>,
    /// Reason of the last failed attempt.
    pub last_error: Option<String>,
}

impl Delivery {
    /// Id of the webhook, key or workspace whose secret signs the message.
    pub fn signer_id(&self) -> Uuid {
        self.webhook_id.or(self.api_key_id).unwrap_or(self.workspace_id)
    }
}

macro_rules! select {
    ($rest:literal) => {
        concat!(
            "SELECT o.id, o.event_id, o.workspace_id, o.webhook_id, o.url, o.event, o.subject_id, o.sequence, o.payload, \
             o.created_at, o.attempts, o.next_attempt_at, o.dead_at, o.last_error, o.api_key_id FROM deliveries o ",
            $rest
        )
    };
}
pub(super) use select;

/// Reads a delivery from the columns of `select!`.
pub(super) fn from_row(row: &Row<'_>) -> Result<Delivery, DbError> {
    Ok(Delivery {
        id: columns::uuid(TABLE, row, 0)?,
        event_id: columns::uuid(TABLE, row, 1)?,
        workspace_id: columns::uuid(TABLE, row, 2)?,
        webhook_id: columns::optional_uuid(TABLE, row, 3)?,
        api_key_id: columns::optional_uuid(TABLE, row, 14)?,
        url: row.get(4)?,
        event: row.get(5)?,
        subject_id: columns::uuid(TABLE, row, 6)?,
        sequence: row.get(7)?,
        payload: row.get(8)?,
        created_at: row.get(9)?,
        attempts: row.get(10)?,
        next_attempt_at: row.get(11)?,
        dead_at: row.get(12)?,
        last_error: row.get(13)?,
    })
}
