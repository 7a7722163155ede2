//! Deliveries that are due.

use uuid::Uuid;

use super::row::{Delivery, from_row, select};
use crate::db::sql::builder::prefix_upper_bound;
use crate::db::sql::{DbError, Timestamp, Tx, columns};

/// Workspaces with a due delivery.
pub fn list_due_workspaces(tx: &Tx<'_>) -> Result<Vec<Uuid>, DbError> {
    let sql = "SELECT w.id FROM workspaces w WHERE EXISTS (SELECT 1 FROM deliveries o WHERE o.workspace_id = w.id \
               AND o.dead_at IS NULL AND o.next_attempt_at <= ?1)";
    tx.all(sql, &[&tx.now()?], |row| columns::uuid("workspaces", row, 0))
}

/// The smallest URL greater than `after` to which the workspace has a due delivery.
fn next_due_url(tx: &Tx<'_>, workspace_id: Uuid, after: &str) -> Result<Option<String>, DbError> {
    let sql = "SELECT url FROM deliveries WHERE dead_at IS NULL AND workspace_id = ?1 AND url > ?2 \
               AND next_attempt_at <= ?3 ORDER BY url LIMIT 1";
    tx.optional(sql, &[&workspace_id.to_string(), &after, &tx.now()?], |row| row.get(0))
}

/// Walks round-robin through the URLs to which a workspace has due deliveries, in the order of their texts: from after the URL at
/// which the last walk stopped to the end, then from the beginning to that URL. Each step is one look-up in an index.
#[derive(Debug)]
pub struct DueUrls {
    workspace_id: Uuid,
    start: String,
    last: String,
    has_wrapped: bool,
}

impl DueUrls {
    /// A walk that starts after `start`; empty for the beginning.
    pub fn after(workspace_id: Uuid, start: String) -> Self {
        Self { workspace_id, last: start.clone(), has_wrapped: start.is_empty(), start }
    }

    /// The next URL; `None` at the end of the walk.
    pub fn next(&mut self, tx: &Tx<'_>) -> Result<Option<String>, DbError> {
        let mut next = next_due_url(tx, self.workspace_id, &self.last)?;
        if next.is_none() && !self.has_wrapped {
            self.has_wrapped = true;
            next = next_due_url(tx, self.workspace_id, "")?;
        }
        let is_over = |url: &String| self.has_wrapped && !self.start.is_empty() && *url > self.start;
        let next = next.filter(|url| !is_over(url));
        if let Some(url) = &next {
            self.last.clone_from(url);
        }
        Ok(next)
    }

    /// Skips the other URLs with the scheme, host and port of the last one: they are neighbours in the index.
    pub fn skip_origin(&mut self) {
        let path = self.last.find("://").and_then(|at| Some(at + 3 + self.last[at + 3..].find('/')?));
        if let Some(path) = path {
            self.last = prefix_upper_bound(&self.last[..=path]);
        }
    }

    /// The position for the next walk.
    pub fn into_last(self) -> String {
        self.last
    }
}

/// Earliest send time of a new event: after every waiting event of the same subject and URL.
pub fn not_before(tx: &Tx<'_>, subject_id: Uuid, url: &str) -> Result<Timestamp, DbError> {
    let now = tx.now()?;
    let sql = "SELECT max(next_attempt_at) FROM deliveries WHERE subject_id = ?1 AND url = ?2 AND dead_at IS NULL";
    let waiting = tx.optional(sql, &[&subject_id.to_string(), &url], |row| row.get::<Option<Timestamp>>(0))?.flatten();
    Ok(waiting.map_or(now, |waiting| waiting.max(now)))
}

/// At most `limit` due deliveries of a workspace to a URL, longest due first. Only the first waiting delivery of each subject and
/// receiver is due, so that events of one subject arrive in order.
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

/// Earliest time at which a delivery may be due; `None` if none waits.
pub fn next_due(tx: &Tx<'_>) -> Result<Option<Timestamp>, DbError> {
    let sql = "SELECT next_attempt_at FROM deliveries WHERE dead_at IS NULL ORDER BY next_attempt_at, id LIMIT 1";
    tx.optional(sql, &[], |row| row.get(0))
}

#[cfg(test)]
mod tests {
    use rusqlite::Connection;

    use super::*;
    use crate::db::schema::SCHEMA;

    const URLS: [&str; 4] =
        ["https://a.example/1", "https://a.example/2", "https://a.example:1/", "https://b.example/"];

    /// A database with a due delivery to each of the URLs.
    fn database(workspace_id: Uuid) -> Connection {
        let connection = Connection::open_in_memory().unwrap();
        SCHEMA.versions.clone().for_each(|version| (SCHEMA.to_version)(&Tx::sqlite(&connection), version).unwrap());
        connection.pragma_update(None, "foreign_keys", "OFF").unwrap();
        let sql = "INSERT INTO deliveries (id, event_id, workspace_id, url, event, subject_id, sequence, payload, created_at, \
                   attempts, next_attempt_at) VALUES (?1, ?1, ?2, ?3, 'e', ?1, 1, '{}', 0, 0, 0)";
        for url in URLS {
            connection.execute(sql, [Uuid::new_v4().to_string(), workspace_id.to_string(), url.to_owned()]).unwrap();
        }
        connection
    }

    #[test]
    fn a_walk_from_anywhere_meets_every_url_once() {
        let workspace_id = Uuid::new_v4();
        let connection = database(workspace_id);
        for start in ["", "a", URLS[0], URLS[2], URLS[3], "z"] {
            let mut walk = DueUrls::after(workspace_id, start.to_owned());
            let met: Vec<String> = std::iter::from_fn(|| walk.next(&Tx::sqlite(&connection)).unwrap()).collect();
            let first = URLS.iter().position(|url| *url > start).unwrap_or_default();
            assert_eq!(met, [&URLS[first..], &URLS[..first]].concat(), "after {start:?}");
        }
    }

    #[test]
    fn the_urls_of_one_origin_are_skipped_together() {
        let workspace_id = Uuid::new_v4();
        let connection = database(workspace_id);
        let mut walk = DueUrls::after(workspace_id, String::new());
        assert_eq!(walk.next(&Tx::sqlite(&connection)).unwrap().as_deref(), Some(URLS[0]));
        walk.skip_origin();
        assert_eq!(walk.next(&Tx::sqlite(&connection)).unwrap().as_deref(), Some(URLS[2]));
        assert_eq!(walk.into_last(), URLS[2]);
    }
}
