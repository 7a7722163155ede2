//! The outbox: events that somebody is still to be told of.
//!
//! Invariant: a row comes in the transaction of what it tells of, and goes only when its receiver has confirmed it, or when it was
//! given up and so many younger ones, or so much time, have come after it. Rows of one subject for one receiver are due one after the
//! other, in the order of their sequence.

use uuid::Uuid;

use crate::db::sql::Row;
use crate::db::sql::builder::Sql;
use crate::db::sql::{DbError, Timestamp, Tx, columns};

const TABLE: &str = "deliveries";

/// An event for one receiver.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Delivery {
    /// Its id.
    pub id: Uuid,
    /// The event: the same for all its receivers, and for every attempt.
    pub event_id: Uuid,
    /// The workspace in which it happened.
    pub workspace_id: Uuid,
    /// The webhook; none when the URL came with the upload.
    pub webhook_id: Option<Uuid>,
    /// The API key of the upload that named the URL, whose secret signs the message. None for a webhook, and for what was written
    /// before keys had such secrets: the workspace's signs that.
    pub api_key_id: Option<Uuid>,
    /// Where it is sent.
    pub url: String,
    /// Its name.
    pub event: String,
    /// To what it happened.
    pub subject_id: Uuid,
    /// Its number among the events of the workspace.
    pub sequence: i64,
    /// The body.
    pub payload: String,
    /// When it happened.
    pub created_at: Timestamp,
    /// How often it was sent in vain.
    pub attempts: u32,
    /// When it is sent next.
    pub next_attempt_at: Timestamp,
    /// Since when it is not sent any more.
    pub dead_at: Option<Timestamp>,
    /// Why it was last sent in vain.
    pub last_error: Option<String>,
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

fn from_row(row: &Row<'_>) -> Result<Delivery, DbError> {
    let optional_uuid =
        |column| row.get::<Option<String>>(column)?.map(|_| columns::uuid(TABLE, row, column)).transpose();
    Ok(Delivery {
        id: columns::uuid(TABLE, row, 0)?,
        event_id: columns::uuid(TABLE, row, 1)?,
        workspace_id: columns::uuid(TABLE, row, 2)?,
        webhook_id: optional_uuid(3)?,
        api_key_id: optional_uuid(14)?,
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

impl Delivery {
    /// Whose secret signs the message.
    pub fn signer_id(&self) -> Uuid {
        self.webhook_id.or(self.api_key_id).unwrap_or(self.workspace_id)
    }
}

/// The workspaces in which something is due.
pub fn list_due_workspaces(tx: &Tx<'_>) -> Result<Vec<Uuid>, DbError> {
    let sql = "SELECT w.id FROM workspaces w WHERE EXISTS (SELECT 1 FROM deliveries o WHERE o.workspace_id = w.id \
               AND o.dead_at IS NULL AND o.next_attempt_at <= ?1)";
    tx.all(sql, &[&tx.now()?], |row| columns::uuid("workspaces", row, 0))
}

/// The next URL of the workspace in the order of their texts, behind `after`, to which something is due.
pub fn next_due_url(tx: &Tx<'_>, workspace_id: Uuid, after: &str) -> Result<Option<String>, DbError> {
    let sql = "SELECT url FROM deliveries WHERE dead_at IS NULL AND workspace_id = ?1 AND url > ?2 \
               AND next_attempt_at <= ?3 ORDER BY url LIMIT 1";
    tx.optional(sql, &[&workspace_id.to_string(), &after, &tx.now()?], |row| row.get(0))
}

/// When what comes next of a subject for a receiver can be sent at the earliest: not before what waits already.
pub fn not_before(tx: &Tx<'_>, subject_id: Uuid, url: &str) -> Result<Timestamp, DbError> {
    let now = tx.now()?;
    let sql = "SELECT max(next_attempt_at) FROM deliveries WHERE subject_id = ?1 AND url = ?2 AND dead_at IS NULL";
    let waiting = tx.optional(sql, &[&subject_id.to_string(), &url], |row| row.get::<Option<Timestamp>>(0))?.flatten();
    Ok(waiting.map_or(now, |waiting| waiting.max(now)))
}

/// At most `limit` deliveries of a workspace to a URL that are due, the longest due first: of each subject and receiver only
/// the first.
pub fn list_due(tx: &Tx<'_>, workspace_id: Uuid, url: &str, limit: u32) -> Result<Vec<Delivery>, DbError> {
    tx.all(
        select!(
            "WHERE o.dead_at IS NULL AND o.workspace_id = ?4 AND o.url = ?3 AND o.next_attempt_at <= ?1 \
             AND NOT EXISTS (SELECT 1 FROM deliveries b WHERE b.subject_id = o.subject_id AND b.url = o.url AND b.dead_at IS NULL AND b.sequence < o.sequence \
             AND coalesce(b.webhook_id, '') = coalesce(o.webhook_id, '')) \
             ORDER BY o.next_attempt_at, o.id LIMIT ?2"
        ),
        &[&tx.now()?, &limit, &url, &workspace_id.to_string()],
        from_row,
    )
}

/// When the next delivery may be due; none when nothing waits.
pub fn next_due(tx: &Tx<'_>) -> Result<Option<Timestamp>, DbError> {
    let sql = "SELECT next_attempt_at FROM deliveries WHERE dead_at IS NULL ORDER BY next_attempt_at, id LIMIT 1";
    tx.optional(sql, &[], |row| row.get(0))
}

/// The receiver has it.
pub fn delete(tx: &Tx<'_>, id: Uuid) -> Result<(), DbError> {
    tx.execute("DELETE FROM deliveries WHERE id = ?1", &[&id.to_string()]).map(drop)
}

/// It was sent in vain, and is sent again in `pause_seconds`, or never: then it is kept to be replayed. What waits behind it
/// waits as long.
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

/// Whom events wait for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ReceiverId {
    /// The workspace.
    pub workspace_id: Uuid,
    /// One of its webhooks; none for URLs that came with uploads.
    pub webhook_id: Option<Uuid>,
    /// The key of these uploads.
    pub api_key_id: Option<Uuid>,
}

/// Receivers for which more than `most` events wait, and how many do. Reads an index of all that wait.
pub fn list_crowded(tx: &Tx<'_>, most: u64) -> Result<Vec<(ReceiverId, u64)>, DbError> {
    tx.all(
        "SELECT workspace_id, webhook_id, api_key_id, count(*) FROM deliveries WHERE dead_at IS NULL \
         GROUP BY workspace_id, webhook_id, api_key_id HAVING count(*) > ?1",
        &[&columns::size_to_sql(most)],
        |row| {
            let id = |column| row.get::<Option<String>>(column)?.map(|_| columns::uuid(TABLE, row, column)).transpose();
            let receiver =
                ReceiverId { workspace_id: columns::uuid(TABLE, row, 0)?, webhook_id: id(1)?, api_key_id: id(2)? };
            Ok((receiver, columns::size(TABLE, row, 3)?))
        },
    )
}

/// Gives up at most `limit` of the events that wait for a receiver behind its youngest `most`. How many these are.
pub fn give_up_behind(
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

/// Workspaces that keep more than `most` of the events that were given up.
pub fn list_with_many_dead(tx: &Tx<'_>, most: u64) -> Result<Vec<Uuid>, DbError> {
    tx.all(
        "SELECT workspace_id FROM deliveries WHERE dead_at IS NOT NULL GROUP BY workspace_id HAVING count(*) > ?1",
        &[&columns::size_to_sql(most)],
        |row| columns::uuid(TABLE, row, 0),
    )
}

/// The ids of the events that a workspace has given up, behind the youngest of them: `?1` is the workspace, `?2` how many there may be,
/// `?3` how many are taken at once.
macro_rules! dead_behind {
    ($columns:literal) => {
        concat!(
            "(SELECT ",
            $columns,
            " FROM deliveries WHERE dead_at IS NOT NULL AND workspace_id = ?1 \
             ORDER BY sequence DESC, id DESC LIMIT ?3 OFFSET ?2)"
        )
    };
}

/// Forgets at most `limit` of the events that a workspace has given up, behind the youngest `most` of these, and counts them where they
/// were to go. How many these are. The workspace must be locked.
pub fn forget_dead_behind(tx: &Tx<'_>, workspace_id: Uuid, most: u64, limit: u32) -> Result<usize, DbError> {
    let (id, most) = (workspace_id.to_string(), columns::size_to_sql(most));
    tx.execute(
        concat!(
            "UPDATE webhooks SET events_forgotten = events_forgotten + (SELECT count(*) FROM ",
            dead_behind!("webhook_id"),
            " d WHERE d.webhook_id = webhooks.id) WHERE workspace_id = ?1"
        ),
        &[&id, &most, &limit],
    )?;
    tx.execute(
        concat!(
            "UPDATE workspaces SET events_forgotten = events_forgotten + (SELECT count(*) FROM ",
            dead_behind!("webhook_id"),
            " d WHERE d.webhook_id IS NULL) WHERE id = ?1"
        ),
        &[&id, &most, &limit],
    )?;
    tx.execute(concat!("DELETE FROM deliveries WHERE id IN ", dead_behind!("id")), &[&id, &most, &limit])
}

/// Events for URLs that came with uploads that were forgotten untold, of all workspaces.
pub fn forgotten_of_uploads(tx: &Tx<'_>) -> Result<u64, DbError> {
    let sql = "SELECT CAST(coalesce(sum(events_forgotten), 0) AS BIGINT) FROM workspaces";
    Ok(tx.optional(sql, &[], |row| columns::size("workspaces", row, 0))?.unwrap_or_default())
}

/// Whether anything was given up before then.
pub fn any_dead_before(tx: &Tx<'_>, until: Timestamp) -> Result<bool, DbError> {
    tx.exists("SELECT 1 FROM deliveries WHERE dead_at IS NOT NULL AND dead_at < ?1 LIMIT 1", &[&until])
}

/// Forgets at most `limit` of those that were given up before then.
pub fn forget_dead_before(tx: &Tx<'_>, until: Timestamp, limit: u32) -> Result<(), DbError> {
    let sql = "DELETE FROM deliveries WHERE id IN \
               (SELECT id FROM deliveries WHERE dead_at IS NOT NULL AND dead_at < ?1 ORDER BY dead_at LIMIT ?2)";
    tx.execute(sql, &[&until, &limit]).map(drop)
}

/// What was given up, the oldest first.
pub fn list_dead(tx: &Tx<'_>) -> Result<Vec<Delivery>, DbError> {
    tx.all(select!("WHERE o.dead_at IS NOT NULL ORDER BY o.created_at, o.id"), &[], from_row)
}

/// How it is with what a webhook is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WebhookState {
    /// The webhook; none for the URLs that come with uploads.
    pub webhook_id: Option<Uuid>,
    /// How many events wait.
    pub waiting: u64,
    /// How many were given up.
    pub dead: u64,
    /// Why one of them was sent in vain: the youngest of those that were.
    pub last_error: Option<String>,
}

impl WebhookState {
    /// Nothing waits.
    pub fn quiet(webhook_id: Option<Uuid>) -> Self {
        Self { webhook_id, waiting: 0, dead: 0, last_error: None }
    }
}

/// How it is with each webhook for which anything is kept.
pub fn states_by_webhook(tx: &Tx<'_>) -> Result<Vec<WebhookState>, DbError> {
    tx.all(
        "SELECT webhook_id, CAST(sum(CASE WHEN dead_at IS NULL THEN 1 ELSE 0 END) AS BIGINT), \
         CAST(sum(CASE WHEN dead_at IS NULL THEN 0 ELSE 1 END) AS BIGINT), max(CASE WHEN rank = 1 THEN last_error END) \
         FROM (SELECT webhook_id, dead_at, last_error, row_number() OVER (PARTITION BY webhook_id \
         ORDER BY CASE WHEN last_error IS NULL THEN 1 ELSE 0 END, created_at DESC, id DESC) AS rank FROM deliveries) AS ranked \
         GROUP BY webhook_id",
        &[],
        |row| {
            let webhook_id = row.get::<Option<String>>(0)?.map(|_| columns::uuid(TABLE, row, 0)).transpose()?;
            let (waiting, dead) = (columns::size(TABLE, row, 1)?, columns::size(TABLE, row, 2)?);
            Ok(WebhookState { webhook_id, waiting, dead, last_error: row.get(3)? })
        },
    )
}

/// Has what was given up sent again: one delivery, or all of a webhook, or all. Tells how many.
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
