//! The engines that run queries: SQLite in a file of the data directory, or a PostgreSQL server.
//!
//! Invariant: a write that returned `Ok` is visible to every later read, survives the end of the process, and, if it asked for
//! [`Durability::PowerLoss`], survives a power cut. A write that returned an error has changed nothing, except for one whose commit
//! was sent to PostgreSQL and never answered.

mod durability;
mod location;
mod postgres;
pub(crate) mod reserve;
mod scan_queue;
mod schema;
mod sqlite;

use std::path::Path;
use std::sync::Arc;

use uuid::Uuid;

pub use self::durability::Durability;
use self::durability::Purpose;
pub(crate) use self::location::DATABASE_FILE;
pub use self::location::DatabaseLocation;
use self::postgres::Postgres;
pub use self::postgres::ServerState;
pub(crate) use self::postgres::problem_of_url;
use self::reserve::DatabaseReserve;
pub(in crate::db) use self::schema::Schema;
use self::sqlite::Sqlite;
pub use self::sqlite::{TrialError, try_database};
use crate::db::sql::{DbError, Tx};
use crate::metrics::{DatabaseMetrics, Lane};

/// The database. Clones share it; it stops when the last one is dropped.
#[derive(Clone)]
pub struct Db {
    engine: Engine,
    /// The reserve on the disk, if the database is a file.
    reserve: Option<Arc<DatabaseReserve>>,
    metrics: Arc<DatabaseMetrics>,
    lanes: Arc<Lanes>,
}

/// The metrics of queries.
struct Lanes {
    write: Lane,
    read: Lane,
    scan: Lane,
}

impl Lanes {
    fn of(metrics: &DatabaseMetrics) -> Self {
        Self { write: metrics.lane("write"), read: metrics.lane("read"), scan: metrics.lane("scan") }
    }
}

crate::opaque_debug::opaque_debug!(Db);

#[derive(Clone)]
enum Engine {
    Sqlite(Sqlite),
    Postgres(Postgres),
}

impl Db {
    /// Opens the database, creates it if necessary, and brings it to `schema`.
    pub(in crate::db) fn open_with(location: &DatabaseLocation, schema: &'static Schema) -> Result<Self, DbError> {
        Self::with(
            location,
            |path, reserve, metrics| Sqlite::open(path, reserve, metrics, schema),
            |url, max_connections| Postgres::open(url, max_connections, schema),
        )
    }

    /// Opens the database as it is. An error when its schema is not `schema`.
    pub(in crate::db) fn open_existing_with(
        location: &DatabaseLocation,
        schema: &'static Schema,
    ) -> Result<Self, DbError> {
        Self::with(
            location,
            |path, reserve, metrics| Sqlite::open_existing(path, reserve, metrics, schema),
            |url, _| Postgres::open_existing(url, schema),
        )
    }

    fn with(
        location: &DatabaseLocation,
        sqlite: impl Fn(&Path, &Arc<DatabaseReserve>, &Arc<DatabaseMetrics>) -> Result<Sqlite, DbError>,
        postgres: impl Fn(&str, u32) -> Result<Postgres, DbError>,
    ) -> Result<Self, DbError> {
        let metrics = Arc::<DatabaseMetrics>::default();
        let lanes = Arc::new(Lanes::of(&metrics));
        match location {
            DatabaseLocation::Sqlite(path) => {
                let reserve = Arc::new(DatabaseReserve::new(path.parent().unwrap_or(Path::new("."))));
                let opened = match sqlite(path, &reserve, &metrics) {
                    // Opening creates the log and its index, which need space.
                    Err(error) if error.may_be_full_disk() && give_up(&reserve, &error) => {
                        sqlite(path, &reserve, &metrics)
                    }
                    opened => opened,
                };
                Ok(Self { engine: Engine::Sqlite(opened?), reserve: Some(reserve), metrics, lanes })
            }
            DatabaseLocation::Postgres { url, max_connections } => {
                let engine = Engine::Postgres(postgres(url, *max_connections)?);
                Ok(Self { engine, reserve: None, metrics, lanes })
            }
        }
    }

    /// A write that frees, deletes or revokes something, or without which the server could not start or would repeat work for ever.
    /// On a full disk it uses the reserve; `query` must add as few rows as possible.
    ///
    /// # Errors
    /// The error that `query` returned, or why the commit failed.
    pub async fn write_to_free<T: Send + 'static>(
        &self,
        durability: Durability,
        query: impl Fn(&Tx<'_>) -> Result<T, DbError> + Clone + Send + 'static,
    ) -> Result<T, DbError> {
        match self.write_for(Purpose::Free, durability, query.clone()).await {
            // Writes that shared the transaction fail together. The first gives the reserve up, and all are retried.
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

    /// Reserves space on the disk for [`write_to_free`](Self::write_to_free). Blocks.
    ///
    /// # Errors
    /// When there is no space.
    pub fn fill_reserve(&self) -> std::io::Result<()> {
        self.reserve.as_ref().map_or(Ok(()), |reserve| reserve.fill())
    }

    /// Runs `query` as one transaction; an `Err` from it rolls back. On PostgreSQL transactions run concurrently: `query` must lock
    /// rows that it reads and others may change.
    ///
    /// # Errors
    /// The error that `query` returned, or why the commit failed. [`DbError::Full`] while the reserve for
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
        let lane = &self.lanes.write;
        match &self.engine {
            Engine::Sqlite(sqlite) => lane.measure(sqlite.write(purpose, durability, query)).await,
            Engine::Postgres(postgres) => lane.measure(postgres.write(query)).await,
        }
    }

    /// Runs `query` on a reading connection: it sees everything committed before. For look-ups by key and other queries of some
    /// microseconds; longer ones are [`scan`](Self::scan)s.
    ///
    /// # Errors
    /// The error that `query` returned.
    pub async fn read<T, F>(&self, query: F) -> Result<T, DbError>
    where
        T: Send + 'static,
        F: FnOnce(&Tx<'_>) -> Result<T, DbError> + Send + 'static,
    {
        match &self.engine {
            Engine::Sqlite(sqlite) => self.lanes.read.measure(sqlite.read(query)).await,
            Engine::Postgres(postgres) => self.lanes.read.measure(postgres.read(query)).await,
        }
    }

    /// Runs a list or search for a request of a workspace. All its statements see the database as it was at one moment. Scans run
    /// round-robin by workspace and never delay a look-up. Dropping the future ends the scan.
    ///
    /// # Errors
    /// The error that `query` returned; [`DbError::TooLong`]; [`DbError::Busy`] when the workspace has too many waiting scans.
    pub async fn scan<T, F>(&self, workspace_id: Uuid, query: F) -> Result<T, DbError>
    where
        T: Send + 'static,
        F: FnOnce(&Tx<'_>) -> Result<T, DbError> + Send + 'static,
    {
        match &self.engine {
            Engine::Sqlite(sqlite) => self.lanes.scan.measure(sqlite.scan(workspace_id, query)).await,
            Engine::Postgres(postgres) => self.lanes.scan.measure(postgres.scan(workspace_id, query)).await,
        }
    }

    /// Checks whether the database takes writes.
    ///
    /// # Errors
    /// The error that a write would return: a PostgreSQL server that became a standby or read-only, a file that is locked.
    pub async fn check_writable(&self) -> Result<(), DbError> {
        match &self.engine {
            // Writes nothing, so that a full disk does not fail the check.
            Engine::Sqlite(sqlite) => sqlite.write(Purpose::Free, Durability::Process, |_| Ok(())).await,
            Engine::Postgres(postgres) => postgres.check_writable().await,
        }
    }

    /// A write without a time limit.
    pub(in crate::db) async fn write_untimed<T, F>(&self, query: F) -> Result<T, DbError>
    where
        T: Send + 'static,
        F: FnOnce(&Tx<'_>) -> Result<T, DbError> + Send + 'static,
    {
        match &self.engine {
            Engine::Sqlite(sqlite) => sqlite.write(Purpose::Other, Durability::PowerLoss, query).await,
            Engine::Postgres(postgres) => postgres.write_untimed(query).await,
        }
    }

    /// The figures of its queries.
    pub fn metrics(&self) -> &Arc<DatabaseMetrics> {
        &self.metrics
    }

    /// Whether other nodes may use the same database.
    pub fn is_shared(&self) -> bool {
        matches!(self.engine, Engine::Postgres(_))
    }
}

/// Gives the reserve up. True when it is given up now, by this or another process: a retry may find space.
fn give_up(reserve: &DatabaseReserve, error: &DbError) -> bool {
    match reserve.give_up() {
        Ok(true) => {
            tracing::warn!(%error, "the disk is full; the reserve of the database is given up, and writes that free nothing are refused");
        }
        Ok(false) => {}
        Err(failed) => tracing::error!(error = %failed, "the reserve of the database cannot be given up"),
    }
    reserve.is_given_up()
}
