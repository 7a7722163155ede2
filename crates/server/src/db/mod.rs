//! The database: the only SQL of the server.
//!
//! Layers, each of which imports only those before it (`tests/api/db_layers.rs` checks that):
//!
//! | | |
//! |---|---|
//! | `sql` | statements, parameters, rows, errors |
//! | `engine` | SQLite and PostgreSQL: connections, transactions, queues. It is given the schema, and knows no table |
//! | `tables` | for each table its rows and its queries |
//! | `schema` | migrations, and the copy of all records into another database |
//!
//! Statements that must take effect together are put into one closure for [`Db::write`], which is one transaction. Nothing in
//! such a closure touches the storage or the network.

mod engine;
mod schema;
mod sql;
mod tables;

use std::path::PathBuf;

pub(crate) use engine::{DATABASE_FILE, problem_of_url, reserve};
pub use engine::{DatabaseLocation, Db, Durability, ServerState, TrialError, try_database};
pub use schema::import;
pub use sql::{DbError, Parameter, Timestamp, Tx, folded};
pub use tables::{
    api_keys, blobs, file_list, files, folders, garbage, idempotency, installation, leases, parts, secrets, sessions,
    totals, usage, webhook_deliveries, webhooks, workspaces,
};

use self::schema::SCHEMA;

impl Db {
    /// Opens the database, creates it if necessary, and brings its schema up to date. Blocks.
    ///
    /// # Errors
    /// When it cannot be opened, is no database, or was written by a newer version.
    pub fn open(location: &DatabaseLocation) -> Result<Self, DbError> {
        Self::open_with(location, &SCHEMA)
    }

    /// Opens the database as it is, for commands that run next to a server of perhaps another version. Blocks.
    ///
    /// # Errors
    /// Also when its schema is not the one that this program knows.
    pub fn open_existing(location: &DatabaseLocation) -> Result<Self, DbError> {
        Self::open_existing_with(location, &SCHEMA)
    }

    /// Copies the records of an SQLite file, which no server uses meanwhile, into this empty database and compares them;
    /// into one that has exactly these records nothing is copied. `copied` is called with table and number of rows.
    ///
    /// # Errors
    /// [`DbError::NotEmpty`] when the database has other records, [`DbError::Corrupt`] when the copy differs; nothing has
    /// changed then.
    pub async fn copy_from(
        &self,
        file: PathBuf,
        copied: impl Fn(&'static str, usize) + Send + 'static,
    ) -> Result<Vec<import::Content>, DbError> {
        if !self.is_shared() {
            let problem =
                "records can be copied into PostgreSQL only; allowed: database.url with a PostgreSQL database";
            return Err(DbError::Unsuitable(problem.to_owned()));
        }
        self.write_untimed(move |to| import::copy_file(&file, to, &copied)).await
    }
}

impl ServerState {
    /// Looks at the server of this URL. Blocks.
    ///
    /// # Errors
    /// When it cannot be asked.
    pub fn of_url(url: &str, max_connections: u32) -> Result<Self, DbError> {
        Self::of_url_with(url, max_connections, &(SCHEMA.tables)())
    }
}
