//! Totals over all workspaces, for metrics.
//!
//! Invariant: no query reads more than `MAX_COUNTED` rows of a table that grows with files or events; contents of workspaces are sums of
//! their counters.

use uuid::Uuid;

use super::usage::Amount;
use crate::db::sql::{DbError, Tx};

/// Rows of garbage, and of the outbox, that are counted at most.
const MAX_COUNTED: u32 = 100_000;

/// Totals of all workspaces.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Totals {
    /// Number of workspaces.
    pub workspaces: i64,
    /// Files.
    pub files: Amount,
    /// Open sessions, each with the full size of its file.
    pub sessions: Amount,
    /// Blobs of the garbage table, at most `MAX_COUNTED`.
    pub garbage: Amount,
    /// Waiting events, at most `MAX_COUNTED`.
    pub waiting_events: i64,
    /// The oldest of those counted, in Unix seconds: the counted ones are those whose next attempt is first.
    pub oldest_event: Option<i64>,
    /// Events that were given up, at most `MAX_COUNTED`.
    pub dead_events: i64,
}

/// The cheapest query, which shows that the database answers.
pub fn ping(tx: &Tx<'_>) -> Result<(), DbError> {
    tx.exists("SELECT 1 FROM installation LIMIT 1", &[]).map(drop)
}

/// The totals now.
pub fn find(tx: &Tx<'_>) -> Result<Totals, DbError> {
    let sql = "SELECT count(*), CAST(coalesce(sum(files_count), 0) AS BIGINT), CAST(coalesce(sum(files_bytes), 0) AS BIGINT), \
               CAST(coalesce(sum(sessions_count), 0) AS BIGINT), CAST(coalesce(sum(sessions_bytes), 0) AS BIGINT) FROM workspaces";
    let contents =
        tx.optional(sql, &[], |row| Ok((row.get(0)?, Amount::from_row(row, 1)?, Amount::from_row(row, 3)?)))?;
    let (workspaces, files, sessions) = contents.unwrap_or_default();
    let sql = "SELECT count(*), CAST(coalesce(sum(size_bytes), 0) AS BIGINT) FROM (SELECT size_bytes FROM garbage LIMIT ?1) AS counted";
    let garbage = tx.optional(sql, &[&MAX_COUNTED], |row| Amount::from_row(row, 0))?.unwrap_or_default();
    let sql = "SELECT count(*), min(id) FROM (SELECT id FROM deliveries WHERE dead_at IS NULL ORDER BY next_attempt_at, id LIMIT ?1) AS counted";
    let waiting = tx.optional(sql, &[&MAX_COUNTED], |row| Ok((row.get(0)?, row.get::<Option<String>>(1)?)))?;
    let (waiting_events, oldest) = waiting.unwrap_or_default();
    let sql = "SELECT count(*) FROM (SELECT id FROM deliveries WHERE dead_at IS NOT NULL LIMIT ?1) AS counted";
    let dead_events = tx.optional(sql, &[&MAX_COUNTED], |row| row.get(0))?.unwrap_or_default();
    Ok(Totals {
        workspaces,
        files,
        sessions,
        garbage,
        waiting_events,
        oldest_event: oldest.as_deref().and_then(made_at),
        dead_events,
    })
}

/// The time at which an id was made, in Unix seconds: version 7 begins with it, so no index of the times is needed.
fn made_at(id: &str) -> Option<i64> {
    let (seconds, _) = Uuid::try_parse(id).ok()?.get_timestamp()?.to_unix();
    i64::try_from(seconds).ok()
}
