//! The rules. No HTTP types and no SQL: services are called by routes, and call the database's queries and the
//! storage.

pub mod bootstrap;
pub mod file;
mod folder;
pub mod fsck;
pub mod key;
pub mod move_files;
mod number;
pub mod upload;
pub mod urls;
pub mod workspace;
