//! The kind and state of a PostgreSQL server and of a pool in front of it.
//!
//! Invariant: looking changes nothing, neither in the database nor in a session that a pool may give to another client.

use std::time::Duration;

use postgres::{Client, Config, SimpleQueryMessage};
use tokio_postgres_rustls::MakeRustlsConnect;

use super::connecting::{no_connection_left, read_url, within};
use super::encryption::encryption;
use super::server_url::ServerUrl;
use crate::db::sql::DbError;
use crate::db::sql::builder::intern_sql;

/// Time limit of all steps together.
const LOOK_LIMIT: Duration = Duration::from_secs(15);
/// Number of comparisons of two sessions: a busy pool may give a session the same connection again by chance.
const SESSION_COMPARISONS: usize = 3;

/// Selects encoding, standby, read-only, isolation, the schema for new tables, whether the role may create tables in it, whether it
/// has tables already, and those tables that the role may not use or does not own.
const LOOK_QUERY: &str = "SELECT current_setting('server_encoding'), pg_is_in_recovery(), current_setting('transaction_read_only'), \
    current_setting('default_transaction_isolation'), current_schema(), \
    has_schema_privilege(current_schema(), 'CREATE'), \
    (SELECT count(*) FROM pg_tables WHERE schemaname = current_schema() AND tablename = 'schema_version'), \
    (SELECT string_agg(tablename, ', ' ORDER BY tablename) FROM pg_tables WHERE schemaname = current_schema() \
        AND tablename IN (TABLES) AND NOT pg_has_role(tableowner, 'USAGE')), \
    (SELECT string_agg(name, ', ' ORDER BY name) FROM unnest(ARRAY[TABLES]) AS name \
        WHERE to_regclass(name) IS NOT NULL AND NOT (USABLE))";

/// A query for the reasons why writes would fail: standby, read-only, and tables that are missing or that the role may not use.
pub(super) fn writable_query(tables: &[&str]) -> &'static str {
    intern_sql(&with_tables(
        "SELECT pg_is_in_recovery(), current_setting('transaction_read_only') = 'on', \
         (SELECT string_agg(name, ', ' ORDER BY name) FROM unnest(ARRAY[TABLES]) AS name \
             WHERE to_regclass(name) IS NULL OR NOT (USABLE))",
        tables,
    ))
}

/// The condition that the role may read and write the table `name`.
const USABLE: &str = "has_table_privilege(to_regclass(name), 'SELECT') AND has_table_privilege(to_regclass(name), 'INSERT') \
    AND has_table_privilege(to_regclass(name), 'UPDATE') AND has_table_privilege(to_regclass(name), 'DELETE')";

/// Inserts the names of the tables into a statement.
fn with_tables(sql: &str, tables: &[&str]) -> String {
    let tables: Vec<String> = tables.iter().map(|table| format!("'{table}'")).collect();
    sql.replace("TABLES", &tables.join(", ")).replace("USABLE", USABLE)
}

/// The state of a server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerState {
    /// Encoding of the database, as `SHOW server_encoding` says.
    pub encoding: String,
    /// Whether it is a standby.
    pub is_standby: bool,
    /// Whether transactions are read-only, by a setting of server, database or role.
    pub is_read_only: bool,
    /// Default isolation of transactions.
    pub isolation: String,
    /// Schema for new tables; `None` if no schema of the search path exists.
    pub schema: Option<String>,
    /// Whether the role may create tables in it.
    pub may_create: bool,
    /// Whether it has tables of this program.
    pub has_tables: bool,
    /// Tables that belong to another role, so that a migration cannot change them.
    pub not_owned: Option<String>,
    /// Tables that the role may not read and write.
    pub not_usable: Option<String>,
    /// Whether a pool gives one session different connections, by transaction or statement.
    pub is_pooled: bool,
    /// Whether pgpool is in front.
    pub is_pgpool: bool,
}

impl ServerState {
    /// Looks at the server of this URL. Blocks.
    ///
    /// # Errors
    /// When it cannot be asked.
    pub(in crate::db) fn of_url_with(url: &str, max_connections: u32, tables: &[&str]) -> Result<Self, DbError> {
        let server = read_url(url)?;
        Self::look(&server, &encryption(&server)?, max_connections, tables)
    }

    pub(super) fn look(
        server: &ServerUrl,
        encryption: &MakeRustlsConnect,
        max_connections: u32,
        tables: &[&str],
    ) -> Result<Self, DbError> {
        let (config, encryption) = (server.config.clone(), encryption.clone());
        let sql = with_tables(LOOK_QUERY, tables);
        within(LOOK_LIMIT, move || look(&config, &encryption, &sql))
            .unwrap_or_else(|| Err(DbError::Unsuitable(no_connection_left(LOOK_LIMIT, max_connections))))
    }

    /// Number of simultaneous connections that could be made, up to `wanted`, and the error of the next one. Blocks.
    ///
    /// # Errors
    /// When the URL cannot be used.
    pub fn connections(url: &str, wanted: u32) -> Result<(u32, Option<DbError>), DbError> {
        let server = read_url(url)?;
        let encryption = encryption(&server)?;
        let mut held = Vec::new();
        for made in 0..wanted {
            let (config, encryption) = (server.config.clone(), encryption.clone());
            let opened = within(LOOK_LIMIT, move || -> Result<Client, DbError> {
                let mut client = config.connect(encryption)?;
                // A pool accepts connections for which it has no server.
                client.simple_query("SELECT 1")?;
                Ok(client)
            });
            match opened {
                Some(Ok(client)) => held.push(client),
                Some(Err(error)) => return Ok((made, Some(error))),
                None => return Ok((made, Some(DbError::Unsuitable(no_connection_left(LOOK_LIMIT, wanted))))),
            }
        }
        Ok((wanted, None))
    }

    /// The reason why a server must not start on it (`starts`), or a command must not run.
    pub(super) fn refusal(&self, starts: bool) -> Option<DbError> {
        if let Some(problem) = self.unsuitable() {
            return Some(DbError::Unsuitable(problem));
        }
        let read_only = match (self.is_standby, self.is_read_only) {
            (true, _) => "it is a standby of another server",
            (false, true) => "default_transaction_read_only is on, for the server, the database or the role",
            (false, false) => return None,
        };
        starts.then(|| DbError::ReadOnly(read_only.into()))
    }

    /// A permanent fault, and what is allowed.
    pub fn unsuitable(&self) -> Option<String> {
        if self.encoding != "UTF8" {
            return Some(format!(
                "the database's encoding is {}, which cannot represent every name; allowed: UTF8, as \
                 `CREATE DATABASE partway ENCODING 'UTF8' TEMPLATE template0` makes it",
                self.encoding
            ));
        }
        self.is_pooled.then(|| POOLED.to_owned())
    }
}

const POOLED: &str = "a pool in front of the database (PgBouncer, or one of a hosting provider) gives each transaction or \
                      statement another connection, but Partway's prepared statements and settings belong to one connection; allowed: \
                      the server's own address, or the pool in session mode (PgBouncer: pool_mode = session)";

fn look(config: &Config, encryption: &MakeRustlsConnect, sql: &str) -> Result<ServerState, DbError> {
    let mut first = config.connect(encryption.clone())?;
    let found = row(&mut first, sql)?;
    let text = |column: usize| found.get(column).cloned().flatten();
    let is = |column: usize, wanted: &str| text(column).as_deref() == Some(wanted);
    let mut second = config.connect(encryption.clone())?;
    Ok(ServerState {
        encoding: text(0).unwrap_or_default(),
        is_standby: is(1, "t"),
        is_read_only: is(2, "on"),
        isolation: text(3).unwrap_or_default(),
        schema: text(4),
        may_create: is(5, "t"),
        has_tables: !is(6, "0"),
        not_owned: text(7),
        not_usable: text(8),
        is_pooled: are_mixed(&mut first, &mut second)?,
        is_pgpool: first.simple_query("SHOW pool_version").is_ok(),
    })
}

/// Whether two sessions share a connection to the server, or one session has several. The second session holds its connection in a
/// transaction: a pool must then give the first session another one than before, or has given the second that of the first.
fn are_mixed(first: &mut Client, second: &mut Client) -> Result<bool, DbError> {
    for _ in 0..SESSION_COMPARISONS {
        let before = backend(first)?;
        if let Err(error) = second.simple_query("BEGIN") {
            // PgBouncer in statement mode allows no transactions: it answers so, or closes the connection.
            let is_pool =
                error.is_closed() || error.as_db_error().is_some_and(|error| error.message().contains("pooling mode"));
            return if is_pool { Ok(true) } else { Err(error.into()) };
        }
        let other = backend(second)?;
        let is_mixed = other == before || backend(first)? != before;
        second.simple_query("ROLLBACK")?;
        if is_mixed {
            return Ok(true);
        }
    }
    Ok(false)
}

fn backend(client: &mut Client) -> Result<Option<String>, DbError> {
    Ok(row(client, "SELECT pg_backend_pid()")?.into_iter().next().flatten())
}

/// The first row of a result. Uses the simple protocol, which prepares nothing.
fn row(client: &mut Client, sql: &str) -> Result<Vec<Option<String>>, DbError> {
    let messages = client.simple_query(sql)?;
    let row = messages.iter().find_map(|message| match message {
        SimpleQueryMessage::Row(row) => Some((0..row.len()).map(|column| row.get(column).map(str::to_owned)).collect()),
        _ => None,
    });
    Ok(row.unwrap_or_default())
}
