//! The schema: its versions, and the copy of all its records into another database.

pub mod import;
mod migrate;
mod migrations;

use crate::db::engine::Schema;

/// The schema of this version of the program.
pub(in crate::db) static SCHEMA: Schema = Schema {
    versions: migrate::VERSIONS,
    to_version: migrate::to_version,
    check: migrate::check,
    tables: import::table_names,
};
