//! Copies all records from one database to an empty one, and compares them.
//!
//! Invariant: the target has all records or none, because one transaction copies and compares them.

use std::path::Path;

use rusqlite::{Connection, OpenFlags};

use super::migrate;
use crate::db::sql::{DbError, Parameter, Row, Tx, Value};

/// Rows copied or compared at once.
const PAGE_ROWS: u32 = 1000;

/// A table, and the statements that its columns give.
#[derive(Debug)]
pub struct Table {
    /// Its name.
    pub name: &'static str,
    columns: usize,
    /// Number of the first columns that are the key.
    key_columns: usize,
    first: &'static str,
    next: &'static str,
    insert: &'static str,
}

/// `name (key columns; further columns) values next`
macro_rules! table {
    ($name:literal, ($($key:literal),+; $($column:literal),*), $after:literal, $limit:literal, $values:literal) => {
        Table {
            name: $name,
            columns: [$($key,)+ $($column),*].len(),
            key_columns: [$($key),+].len(),
            first: concat!("SELECT ", table!(@list $($key),+ $(, $column)*), " FROM ", $name, " ORDER BY ", table!(@list $($key),+), " LIMIT ?1"),
            next: concat!("SELECT ", table!(@list $($key),+ $(, $column)*), " FROM ", $name, " WHERE ", $after, " ORDER BY ", table!(@list $($key),+), " LIMIT ", $limit),
            insert: concat!("INSERT INTO ", $name, " (", table!(@list $($key),+ $(, $column)*), ") VALUES (", $values, ")"),
        }
    };
    (@list $first:literal $(, $rest:literal)*) => { concat!($first $(, ", ", $rest)*) };
}

/// All tables. A table comes after those that it refers to.
pub const TABLES: [Table; 15] = [
    table!("workspaces", ("id"; "workspace_no", "name", "created_at", "files_count", "files_bytes", "sessions_count", "sessions_bytes", "storage_limit_bytes", "max_file_bytes", "max_open_sessions", "requests_per_second", "event_sequence", "folders_count", "events_forgotten"),
        "id > ?1", "?2", "?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15"),
    table!("api_keys", ("id"; "workspace_id", "kind", "key_sha256", "created_at", "revoked_at", "may_replace", "may_name_webhooks", "random_prefix", "sessions_count", "sessions_bytes", "keeps_sessions"),
        "id > ?1", "?2", "?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12"),
    table!("secrets", ("name"; "value", "previous_value", "rotated_at", "previous_until"), "name > ?1", "?2", "?1, ?2, ?3, ?4, ?5"),
    table!("installation", ("name"; "value"), "name > ?1", "?2", "?1, ?2"),
    // By path, so that a folder comes after its parent.
    table!("folders", ("workspace_id", "path"; "id", "folder_no", "parent_id", "name", "created_at", "updated_at", "files_count", "files_bytes", "name_folded", "deleted_at", "public_key_id"),
        "(workspace_id, path) > (?1, ?2)", "?3", "?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13"),
    table!("files", ("id"; "file_no", "workspace_id", "folder_id", "name", "name_folded", "declared_type", "origin_id", "blob_id", "size_bytes", "mime_type", "format", "width", "height", "hash", "tags", "metadata", "custom_id", "upload_source", "is_duplicate", "created_at", "updated_at", "storage", "entity_tag", "api_key_id", "charset", "content_encoding"),
        "id > ?1", "?2", "?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18, ?19, ?20, ?21, ?22, ?23, ?24, ?25, ?26, ?27"),
    table!("file_tags", ("workspace_id", "tag", "created_at", "file_id"; "folder_id", "name_folded", "size_bytes", "updated_at"),
        "(workspace_id, tag, created_at, file_id) > (?1, ?2, ?3, ?4)", "?5", "?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8"),
    table!("sessions", ("id"; "workspace_id", "api_key_id", "status", "file_id", "blob_id", "file_name", "folder", "size_bytes", "part_size_bytes", "mime_type", "tags", "metadata", "custom_id", "created_at", "expires_at", "trusted_boot_id", "completed_file", "declared_hash", "storage", "store_upload_id", "claimed_by", "claimed_until", "webhook_url", "ended_at", "complete_hash", "ttl_seconds", "renewed_from"),
        "id > ?1", "?2", "?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18, ?19, ?20, ?21, ?22, ?23, ?24, ?25, ?26, ?27, ?28"),
    table!("parts", ("session_id", "part_index"; "subtrees"), "(session_id, part_index) > (?1, ?2)", "?3", "?1, ?2, ?3"),
    table!("ended_sessions", ("session_id"; ), "session_id > ?1", "?2", "?1"),
    table!("garbage", ("blob_id"; "reason", "size_bytes", "created_at", "workspace_id", "storage", "not_before"),
        "blob_id > ?1", "?2", "?1, ?2, ?3, ?4, ?5, ?6, ?7"),
    table!("idempotency_keys", ("api_key_id", "idempotency_key"; "request_sha256", "session_id", "created_at"),
        "(api_key_id, idempotency_key) > (?1, ?2)", "?3", "?1, ?2, ?3, ?4, ?5"),
    table!("webhooks", ("id"; "workspace_id", "url", "events", "created_at", "events_forgotten"), "id > ?1", "?2", "?1, ?2, ?3, ?4, ?5, ?6"),
    table!("deliveries", ("id"; "event_id", "workspace_id", "webhook_id", "url", "event", "subject_id", "sequence", "payload", "created_at", "attempts", "next_attempt_at", "dead_at", "last_error", "api_key_id"),
        "id > ?1", "?2", "?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15"),
    table!("leases", ("name"; "holder", "expires_at"), "name > ?1", "?2", "?1, ?2, ?3"),
];

pub(super) fn table_names() -> Vec<&'static str> {
    TABLES.iter().map(|table| table.name).collect()
}

/// Contents of one table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Content {
    /// The table.
    pub table: &'static str,
    /// Its rows.
    pub rows: u64,
    /// BLAKE3 over all values in the order of the keys.
    pub checksum: String,
}

/// Copies the records of an SQLite file into an empty database and compares them; into one that has exactly these records
/// nothing is copied. `copied` is called with table and rows after every page.
pub(in crate::db) fn copy_file(
    file: &Path,
    to: &Tx<'_>,
    copied: &dyn Fn(&'static str, usize),
) -> Result<Vec<Content>, DbError> {
    let connection = Connection::open_with_flags(file, OpenFlags::SQLITE_OPEN_READ_ONLY)?;
    let from = Tx::sqlite(&connection);
    migrate::check(&from)?;
    // The transaction is idle while the file is read.
    to.without_timeouts()?;
    let is_empty = is_empty(to)?;
    if is_empty {
        copy_all(&from, to, copied)?;
    }
    let (wanted, there) = (contents(&from)?, contents(to)?);
    match wanted.iter().zip(&there).find(|(wanted, there)| wanted != there) {
        None => Ok(there),
        Some((wanted, _)) if is_empty => {
            Err(DbError::Corrupt { table: wanted.table, problem: "the copy differs from the original".to_owned() })
        }
        Some(_) => Err(DbError::NotEmpty),
    }
}

/// Copies all tables. `copied` is called after every page.
///
/// # Errors
/// When a row cannot be read or written.
pub fn copy_all(from: &Tx<'_>, to: &Tx<'_>, copied: &dyn Fn(&'static str, usize)) -> Result<(), DbError> {
    for table in &TABLES {
        each_page(from, table, |rows| {
            for row in rows {
                let values: Vec<&dyn Parameter> = row.iter().map(|value| value as &dyn Parameter).collect();
                to.execute(table.insert, &values)?;
            }
            copied(table.name, rows.len());
            Ok(())
        })?;
    }
    Ok(())
}

/// Counts and checksums of all tables.
///
/// # Errors
/// When a row cannot be read.
pub fn contents(tx: &Tx<'_>) -> Result<Vec<Content>, DbError> {
    let content = |table: &Table| {
        let (mut rows, mut hasher) = (0, blake3::Hasher::new());
        each_page(tx, table, |page| {
            rows += page.len() as u64;
            page.iter().flatten().for_each(|value| add(&mut hasher, value));
            Ok(())
        })?;
        Ok(Content { table: table.name, rows, checksum: hasher.finalize().to_hex().to_string() })
    };
    TABLES.iter().map(content).collect()
}

/// Whether the database has no records.
///
/// # Errors
/// When it cannot be read.
pub fn is_empty(tx: &Tx<'_>) -> Result<bool, DbError> {
    Ok(!tx.exists("SELECT 1 FROM workspaces LIMIT 1", &[])? && !tx.exists("SELECT 1 FROM secrets LIMIT 1", &[])?)
}

fn each_page(
    tx: &Tx<'_>,
    table: &Table,
    mut page: impl FnMut(&[Vec<Value<'static>>]) -> Result<(), DbError>,
) -> Result<(), DbError> {
    let read = |row: &Row<'_>| -> Result<Vec<Value<'static>>, DbError> {
        (0..table.columns).map(|column| Ok(row.value(column)?.into_owned())).collect()
    };
    let mut rows = tx.all(table.first, &[&PAGE_ROWS], read)?;
    while !rows.is_empty() {
        page(&rows)?;
        let last = rows.last().map(|row| row[..table.key_columns].to_vec()).unwrap_or_default();
        let mut parameters: Vec<&dyn Parameter> = last.iter().map(|value| value as &dyn Parameter).collect();
        parameters.push(&PAGE_ROWS);
        rows = tx.all(table.next, &parameters, read)?;
    }
    Ok(())
}

/// Adds a value with its kind and length, so that different rows give different bytes. A boolean counts as an integer, because SQLite
/// has none.
fn add(hasher: &mut blake3::Hasher, value: &Value<'_>) {
    let (kind, bytes): (u8, &[u8]) = match value {
        Value::Null => (0, &[]),
        Value::Integer(number) => (1, &number.to_le_bytes()),
        Value::Boolean(is) => (1, &i64::from(*is).to_le_bytes()),
        Value::Text(text) => (2, text.as_bytes()),
        Value::Blob(bytes) => (3, bytes),
    };
    hasher.update(&[kind]).update(&(bytes.len() as u64).to_le_bytes()).update(bytes);
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use super::{Connection, TABLES, Table, Tx};
    use crate::db::schema::migrate;

    fn newest() -> Connection {
        let connection = Connection::open_in_memory().unwrap();
        migrate::VERSIONS.for_each(|version| migrate::to_version(&Tx::sqlite(&connection), version).unwrap());
        connection
    }

    fn texts(connection: &Connection, sql: &str) -> Vec<String> {
        let mut statement = connection.prepare(sql).unwrap();
        statement.query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect()
    }

    /// The text between the first pair of parentheses.
    fn columns_of(table: &Table) -> Vec<String> {
        let (_, rest) = table.insert.split_once('(').unwrap();
        let (columns, _) = rest.split_once(')').unwrap();
        columns.split(", ").map(str::to_owned).collect()
    }

    #[test]
    fn every_column_of_every_table_is_copied() {
        let connection = newest();
        let tables =
            texts(&connection, "SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite_%'");
        let there: BTreeMap<String, BTreeSet<String>> = tables
            .into_iter()
            .map(|table| {
                let columns = texts(&connection, &format!("SELECT name FROM pragma_table_info('{table}')"));
                (table, columns.into_iter().collect())
            })
            .collect();
        let copied: BTreeMap<String, BTreeSet<String>> =
            TABLES.iter().map(|table| (table.name.to_owned(), columns_of(table).into_iter().collect())).collect();
        assert_eq!(copied, there);
    }

    #[test]
    fn pages_go_by_a_key_and_every_column_has_its_value() {
        let connection = newest();
        for table in &TABLES {
            let columns = columns_of(table);
            let values: Vec<String> = (1..=columns.len()).map(|number| format!("?{number}")).collect();
            assert!(table.insert.ends_with(&format!("VALUES ({})", values.join(", "))), "{}", table.insert);
            assert_eq!(columns.len(), table.columns, "{}", table.name);
            connection.prepare(table.insert).unwrap();
            connection.prepare(table.next).unwrap();
            let key: BTreeSet<&str> = columns[..table.key_columns].iter().map(String::as_str).collect();
            let unique = format!("SELECT name FROM pragma_index_list('{}') WHERE \"unique\"", table.name);
            let is_key = texts(&connection, &unique).iter().any(|index| {
                let of_index = texts(&connection, &format!("SELECT name FROM pragma_index_info('{index}')"));
                of_index.iter().map(String::as_str).collect::<BTreeSet<_>>() == key
            });
            assert!(is_key, "{key:?} is no key of {}", table.name);
        }
    }
}
