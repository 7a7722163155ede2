//! One connection to PostgreSQL, with the statements that were prepared on it.
//!
//! Invariant: a connection whose server said that it takes no writes, or is shutting down, is marked
//! ([`PostgresConnection::is_lost`]).

use std::collections::HashMap;
use std::time::{Duration, Instant};

use postgres::types::ToSql;
use postgres::{Client, Config, Statement};
use tokio_postgres_rustls::MakeRustlsConnect;

use super::scan_watch::ScanLimit;
use crate::db::sql::{DbError, Parameter, PostgresSession, Value, dialect};

/// Settings of each connection. Locks are held for milliseconds; a node that stalls in the middle of a transaction must not
/// hold them for ever. The isolation is that of reads outside of transactions.
const SETTINGS: &str = "SET lock_timeout = '10s'; SET statement_timeout = '60s'; \
                        SET idle_in_transaction_session_timeout = '60s'; SET client_min_messages = 'warning'; \
                        SET default_transaction_isolation = 'read committed'";
/// While the server takes no writes, connections are replaced this often, to find the server that does. A role or password that
/// was refused is retried as often.
pub(super) const REFUSED_RETRY_INTERVAL: Duration = Duration::from_secs(1);
/// Classes of SQLSTATE after which a connection must be replaced: 08, it broke; 57P, the server is shutting down; 26 and 42P05,
/// a pool in between lost or mixed up prepared statements.
const LOST_STATES: [&str; 4] = ["08", "57P", "26", "42P05"];

/// A connection, and the statements that were prepared on it.
pub(super) struct PostgresConnection {
    pub(super) client: Client,
    pub(super) statements: HashMap<&'static str, Statement>,
    pub(super) breaks: u64,
    pub(super) opened_at: Instant,
    pub(super) used_at: Instant,
    /// Whether its server said that it is shutting down, or takes no writes.
    pub(super) is_lost: bool,
    /// The limit of the running scan, after which no statement begins.
    pub(super) limit: Option<ScanLimit>,
    /// A right or a table that a statement lacked; goes to the log.
    pub(super) refusal: Option<String>,
}

impl PostgresConnection {
    pub(super) fn open(config: &Config, encryption: MakeRustlsConnect, breaks: u64) -> Result<Self, DbError> {
        let mut client = config.connect(encryption)?;
        client.batch_execute(SETTINGS)?;
        let now = Instant::now();
        let (opened_at, used_at) = (now, now);
        Ok(Self {
            client,
            statements: HashMap::new(),
            breaks,
            opened_at,
            used_at,
            is_lost: false,
            limit: None,
            refusal: None,
        })
    }

    /// Converts an error and notes its meaning for the connection.
    fn noted(&mut self, error: postgres::Error) -> DbError {
        let error = DbError::from(error);
        self.note(&error);
        error
    }

    pub(super) fn note(&mut self, error: &DbError) {
        let is_going = error.sql_state().is_some_and(|state| LOST_STATES.iter().any(|class| state.starts_with(class)));
        // Replacing a connection that was made just now would not help.
        let is_read_only = matches!(error, DbError::ReadOnly(_)) && self.opened_at.elapsed() >= REFUSED_RETRY_INTERVAL;
        self.is_lost |= is_going || is_read_only;
        if matches!(error, DbError::Forbidden(_) | DbError::Refused(_)) {
            self.refusal = Some(crate::error_chain(error));
        }
    }

    /// Runs [`writable_query`](super::server_state::writable_query) and reads its row.
    pub(super) fn check_writable(&mut self, query: &'static str) -> Result<(), DbError> {
        let rows = self.query(query, &[])?;
        let is = |column: usize| rows.first().and_then(|row| row.try_get(column).ok()).unwrap_or(false);
        let unusable: Option<String> = rows.first().and_then(|row| row.try_get(2).ok()).flatten();
        let error = match (is(0), is(1), unusable) {
            (true, _, _) => DbError::ReadOnly("it is a standby".into()),
            (false, true, _) => DbError::ReadOnly("default_transaction_read_only is on".into()),
            (false, false, Some(tables)) => {
                DbError::Forbidden(format!("these are missing, or may not be read and written: {tables}").into())
            }
            (false, false, None) => return Ok(()),
        };
        self.note(&error);
        Err(error)
    }

    fn prepare(&mut self, sql: &'static str) -> Result<Statement, DbError> {
        // A cancel request that arrives between two statements ends neither.
        if self.limit.as_ref().is_some_and(ScanLimit::is_over) {
            return Err(DbError::TooLong);
        }
        if let Some(statement) = self.statements.get(sql) {
            return Ok(statement.clone());
        }
        let statement = self.client.prepare(&dialect::query(sql)).map_err(|error| self.noted(error))?;
        self.statements.insert(sql, statement.clone());
        Ok(statement)
    }
}

impl PostgresSession for PostgresConnection {
    fn run(&mut self, sql: &str) -> Result<(), DbError> {
        self.client.batch_execute(sql).map_err(|error| self.noted(error))
    }

    fn execute(&mut self, sql: &'static str, parameters: &[&dyn Parameter]) -> Result<usize, DbError> {
        let statement = self.prepare(sql)?;
        let values: Vec<Value<'_>> = parameters.iter().map(|parameter| parameter.to_value()).collect();
        let values: Vec<&(dyn ToSql + Sync)> = values.iter().map(|value| value as &(dyn ToSql + Sync)).collect();
        let changed = self.client.execute(&statement, &values).map_err(|error| self.noted(error))?;
        Ok(usize::try_from(changed).unwrap_or(usize::MAX))
    }

    fn query(&mut self, sql: &'static str, parameters: &[&dyn Parameter]) -> Result<Vec<postgres::Row>, DbError> {
        let statement = self.prepare(sql)?;
        let values: Vec<Value<'_>> = parameters.iter().map(|parameter| parameter.to_value()).collect();
        let values: Vec<&(dyn ToSql + Sync)> = values.iter().map(|value| value as &(dyn ToSql + Sync)).collect();
        self.client.query(&statement, &values).map_err(|error| self.noted(error))
    }
}
