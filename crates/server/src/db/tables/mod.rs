//! The tables: for each a module with its rows and its queries. Queries are plain functions over a
//! [`Tx`](crate::db::sql::Tx), which is given statements that both engines understand.

pub mod api_keys;
pub mod blobs;
pub mod file_list;
pub mod files;
pub mod folders;
pub mod garbage;
pub mod idempotency;
pub mod installation;
pub mod leases;
pub mod parts;
pub mod secrets;
pub mod sessions;
pub mod totals;
pub mod usage;
pub mod webhook_deliveries;
pub mod webhooks;
pub mod workspaces;
