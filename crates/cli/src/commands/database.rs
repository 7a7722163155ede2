//! Queries of commands that work on the data directory itself, beside the server if one is running.

use partway_server::config::Config;
use partway_server::db::{DatabaseLocation, Db, DbError, Durability, Tx};
use partway_server::process::data_dir::DataDir;

use crate::Failure;

/// Runs one query on the database of the settings, which must exist; what it changes survives a power cut.
pub(super) fn write<T: Send + 'static>(
    config: &Config,
    query: impl FnOnce(&Tx<'_>) -> Result<T, DbError> + Send + 'static,
) -> Result<T, Failure> {
    on_database(config, async |db| db.write(Durability::PowerLoss, query).await)
}

/// The same for what deletes, revokes or limits something: it works on a full disk, with the room that the data directory keeps
/// for that.
pub(super) fn write_to_free<T: Send + 'static>(
    config: &Config,
    query: impl Fn(&Tx<'_>) -> Result<T, DbError> + Clone + Send + 'static,
) -> Result<T, Failure> {
    on_database(config, async |db| db.write_to_free(Durability::PowerLoss, query).await)
}

/// Runs one query that changes nothing: it works on a full disk, too.
pub(super) fn read<T: Send + 'static>(
    config: &Config,
    query: impl FnOnce(&Tx<'_>) -> Result<T, DbError> + Send + 'static,
) -> Result<T, Failure> {
    on_database(config, async |db| db.read(query).await)
}

fn on_database<T>(config: &Config, work: impl AsyncFnOnce(Db) -> Result<T, DbError>) -> Result<T, Failure> {
    let db = open_existing(config)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    Ok(runtime.block_on(work(db))?)
}

/// The database of the settings, which must exist.
pub(super) fn open_existing(config: &Config) -> Result<Db, Failure> {
    let location = config.database();
    if let DatabaseLocation::Sqlite(_) = location {
        DataDir::existing_database(&config.storage.data_dir)?;
    }
    usable(Db::open_existing(&location), &location)
}

/// The database, or which one cannot be used and why.
pub(super) fn usable(opened: Result<Db, DbError>, location: &DatabaseLocation) -> Result<Db, Failure> {
    Ok(opened
        .map_err(|error| format!("the database {location} cannot be used: {}", partway_server::error_chain(&error)))?)
}
