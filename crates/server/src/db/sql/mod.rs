//! Statements, their parameters and their rows, in the part of SQL that SQLite and PostgreSQL share.
//!
//! Invariant: no text from outside becomes part of a statement; it is always a parameter.

pub(in crate::db) mod builder;
mod case_fold;
pub(in crate::db) mod columns;
pub(in crate::db) mod dialect;
mod error;
mod postgres_values;
mod row;
mod sqlite_values;
mod tx;
mod value;

pub use crate::model::Timestamp;
pub use case_fold::folded;
pub use error::DbError;
pub(in crate::db) use row::Row;
pub(in crate::db) use tx::PostgresSession;
pub use tx::Tx;
pub use value::Parameter;
pub(in crate::db) use value::Value;
