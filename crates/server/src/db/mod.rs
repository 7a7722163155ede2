//! The only SQL. Each table has a file with its rows and its queries; `engine` runs them.
//!
//! Queries are plain functions over a [`Tx`], in the part of SQL that SQLite and PostgreSQL share, with
//! numbered parameters; `dialect` has the little that differs. What belongs together is put into one closure for [`Db::write`], which is one
//! transaction; nothing in such a closure touches the storage or the network.

pub mod api_keys;
pub mod blobs;
mod case_fold;
mod columns;
pub mod deliveries;
mod dialect;
mod engine;
mod error;
pub mod file_list;
pub mod files;
pub mod folders;
pub mod garbage;
pub mod idempotency;
pub mod import;
pub mod installation;
pub mod leases;
mod migrate;
mod migrations;
pub mod parts;
pub(crate) mod reserve;
pub mod secrets;
mod server_url;
pub mod sessions;
mod sql;
mod time;
mod trial;
mod tx;
pub mod usage;
mod value;
pub mod webhooks;
pub mod workspaces;

/// Name of SQLite's file in a data directory.
pub(crate) const DATABASE_FILE: &str = "partway.db";

pub use case_fold::folded;
pub use engine::{DatabaseLocation, Db, Durability, ServerState};
pub use error::DbError;
pub(crate) use server_url::problem_of as problem_of_url;
pub(crate) use sql::prefix_upper_bound;
pub use time::Timestamp;
pub use trial::{TrialError, try_database};
pub use tx::Tx;
pub use value::Parameter;
