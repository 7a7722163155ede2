//! What runs queries: SQLite in a file of the data directory, or a PostgreSQL server.
//!
//! Invariant: a write that returned `Ok` is in the database for every later read, survives the end of the
//! process, and, when it asked for [`Durability::PowerLoss`], survives a power cut. A write that returned an
//! error has changed nothing, except for one whose commit was sent to PostgreSQL and never answered.

mod connecting;
mod encryption;
mod job_queue;
mod postgres;
mod postgres_connection;
mod postgres_values;
mod scan_queue;
mod scan_watch;
mod server_state;
mod sqlite;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use uuid::Uuid;

use self::postgres::Postgres;
pub(super) use self::postgres_connection::PostgresConnection;
pub use self::server_state::ServerState;
use self::sqlite::Sqlite;
use super::import::{self, Content};
use super::reserve::DatabaseReserve;
use super::{DbError, Tx};

/// What a write must survive once it is answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Durability {
    /// The end of the process, `kill -9` included. Reaches the disk within about a second.
    Process,
    /// A power cut. All that PostgreSQL answers does.
    PowerLoss,
}

/// Whether a write may take of the room that is kept for the database.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Purpose {
    /// It frees something, or is one without which nothing can be freed.
    Free,
    /// Any other.
    Other,
}

/// Where the database is.
#[derive(Clone)]
pub enum DatabaseLocation {
    /// A file.
    Sqlite(PathBuf),
    /// A server.
    Postgres {
        /// `postgres://…`, with the password.
        url: String,
        /// Most connections of this process.
        max_connections: u32,
    },
}

impl std::fmt::Display for DatabaseLocation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Sqlite(path) => write!(f, "{}", path.display()),
            Self::Postgres { url, .. } => f.write_str(&connecting::without_password(url)),
        }
    }
}

/// The database. Clones share it; it stops when the last one is dropped.
#[derive(Clone)]
pub struct Db {
    engine: Engine,
    /// Where the database is a file: room on its disk.
    reserve: Option<Arc<DatabaseReserve>>,
}

#[derive(Clone)]
enum Engine {
    Sqlite(Sqlite),
    Postgres(Postgres),
}

impl Db {
    /// Opens the database, making the file if need be, and brings its schema up to date.
    ///
    /// # Errors
    /// When it cannot be opened, is no database, or was written by a newer version. Blocks.
    pub fn open(location: &DatabaseLocation) -> Result<Self, DbError> {
        Self::with(location, Sqlite::open, |url, most| Postgres::open(url, most, true))
    }

    /// Opens the database as it is, for commands beside a server that may be of another version.
    ///
    /// # Errors
    /// Also when its schema is not the one this program knows. Blocks.
    pub fn open_existing(location: &DatabaseLocation) -> Result<Self, DbError> {
        Self::with(location, Sqlite::open_existing, |url, _| Postgres::open(url, 2, false))
    }

    fn with(
        location: &DatabaseLocation,
        sqlite: impl Fn(&Path, &Arc<DatabaseReserve>) -> Result<Sqlite, DbError>,
        postgres: impl Fn(&str, u32) -> Result<Postgres, DbError>,
    ) -> Result<Self, DbError> {
        match location {
            DatabaseLocation::Sqlite(path) => {
                let reserve = Arc::new(DatabaseReserve::new(path.parent().unwrap_or(Path::new("."))));
                let opened = match sqlite(path, &reserve) {
                    // Opening makes the log and its index.
                    Err(error) if error.may_be_full_disk() && give_up(&reserve, &error) => sqlite(path, &reserve),
                    opened => opened,
                };
                Ok(Self { engine: Engine::Sqlite(opened?), reserve: Some(reserve) })
            }
            DatabaseLocation::Postgres { url, max_connections } => {
                Ok(Self { engine: Engine::Postgres(postgres(url, *max_connections)?), reserve: None })
            }
        }
    }

    /// A write that frees, deletes or revokes something, or without which the server cannot start or would do work again
    /// and again. On a full disk it gets the room that is kept for that; `query` adds no more rows than it must.
    ///
    /// # Errors
    /// What `query` returned, or why the commit failed.
    pub async fn write_to_free<T: Send + 'static>(
        &self,
        durability: Durability,
        query: impl Fn(&Tx<'_>) -> Result<T, DbError> + Clone + Send + 'static,
    ) -> Result<T, DbError> {
        match self.write_for(Purpose::Free, durability, query.clone()).await {
            // Writes that shared the transaction fail together, and each of them finds it given up by the first.
            Err(error) if error.may_be_full_disk() && self.give_up_reserve(&error).await => {
                self.write_for(Purpose::Free, durability, query).await
            }
            outcome => outcome,
        }
    }

    async fn give_up_reserve(&self, error: &DbError) -> bool {
        let Some(reserve) = self.reserve.clone() else { return false };
        let error = error.share();
        tokio::task::spawn_blocking(move || give_up(&reserve, &error)).await.unwrap_or(false)
    }

    /// Keeps room on the disk for [`write_to_free`](Self::write_to_free), as far as there is any. Blocks.
    ///
    /// # Errors
    /// When there is none.
    pub fn fill_reserve(&self) -> std::io::Result<()> {
        self.reserve.as_ref().map_or(Ok(()), |reserve| reserve.fill())
    }

    /// Runs `query` as one transaction; an `Err` from it undoes all it did. On PostgreSQL transactions run at the same
    /// time: what `query` reads and others may change, it locks.
    ///
    /// # Errors
    /// The error that `query` returned, or why the commit failed. [`DbError::Full`] for as long as the room that is kept for
    /// [`write_to_free`](Self::write_to_free) is given up.
    pub async fn write<T, F>(&self, durability: Durability, query: F) -> Result<T, DbError>
    where
        T: Send + 'static,
        F: FnOnce(&Tx<'_>) -> Result<T, DbError> + Send + 'static,
    {
        self.write_for(Purpose::Other, durability, query).await
    }

    async fn write_for<T, F>(&self, purpose: Purpose, durability: Durability, query: F) -> Result<T, DbError>
    where
        T: Send + 'static,
        F: FnOnce(&Tx<'_>) -> Result<T, DbError> + Send + 'static,
    {
        match &self.engine {
            Engine::Sqlite(sqlite) => sqlite.write(purpose, durability, query).await,
            Engine::Postgres(postgres) => postgres.write(query).await,
        }
    }

    /// Runs `query` on a reading connection: it sees everything committed before. For look-ups by key and the like, which
    /// take microseconds; requests for more are [`scan`](Self::scan)s.
    ///
    /// # Errors
    /// What `query` returned.
    pub async fn read<T, F>(&self, query: F) -> Result<T, DbError>
    where
        T: Send + 'static,
        F: FnOnce(&Tx<'_>) -> Result<T, DbError> + Send + 'static,
    {
        match &self.engine {
            Engine::Sqlite(sqlite) => sqlite.read(query).await,
            Engine::Postgres(postgres) => postgres.read(query).await,
        }
    }

    /// A list or search for a request of a workspace, all of whose statements see the database as it was at one moment.
    /// Workspaces take turns, and a scan whose caller stops waiting is ended; no scan keeps a look-up waiting.
    ///
    /// # Errors
    /// The error that `query` returned; [`DbError::TooLong`], and [`DbError::Busy`] when the workspace has too many that wait.
    pub async fn scan<T, F>(&self, workspace_id: Uuid, query: F) -> Result<T, DbError>
    where
        T: Send + 'static,
        F: FnOnce(&Tx<'_>) -> Result<T, DbError> + Send + 'static,
    {
        match &self.engine {
            Engine::Sqlite(sqlite) => sqlite.scan(workspace_id, query).await,
            Engine::Postgres(postgres) => postgres.scan(workspace_id, query).await,
        }
    }

    /// Fails while writes would: a server of PostgreSQL that became a standby or read-only, a file that is locked.
    ///
    /// # Errors
    /// Why.
    pub async fn check_writable(&self) -> Result<(), DbError> {
        match &self.engine {
            // It writes nothing, so that a full disk does not fail it.
            Engine::Sqlite(sqlite) => sqlite.write(Purpose::Free, Durability::Process, |_| Ok(())).await,
            Engine::Postgres(postgres) => postgres.check_writable().await,
        }
    }

    /// Copies the records of an SQLite file, which no server uses meanwhile, into this empty database and compares them;
    /// into one that has exactly these records nothing is copied. `copied` hears of table and rows.
    ///
    /// # Errors
    /// [`DbError::NotEmpty`] when the database has other records, [`DbError::Corrupt`] when what was copied differs;
    /// nothing has changed then.
    pub async fn copy_from(
        &self,
        file: PathBuf,
        copied: impl Fn(&'static str, usize) + Send + 'static,
    ) -> Result<Vec<Content>, DbError> {
        let Engine::Postgres(postgres) = &self.engine else {
            let problem = "records are copied into PostgreSQL alone; allowed: database.url with a PostgreSQL database";
            return Err(DbError::Unsuitable(problem.to_owned()));
        };
        postgres
            .write_at_length(move |to| {
                let connection =
                    rusqlite::Connection::open_with_flags(file, rusqlite::OpenFlags::SQLITE_OPEN_READ_ONLY)?;
                let from = Tx::sqlite(&connection);
                super::migrate::check(&from)?;
                // The file is read at length in between.
                to.without_timeouts()?;
                let is_empty = import::is_empty(to)?;
                if is_empty {
                    import::copy_all(&from, to, &copied)?;
                }
                let (wanted, there) = (import::contents(&from)?, import::contents(to)?);
                match wanted.iter().zip(&there).find(|(wanted, there)| wanted != there) {
                    None => Ok(there),
                    Some((wanted, _)) if is_empty => Err(DbError::Corrupt {
                        table: wanted.table,
                        problem: "what was copied is not what was read".to_owned(),
                    }),
                    Some(_) => Err(DbError::NotEmpty),
                }
            })
            .await
    }

    /// Whether other nodes may use the same database.
    pub fn is_shared(&self) -> bool {
        matches!(self.engine, Engine::Postgres(_))
    }
}

/// True when the room is given up now, by whomever: a write that failed may find some.
fn give_up(reserve: &DatabaseReserve, error: &DbError) -> bool {
    match reserve.give_up() {
        Ok(true) => {
            tracing::warn!(%error, "the disk is full; used the room kept for the database, and refusing writes that free nothing");
        }
        Ok(false) => {}
        Err(failed) => tracing::error!(error = %failed, "the room kept for the database cannot be given up"),
    }
    reserve.is_given_up()
}
