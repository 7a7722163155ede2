//! The only SQL. Each table has a file with its rows and its queries; `engine` runs them.
//!
//! Queries are plain functions over a [`Tx`], in the part of SQL that SQLite and PostgreSQL share, with
//! numbered parameters. What belongs together is put into one closure for [`Db::write`], which is one
//! transaction; nothing in such a closure touches the storage or the network.

pub mod api_keys;
pub mod blobs;
mod columns;
mod engine;
mod error;
pub mod files;
pub mod folders;
pub mod garbage;
pub mod idempotency;
pub mod installation;
mod migrate;
pub mod parts;
pub mod secrets;
pub mod sessions;
mod time;
pub mod usage;
pub mod workspaces;

pub use engine::{Db, Durability, Tx};
pub use error::DbError;
pub use time::Timestamp;
