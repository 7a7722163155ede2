//! Translates queries and migrations for PostgreSQL by replacing words. They are written once, as SQLite takes them, in the part of
//! SQL that both engines share.
//!
//! Invariant: no SQL string literal contains a replaced word (`tests/api/sql_texts.rs` checks that).
//!
//! | as written | for PostgreSQL | |
//! |---|---|---|
//! | `?1` | `$1` | parameters |
//! | `/*FOR UPDATE*/` and the like | `FOR UPDATE` | row locks: SQLite has one writer and needs none |
//! | `BLOB` | `BYTEA` | |
//! | `TEXT` | `TEXT COLLATE "C"` | sorted and compared by bytes, as SQLite does |
//! | `WITHOUT ROWID` | | |

/// Translates a query.
pub(in crate::db) fn query(sql: &str) -> String {
    let mut text = String::with_capacity(sql.len() + 8);
    let mut rest = sql;
    while let Some(at) = rest.find(['?', '/']) {
        let (before, found) = rest.split_at(at);
        text.push_str(before);
        let lock = found.strip_prefix("/*").and_then(|found| found.split_once("*/"));
        rest = match lock {
            Some((lock, after)) => {
                text.push_str(lock);
                after
            }
            None => {
                text.push(if found.starts_with('?') { '$' } else { '/' });
                &found[1..]
            }
        };
    }
    text.push_str(rest);
    text
}

/// Translates a migration. Only words in capitals are replaced, so that comments stay as they are.
pub(in crate::db) fn schema(sql: &str) -> String {
    sql.replace(" WITHOUT ROWID", "").replace(" BLOB", " BYTEA").replace(" TEXT", " TEXT COLLATE \"C\"")
}

#[cfg(test)]
mod tests {
    #[test]
    fn queries_are_translated_by_word() {
        let sql = "SELECT a / 2 FROM t WHERE b = ?1 AND c = ?12 /*FOR NO KEY UPDATE*/";
        assert_eq!(super::query(sql), "SELECT a / 2 FROM t WHERE b = $1 AND c = $12 FOR NO KEY UPDATE");
        let sql = "CREATE TABLE t (a TEXT NOT NULL, b BLOB) WITHOUT ROWID;";
        assert_eq!(super::schema(sql), "CREATE TABLE t (a TEXT COLLATE \"C\" NOT NULL, b BYTEA);");
    }
}
