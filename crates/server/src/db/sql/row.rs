//! One row of a result, of either engine.

use std::borrow::Cow;

use super::error::DbError;
use super::sqlite_values::from_sqlite;
use super::value::{Column, Value};

/// One row of a result.
#[derive(Clone, Copy)]
pub(crate) struct Row<'r>(RowInner<'r>);

#[derive(Clone, Copy)]
enum RowInner<'r> {
    Sqlite(&'r rusqlite::Row<'r>),
    Postgres(&'r postgres::Row),
}

impl<'r> Row<'r> {
    pub(in crate::db) fn sqlite(row: &'r rusqlite::Row<'r>) -> Self {
        Self(RowInner::Sqlite(row))
    }

    pub(in crate::db) fn postgres(row: &'r postgres::Row) -> Self {
        Self(RowInner::Postgres(row))
    }

    /// The value of a column, counted from 0.
    pub(in crate::db) fn value(&self, column: usize) -> Result<Value<'r>, DbError> {
        match self.0 {
            RowInner::Sqlite(row) => Ok(from_sqlite(row.get_ref(column)?)),
            RowInner::Postgres(row) => Ok(row.try_get::<_, Value<'r>>(column)?),
        }
    }

    /// The text of a column, borrowed from the row.
    pub(in crate::db) fn text(&self, column: usize) -> Result<Cow<'r, str>, DbError> {
        match self.value(column)? {
            Value::Text(text) => Ok(text),
            _ => Err(not_a(column, "text")),
        }
    }

    /// The value of a column, counted from 0, converted to `T`.
    pub(in crate::db) fn get<T: Column>(&self, column: usize) -> Result<T, DbError> {
        T::from_value(self.value(column)?).ok_or_else(|| not_a(column, std::any::type_name::<T>()))
    }
}

fn not_a(column: usize, wanted: &str) -> DbError {
    DbError::Corrupt { table: "an answer", problem: format!("column {column} is not {wanted}") }
}
