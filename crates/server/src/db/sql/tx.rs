//! A transaction, in which queries run.

use std::cell::RefCell;

use super::dialect;
use super::error::DbError;
use super::row::Row;
use super::value::Parameter;
use crate::model::Timestamp;

/// The statements of one transaction, or of one read.
pub struct Tx<'c>(Connection<'c>);

crate::opaque_debug::opaque_debug!(Tx<'_>);

enum Connection<'c> {
    Sqlite(&'c rusqlite::Connection),
    Postgres(RefCell<&'c mut dyn PostgresSession>),
}

/// A connection to PostgreSQL, as a transaction uses it. Statements are in the dialect of [`dialect`], and are kept prepared by
/// their texts.
pub(in crate::db) trait PostgresSession {
    /// Runs statements without parameters, in PostgreSQL's own dialect.
    fn run(&mut self, sql: &str) -> Result<(), DbError>;

    /// Runs a statement and returns the number of rows that it changed.
    fn execute(&mut self, sql: &'static str, parameters: &[&dyn Parameter]) -> Result<usize, DbError>;

    /// Runs a query and returns all its rows.
    fn query(&mut self, sql: &'static str, parameters: &[&dyn Parameter]) -> Result<Vec<postgres::Row>, DbError>;
}

impl<'c> Tx<'c> {
    pub(in crate::db) fn sqlite(connection: &'c rusqlite::Connection) -> Self {
        Self(Connection::Sqlite(connection))
    }

    pub(in crate::db) fn postgres(connection: &'c mut dyn PostgresSession) -> Self {
        Self(Connection::Postgres(RefCell::new(connection)))
    }

    /// Runs a statement and returns the number of rows that it changed.
    pub(in crate::db) fn execute(&self, sql: &'static str, parameters: &[&dyn Parameter]) -> Result<usize, DbError> {
        match &self.0 {
            Connection::Sqlite(connection) => {
                let parameters = rusqlite::params_from_iter(parameters.iter().map(|parameter| parameter.to_value()));
                Ok(connection.prepare_cached(sql)?.execute(parameters)?)
            }
            Connection::Postgres(connection) => connection.borrow_mut().execute(sql, parameters),
        }
    }

    /// The first row, if there is one.
    pub(in crate::db) fn optional<T>(
        &self,
        sql: &'static str,
        parameters: &[&dyn Parameter],
        row: impl FnOnce(&Row<'_>) -> Result<T, DbError>,
    ) -> Result<Option<T>, DbError> {
        match &self.0 {
            Connection::Sqlite(connection) => {
                let mut statement = connection.prepare_cached(sql)?;
                let values = parameters.iter().map(|parameter| parameter.to_value());
                let mut rows = statement.query(rusqlite::params_from_iter(values))?;
                rows.next()?.map(|found| row(&Row::sqlite(found))).transpose()
            }
            Connection::Postgres(connection) => {
                let rows = connection.borrow_mut().query(sql, parameters)?;
                rows.first().map(|found| row(&Row::postgres(found))).transpose()
            }
        }
    }

    /// All rows.
    pub(in crate::db) fn all<T>(
        &self,
        sql: &'static str,
        parameters: &[&dyn Parameter],
        mut row: impl FnMut(&Row<'_>) -> Result<T, DbError>,
    ) -> Result<Vec<T>, DbError> {
        match &self.0 {
            Connection::Sqlite(connection) => {
                let mut statement = connection.prepare_cached(sql)?;
                let values = parameters.iter().map(|parameter| parameter.to_value());
                let mut rows = statement.query(rusqlite::params_from_iter(values))?;
                let mut found = Vec::new();
                while let Some(next) = rows.next()? {
                    found.push(row(&Row::sqlite(next))?);
                }
                Ok(found)
            }
            Connection::Postgres(connection) => {
                let rows = connection.borrow_mut().query(sql, parameters)?;
                rows.iter().map(|found| row(&Row::postgres(found))).collect()
            }
        }
    }

    pub(in crate::db) fn exists(&self, sql: &'static str, parameters: &[&dyn Parameter]) -> Result<bool, DbError> {
        Ok(self.optional(sql, parameters, |_| Ok(()))?.is_some())
    }

    /// Runs a query for its row lock alone. Does nothing on SQLite, which has one writer.
    pub(in crate::db) fn lock(&self, sql: &'static str, parameters: &[&dyn Parameter]) -> Result<(), DbError> {
        match &self.0 {
            Connection::Sqlite(_) => Ok(()),
            Connection::Postgres(_) => self.exists(sql, parameters).map(drop),
        }
    }

    /// The present, by the clock of the database, which all nodes share.
    pub(crate) fn now(&self) -> Result<Timestamp, DbError> {
        match &self.0 {
            Connection::Sqlite(_) => Ok(Timestamp::now()),
            Connection::Postgres(_) => {
                let sql = "SELECT CAST(extract(epoch FROM clock_timestamp()) * 1000 AS BIGINT)";
                Ok(self.optional(sql, &[], |row| row.get(0))?.unwrap_or_else(Timestamp::now))
            }
        }
    }

    /// Problems of the database file itself; `deep` compares indexes with their tables as well. Empty for PostgreSQL, which checks its
    /// own files.
    pub(crate) fn integrity_problems(&self, deep: bool) -> Result<Vec<String>, DbError> {
        if let Connection::Postgres(_) = self.0 {
            return Ok(Vec::new());
        }
        let sql = if deep { "PRAGMA integrity_check" } else { "PRAGMA quick_check" };
        let mut problems = self.all(sql, &[], |row| row.get::<String>(0))?;
        problems.retain(|problem| problem != "ok");
        Ok(problems)
    }

    /// Removes the time limits of this transaction, including that of its waits for locks.
    pub(in crate::db) fn without_timeouts(&self) -> Result<(), DbError> {
        let sql = "SELECT set_config('lock_timeout', '0', true), set_config('statement_timeout', '0', true), \
                   set_config('idle_in_transaction_session_timeout', '0', true)";
        self.lock(sql, &[])
    }

    /// Runs the statements of a migration.
    pub(in crate::db) fn run_schema(&self, sql: &str) -> Result<(), DbError> {
        match &self.0 {
            Connection::Sqlite(connection) => Ok(connection.execute_batch(sql)?),
            Connection::Postgres(connection) => connection.borrow_mut().run(&dialect::schema(sql)),
        }
    }
}

/// The version of the schema: SQLite has it in the header of the file, PostgreSQL in a table of one row.
impl Tx<'_> {
    /// 0 if there is no schema yet.
    pub(in crate::db) fn schema_version(&self) -> Result<i64, DbError> {
        let sql = match &self.0 {
            Connection::Sqlite(_) => "PRAGMA user_version",
            Connection::Postgres(_) => {
                let there = "SELECT 1 FROM information_schema.tables \
                             WHERE table_name = 'schema_version' AND table_schema = current_schema()";
                if !self.exists(there, &[])? {
                    return Ok(0);
                }
                "SELECT version FROM schema_version"
            }
        };
        Ok(self.optional(sql, &[], |row| row.get(0))?.unwrap_or_default())
    }

    pub(in crate::db) fn set_schema_version(&self, version: i64) -> Result<(), DbError> {
        match &self.0 {
            Connection::Sqlite(connection) => Ok(connection.pragma_update(None, "user_version", version)?),
            Connection::Postgres(connection) => {
                connection.borrow_mut().run("CREATE TABLE IF NOT EXISTS schema_version (version BIGINT NOT NULL)")?;
                self.execute("DELETE FROM schema_version", &[])?;
                self.execute("INSERT INTO schema_version (version) VALUES (?1)", &[&version])?;
                Ok(())
            }
        }
    }
}
