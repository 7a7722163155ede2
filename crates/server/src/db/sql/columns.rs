//! Reads columns whose values have a narrower type than SQL gives them.

use serde::de::DeserializeOwned;
use uuid::Uuid;

use super::error::DbError;
use super::row::Row;
use super::value::Value;
use crate::model::StorageKind;

fn corrupt(table: &'static str, problem: impl std::fmt::Display) -> DbError {
    DbError::Corrupt { table, problem: problem.to_string() }
}

/// A UUID in text form.
pub(in crate::db) fn uuid(table: &'static str, row: &Row<'_>, column: usize) -> Result<Uuid, DbError> {
    let text = row.text(column)?;
    Uuid::try_parse(&text).map_err(|error| corrupt(table, error))
}

/// A UUID in text form, or NULL.
pub(in crate::db) fn optional_uuid(table: &'static str, row: &Row<'_>, column: usize) -> Result<Option<Uuid>, DbError> {
    let text: Option<String> = row.get(column)?;
    text.map(|text| Uuid::try_parse(&text).map_err(|error| corrupt(table, error))).transpose()
}

/// A size in bytes.
pub(in crate::db) fn size(table: &'static str, row: &Row<'_>, column: usize) -> Result<u64, DbError> {
    u64::try_from(row.get::<i64>(column)?).map_err(|error| corrupt(table, error))
}

/// JSON in text form.
pub(in crate::db) fn json<T: DeserializeOwned>(
    table: &'static str,
    row: &Row<'_>,
    column: usize,
) -> Result<T, DbError> {
    let text = row.text(column)?;
    serde_json::from_str(&text).map_err(|error| corrupt(table, error))
}

/// JSON in text form, or NULL.
pub(in crate::db) fn optional_json<T: DeserializeOwned>(
    table: &'static str,
    row: &Row<'_>,
    column: usize,
) -> Result<Option<T>, DbError> {
    match row.value(column)? {
        Value::Null => Ok(None),
        _ => json(table, row, column).map(Some),
    }
}

/// The text that [`json`] reads back.
pub(in crate::db) fn to_json<T: serde::Serialize>(table: &'static str, value: &T) -> Result<String, DbError> {
    serde_json::to_string(value).map_err(|error| corrupt(table, error))
}

/// The kind of storage.
pub(in crate::db) fn storage(table: &'static str, row: &Row<'_>, column: usize) -> Result<StorageKind, DbError> {
    let text = row.text(column)?;
    StorageKind::parse(&text).ok_or_else(|| corrupt(table, format!("storage {text:?}")))
}

/// A size as SQL stores it. The limits of the settings keep sizes below 2^53.
pub(in crate::db) fn size_to_sql(size_bytes: u64) -> i64 {
    i64::try_from(size_bytes).unwrap_or(i64::MAX)
}
